"""What is remembered of one source: its last eight samples, and which of them speaks for it.

The best sample is the one whose half-width, aged to now, is the smallest: the lowest delay wins, as
in NTP's clock filter (RFC 5905, section 10), and loses to a fresher one as its age costs more than
its delay saved. Every sample carries a true interval as long as the source is honest, so a new one
that does not overlap the best of the old ones proves a jump, of the source or of our own clock:
the old ones are forgotten, and the contradiction counted.
"""

from dataclasses import dataclass, replace
from typing import Final

from hourbook.clock.bounds import Drift, Interval, carry, overlaps
from protocols.clock_messages import UNBOUNDED_NS, ClockSample

__all__ = ["REGISTER_SIZE", "Source", "absorb", "best", "interval_at"]

REGISTER_SIZE: Final = 8


@dataclass(frozen=True, slots=True)
class Source:
    """One source; `samples` from oldest to newest, never empty.

    Attributes:
        samples: at most REGISTER_SIZE.
        absorbed: samples ever taken in.
        contradictions: samples that did not overlap their predecessors.
    """

    samples: tuple[ClockSample, ...]
    absorbed: int = 1
    contradictions: int = 0

    @property
    def newest(self) -> ClockSample:
        """The last sample."""
        return self.samples[-1]

    @property
    def delay_ns_min(self) -> int:
        """The lowest delay in the register: that of a path without queues."""
        return min(sample.delay_ns for sample in self.samples)


def absorb(source: Source | None, sample: ClockSample, drift: Drift) -> Source:
    """Return the source with one more sample, the first one where `source` is None."""
    if source is None:
        return Source(samples=(sample,))
    absorbed = source.absorbed + 1
    if _contradicts(source, sample, drift):
        return Source((sample,), absorbed, source.contradictions + 1)
    samples = (*source.samples, sample)[-REGISTER_SIZE:]
    return replace(source, samples=samples, absorbed=absorbed)


def best(source: Source, raw_ns: int, drift: Drift) -> ClockSample:
    """Return the sample that speaks for the source at `raw_ns`; one without a bound only last."""

    def aged_ns(sample: ClockSample) -> tuple[bool, int]:
        age_ns = abs(raw_ns - sample.raw_ns)
        growth_ns = age_ns * drift.max_drift_ppb // 1_000_000_000
        return sample.half_width_ns == UNBOUNDED_NS, sample.half_width_ns + growth_ns

    return min(reversed(source.samples), key=aged_ns)


def interval_at(source: Source, raw_ns: int, drift: Drift) -> Interval | None:
    """Return the hard interval of one source at `raw_ns`; None where it claims none.

    A source whose newest sample has no bound has none, whatever it said before: the kernel that
    lost its synchronisation must not live on its past.
    """
    if source.newest.half_width_ns == UNBOUNDED_NS:
        return None
    return _carried(best(source, raw_ns, drift), raw_ns, drift)


def _contradicts(source: Source, sample: ClockSample, drift: Drift) -> bool:
    before = interval_at(source, sample.raw_ns, drift)
    if before is None or sample.half_width_ns == UNBOUNDED_NS:
        return False
    return not overlaps(before, _carried(sample, sample.raw_ns, drift))


def _carried(sample: ClockSample, raw_ns: int, drift: Drift) -> Interval:
    own = Interval(sample.utc_ns - sample.half_width_ns, sample.utc_ns + sample.half_width_ns)
    return carry(own, sample.raw_ns, raw_ns, drift)
