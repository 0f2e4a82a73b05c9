"""One measurement as the estimators see it, and the window of the last ones. Pure.

How far a measurement may be doubted is told by its own delay. What it waited in queues may all lie
on one leg, and some part of the quiet path is asymmetric:

    doubt = floor + queued / 2 + (quiet delay + root delay) * asymmetry

It is relative: how large the errors really are, each estimator learns from its own residuals.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from hourbook.clock.line import Reference
from hourbook.clock.robust import median

__all__ = [
    "DOUBT_NS_MIN",
    "WINDOW",
    "Observation",
    "Window",
    "doubt_ns",
    "remember",
    "window_about",
]

WINDOW: Final = 45
"""Measurements that the experts look back over."""
DOUBT_NS_MIN: Final = 10_000.0
"""Scheduling and interrupts at both ends of even the shortest path."""
_ASYMMETRY: Final = 0.05


class Observation(NamedTuple):
    """One measurement.

    Attributes:
        raw_ns: when.
        utc_ns: what it says.
        wall_ns: what CLOCK_REALTIME said at the same instant.
        queued_ns: its delay beyond the quiet delay of its path.
        doubt_ns: see :func:`doubt_ns`.
        bias_ns: by how much its source is ahead of the others; already taken off `utc_ns`.
    """

    raw_ns: int
    utc_ns: int
    wall_ns: int
    queued_ns: int = 0
    doubt_ns: float = DOUBT_NS_MIN
    bias_ns: int = 0


class Window(NamedTuple):
    """The last measurements in floats about the newest, oldest first; never empty.

    Attributes:
        reference: the newest measurement.
        ages_s: seconds before the newest, <= 0.
        offsets_ns: UTC minus the reference line.
        corrections_ns: UTC minus CLOCK_REALTIME, less that of the newest: immune to what the
            oscillator does, as far as another daemon keeps the wall clock in step.
        doubts_ns: of each.
        typical_doubt_ns: their median.
        wall_ahead_ns: CLOCK_REALTIME minus the reference line, at the newest.
        wall_rate_ppb: CLOCK_REALTIME against RAW, minus one, over the whole window.
    """

    reference: Reference
    ages_s: list[float]
    offsets_ns: list[float]
    corrections_ns: list[float]
    doubts_ns: list[float]
    typical_doubt_ns: float
    wall_ahead_ns: float
    wall_rate_ppb: float


def doubt_ns(queued_ns: int, path_ns: int) -> float:
    """Return how far off a measurement may be by its delay, as a standard deviation would say it.

    Args:
        queued_ns: its delay beyond the quiet delay of its path.
        path_ns: quiet delay and root delay together.
    """
    return DOUBT_NS_MIN + queued_ns / 2 + path_ns * _ASYMMETRY


def remember(seen: Sequence[Observation], newest: Observation) -> tuple[Observation, ...]:
    """Return the last WINDOW measurements with one more."""
    return (*seen[-(WINDOW - 1) :], newest)


def window_about(seen: Sequence[Observation], rate_ppb: float) -> Window:
    """Return the window as floats; `rate_ppb` stands in for the wall's while it cannot be told."""
    newest, oldest = seen[-1], seen[0]
    raw_ns, utc_ns, wall_ns = newest.raw_ns, newest.utc_ns, newest.wall_ns
    span_ns = raw_ns - oldest.raw_ns
    wall_rate_ppb = rate_ppb
    if span_ns >= _WALL_BASELINE_NS:
        wall_rate_ppb = (wall_ns - oldest.wall_ns - span_ns) / span_ns * 1e9
    doubts = [one.doubt_ns for one in seen]
    return Window(
        reference=Reference(raw_ns, utc_ns),
        ages_s=[(one.raw_ns - raw_ns) / 1e9 for one in seen],
        offsets_ns=[float(one.utc_ns - utc_ns - one.raw_ns + raw_ns) for one in seen],
        corrections_ns=[float(one.utc_ns - utc_ns - one.wall_ns + wall_ns) for one in seen],
        doubts_ns=doubts,
        typical_doubt_ns=median(doubts),
        wall_ahead_ns=float(wall_ns - utc_ns),
        wall_rate_ppb=wall_rate_ppb,
    )


_WALL_BASELINE_NS: Final = 2_000_000_000
"""Both clocks are read within 0.1 us: over this long that makes 50 ppb."""
