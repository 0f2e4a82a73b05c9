"""Hard intervals about UTC, and how they widen with age. Integers, rounded outwards.

Premise, and the only one beside honest sources: over any span of time the oscillator behind
CLOCK_MONOTONIC_RAW runs within `max_drift_ppb` of `reference_ppb`. An interval that was true at one
instant, carried along at the reference rate and widened by the drift on both sides, is then true at
every other:

    [E, L] at r0  ->  [E + dt + ref*dt - drift*|dt|,  L + dt + ref*dt + drift*|dt|]  at r0 + dt

Before anything was measured the reference is 0 and the drift 500 ppm. Two true intervals far apart
bound the mean rate between them, without any model:

    (E2 - L1)/dt - 1  <=  rate  <=  (L2 - E1)/dt - 1

The middle of that becomes the reference; the drift is its half-width plus what the operator allows
the oscillator to wander (50 ppm by default; chrony's and ClockBound's 1 ppm is likely wrong on
virtual machines and in a warming case).
"""

from typing import Final, NamedTuple

__all__ = [
    "RATE_BASELINE_MIN_NS",
    "Drift",
    "Interval",
    "carry",
    "intersection",
    "measured_drift",
    "overlaps",
]

RATE_BASELINE_MIN_NS: Final = 600_000_000_000
"""Intervals closer together than this bound the rate too loosely to be of use."""
_BILLION: Final = 1_000_000_000


class Interval(NamedTuple):
    """UTC lies in [earliest_ns, latest_ns]; both ends belong to it. The instant is its user's."""

    earliest_ns: int
    latest_ns: int

    @property
    def half_width_ns(self) -> int:
        """Half of its width, rounded up."""
        return -(-(self.latest_ns - self.earliest_ns) // 2)

    def clamp(self, utc_ns: int) -> int:
        """Return the point of the interval that is nearest to `utc_ns`."""
        return min(max(utc_ns, self.earliest_ns), self.latest_ns)


class Drift(NamedTuple):
    """The premise: |true rate - reference_ppb| <= max_drift_ppb."""

    reference_ppb: int
    max_drift_ppb: int

    def growth_ppb(self, rate_ppb: int) -> int:
        """Return how fast each side widens about a line of another rate."""
        return self.max_drift_ppb + abs(rate_ppb - self.reference_ppb)


def carry(interval: Interval, from_raw_ns: int, to_raw_ns: int, drift: Drift) -> Interval:
    """Return the interval at another instant, earlier or later."""
    dt_ns = to_raw_ns - from_raw_ns
    shift_ppb_ns = dt_ns * drift.reference_ppb
    growth_ppb_ns = abs(dt_ns) * drift.max_drift_ppb
    return Interval(
        interval.earliest_ns + dt_ns + (shift_ppb_ns - growth_ppb_ns) // _BILLION,
        interval.latest_ns + dt_ns - (-(shift_ppb_ns + growth_ppb_ns) // _BILLION),
    )


def overlaps(one: Interval, other: Interval) -> bool:
    """Say whether two intervals have a point in common."""
    return one.earliest_ns <= other.latest_ns and other.earliest_ns <= one.latest_ns


def intersection(one: Interval, other: Interval) -> Interval | None:
    """Return what two intervals have in common, None where that is nothing."""
    if not overlaps(one, other):
        return None
    return Interval(max(one.earliest_ns, other.earliest_ns), min(one.latest_ns, other.latest_ns))


def measured_drift(
    first: Interval, first_raw_ns: int, last: Interval, last_raw_ns: int, wander_ppb: int
) -> Drift:
    """Return what two intervals say of the rate; they must lie >= RATE_BASELINE_MIN_NS apart."""
    dt_ns = last_raw_ns - first_raw_ns
    assert dt_ns >= RATE_BASELINE_MIN_NS, "the caller chooses the baseline"
    low_ppb = (last.earliest_ns - first.latest_ns - dt_ns) * _BILLION // dt_ns
    high_ppb = -((dt_ns - (last.latest_ns - first.earliest_ns)) * _BILLION // dt_ns)
    reference_ppb = (low_ppb + high_ppb) // 2
    return Drift(reference_ppb, high_ppb - reference_ppb + wander_ppb)
