"""What the model knows: one frozen record, and the two ways in which it begins."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal

from hourbook.clock import centre, status
from hourbook.clock.awaited import NOBODY, Awaited
from hourbook.clock.bounds import Drift, Interval, carry
from hourbook.clock.centre import Centre
from hourbook.clock.observation import Observation
from hourbook.clock.rate import Anchor
from hourbook.clock.register import Source
from hourbook.clock.status import Happening, Status
from hourbook.clock.voting import NO_VOTE, Vote

__all__ = [
    "NO_SOURCES",
    "RATE_PRIOR_SIGMA_PPB",
    "Counters",
    "Held",
    "Limits",
    "Rejected",
    "State",
    "initial",
    "resume",
]

NO_SOURCES: Final[Mapping[str, Source]] = MappingProxyType({})
RATE_PRIOR_SIGMA_PPB: Final = 50_000.0
"""What is known of an oscillator before it was measured."""
WALL_DOUBT_NS: Final = 1e9
"""How far off a wall clock may well be that nobody vouches for."""

Rejected = Literal["", "weaker_origin", "out_of_order", "out_of_range", "too_many_sources"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator decides; units and ranges in ``ClockModelConfig``."""

    max_drift_ppb: int = 50_000
    max_drift_unproven_ppb: int = 500_000
    step_threshold_ns: int = 128_000_000
    void_after_s: int = 1000

    @property
    def unproven(self) -> Drift:
        """The premise before a rate was measured."""
        return Drift(0, self.max_drift_unproven_ppb)


@dataclass(frozen=True, slots=True)
class Held:
    """The hard interval that is in force, as of one instant."""

    raw_ns: int
    interval: Interval

    def at(self, raw_ns: int, drift: Drift) -> Interval:
        """Return it carried to another instant."""
        return carry(self.interval, self.raw_ns, raw_ns, drift)


@dataclass(frozen=True, slots=True)
class Counters:
    """What has happened since the beginning of this state's life."""

    samples: int = 0
    steps: int = 0
    disruptions: int = 0
    bound_violations: int = 0


NOTHING_YET: Final = Counters()


@dataclass(frozen=True, slots=True)
class State:
    """All that is known. Built by :func:`initial` or :func:`resume`, moved by :func:`absorb`.

    Attributes:
        limits: the operator's.
        rate_prior: rate and its sigma (ppb) for a filter that starts anew.
        centre: the statistical estimate; there is always one, at first on the wall clock alone.
        drift: the premise in force.
        followed: origin of the samples that the filter rests on; "none": it waits for its first.
        origin: strongest origin ever heard.
        sources: by name.
        held: the hard interval, None where nothing vouches for one.
        proven: the last interval that was in force, to check its successor against.
        anchors: earlier intervals, from which the rate is measured.
        status: at the last sample.
        poll_s: longest poll of a selected source.
        flags: FLAG_* of the estimate.
        voted: the last vote.
        awaited: whose votes are out.
        last_sample_raw_ns: last accepted sample, 0 before the first.
        last_step_raw_ns: when the present epoch began.
        counters: totals.
        rejected: why the last sample was not taken, "" where it was.
    """

    limits: Limits
    rate_prior: tuple[float, float]
    centre: Centre
    drift: Drift
    followed: str = "none"
    origin: str = "none"
    sources: Mapping[str, Source] = field(default_factory=lambda: NO_SOURCES)
    held: Held | None = None
    proven: Held | None = None
    anchors: tuple[Anchor, ...] = ()
    status: Status = Status.UNKNOWN
    poll_s: int = 1
    flags: int = 0
    voted: Vote = NO_VOTE
    awaited: Awaited = NOBODY
    last_sample_raw_ns: int = 0
    last_step_raw_ns: int = 0
    counters: Counters = NOTHING_YET
    rejected: Rejected = ""

    @property
    def votes_awaited(self) -> Awaited:
        """Whose votes may still change the result: nobody's while it is the machine's own clock."""
        return NOBODY if self.origin in ("kernel", "asserted") else self.awaited


def initial(
    limits: Limits,
    raw_ns: int,
    wall_ns: int,
    rate_prior: tuple[float, float] = (0.0, RATE_PRIOR_SIGMA_PPB),
) -> State:
    """Return what is known before the first sample: the wall clock, for what it is worth."""
    return State(
        limits=limits,
        rate_prior=rate_prior,
        centre=centre.start(
            Observation(raw_ns, wall_ns, wall_ns, doubt_ns=WALL_DOUBT_NS), *rate_prior
        ),
        drift=limits.unproven,
        last_step_raw_ns=raw_ns,
    )


def resume(
    state: State, held: Held, drift: Drift, centre_ns: int, poll_s: int, last_step_raw_ns: int
) -> State:
    """Return the initial state with the proven interval of an earlier run of this same boot.

    It stays in force until the first sample of this run, and is checked against that, but casts no
    vote of its own.
    """
    doubt_ns = float(max(held.interval.half_width_ns, 1))
    begun = Observation(held.raw_ns, centre_ns, centre_ns, doubt_ns=doubt_ns)
    start = centre.start(begun, *state.rate_prior)
    return replace(
        state,
        centre=start,
        origin="ntp",
        held=held,
        proven=held,
        drift=drift,
        status=status.after(state.status, Happening.CARRIED),
        poll_s=poll_s,
        last_sample_raw_ns=held.raw_ns,
        last_step_raw_ns=last_step_raw_ns,
    )
