"""How the true rate of the oscillator is bounded over hours, and how a rate is written.

An *anchor* is a hard interval of some time ago. Anchors are kept ten minutes apart for four hours;
each of them bounds the mean rate since then (`bounds.measured_drift`), and the tightest is taken:
most often the oldest, which gives the longest baseline.
"""

from typing import Final, NamedTuple

from hourbook.clock.bounds import RATE_BASELINE_MIN_NS, Drift, Interval, measured_drift
from protocols.clock_messages import RATE_ONE

__all__ = ["ANCHORS_MAX", "Anchor", "keep", "measure", "to_fixed", "to_ppb"]

ANCHORS_MAX: Final = 24
_BILLION: Final = 1_000_000_000


class Anchor(NamedTuple):
    """A hard interval and its instant."""

    raw_ns: int
    interval: Interval


def keep(anchors: tuple[Anchor, ...], anchor: Anchor) -> tuple[Anchor, ...]:
    """Return the anchors with the newest at the end, the others at least a baseline apart.

    The last place always holds the newest interval; it stays for good once it is far enough from
    the one before it.
    """
    settled = anchors[:-1] if _is_provisional(anchors) else anchors
    return (*settled, anchor)[-ANCHORS_MAX:]


def measure(anchors: tuple[Anchor, ...], unproven: Drift, wander_ppb: int) -> Drift:
    """Return the premise that the anchors (at least one) allow, `unproven` at the loosest.

    Anchors that put the rate where `unproven` excludes it count for nothing: one of their
    intervals is false.
    """
    last = anchors[-1]
    far = [one for one in anchors if last.raw_ns - one.raw_ns >= RATE_BASELINE_MIN_NS]
    for anchor in sorted(far, key=lambda one: _looseness(one, last)):
        drift = measured_drift(
            anchor.interval, anchor.raw_ns, last.interval, last.raw_ns, wander_ppb
        )
        if abs(drift.reference_ppb - unproven.reference_ppb) <= unproven.max_drift_ppb:
            return min(unproven, drift, key=lambda one: one.max_drift_ppb)
    return unproven


def to_fixed(rate_ppb: int) -> int:
    """Return a rate in units of 2^-48, as messages and the segment carry it."""
    return (rate_ppb * RATE_ONE + _BILLION // 2) // _BILLION


def to_ppb(rate_fixed: int) -> int:
    """Return a rate of messages in ppb."""
    return (rate_fixed * _BILLION + RATE_ONE // 2) // RATE_ONE


def _is_provisional(anchors: tuple[Anchor, ...]) -> bool:
    return len(anchors) > 1 and anchors[-1].raw_ns - anchors[-2].raw_ns < RATE_BASELINE_MIN_NS


def _looseness(first: Anchor, last: Anchor) -> float:
    """Return how loosely two anchors bound the rate between them, in seconds a second."""
    open_ns = first.interval.latest_ns - first.interval.earliest_ns
    open_ns += last.interval.latest_ns - last.interval.earliest_ns
    return open_ns / (last.raw_ns - first.raw_ns)
