"""Intervals: how they age, when they meet, and what they say of the rate."""

import itertools

import pytest

from hourbook.clock import rate
from hourbook.clock.bounds import (
    RATE_BASELINE_MIN_NS,
    Drift,
    Interval,
    carry,
    measured_drift,
    overlaps,
)
from hourbook.clock.rate import Anchor

S_NS = 1_000_000_000


@pytest.mark.parametrize("dt_s", [10, -10])
def test_carry_widens_both_sides_in_both_directions(dt_s: int) -> None:
    """Ten seconds at 500 ppm cost 5 ms on each side, before as after."""
    carried = carry(Interval(100, 200), 0, dt_s * S_NS, Drift(0, 500_000))

    assert carried == Interval(dt_s * S_NS + 100 - 5_000_000, dt_s * S_NS + 200 + 5_000_000)


def test_carry_follows_the_reference_rate() -> None:
    """The middle moves at the reference rate, the sides about it."""
    carried = carry(Interval(0, 0), 0, 10 * S_NS, Drift(100_000, 50_000))

    assert carried == Interval(10 * S_NS + 500_000, 10 * S_NS + 1_500_000)


def test_carry_rounds_outwards() -> None:
    """A nanosecond at 1 ppb already widens by one."""
    assert carry(Interval(0, 0), 0, 1, Drift(0, 1)) == Interval(0, 2)


def test_growth_counts_the_distance_between_the_rates() -> None:
    """About a line of another rate the sides widen by that much faster."""
    assert Drift(-20_000, 50_000).growth_ppb(10_000) == 80_000


def test_interval_clamps_and_halves() -> None:
    """A centre outside is moved to the nearest end; half a width is rounded up."""
    interval = Interval(10, 15)

    assert [interval.clamp(x) for x in (3, 12, 99)] == [10, 12, 15]
    assert interval.half_width_ns == 3


@pytest.mark.parametrize(
    ("other", "meets"),
    [(Interval(5, 9), True), (Interval(6, 9), False), (Interval(-3, 0), True)],
)
def test_overlaps_counts_a_common_end(other: Interval, meets: bool) -> None:  # noqa: FBT001 - a table
    """Intervals are closed."""
    assert overlaps(Interval(0, 5), other) is meets
    assert overlaps(other, Interval(0, 5)) is meets


def test_measured_drift_bounds_the_rate_and_adds_the_wander() -> None:
    """Two intervals of +-1 ms, 1000 s apart, on an oscillator 30 ppm slow: 30 ppm +- 2 ppm."""
    first = Interval(-1_000_000, 1_000_000)
    last = Interval(1000 * S_NS + 29_000_000, 1000 * S_NS + 31_000_000)

    assert measured_drift(first, 0, last, 1000 * S_NS, 50_000) == Drift(30_000, 52_000)


def anchor(seconds: int, half_width_ns: int = 1_000_000, true_ppb: int = 0) -> Anchor:
    """Return a true interval at a time."""
    middle = seconds * S_NS + seconds * true_ppb
    return Anchor(seconds * S_NS, Interval(middle - half_width_ns, middle + half_width_ns))


def test_anchors_are_kept_ten_minutes_apart_with_the_newest_last() -> None:
    """Samples in between replace each other in the last place."""
    anchors: tuple[Anchor, ...] = ()
    for seconds in range(0, 3000, 64):
        anchors = rate.keep(anchors, anchor(seconds))

    gaps = [b.raw_ns - a.raw_ns for a, b in itertools.pairwise(anchors)]
    assert anchors[-1].raw_ns == 2944 * S_NS
    assert all(gap >= RATE_BASELINE_MIN_NS for gap in gaps[:-1])
    assert len(anchors) == 6


def test_anchors_are_bounded() -> None:
    """Four hours of them, however long the clock runs."""
    anchors: tuple[Anchor, ...] = ()
    for seconds in range(0, 100_000, 600):
        anchors = rate.keep(anchors, anchor(seconds))

    assert len(anchors) == rate.ANCHORS_MAX


def test_rate_is_unproven_until_the_baseline_is_long_enough() -> None:
    """Before ten minutes nothing is better than the nominal rate."""
    unproven = Drift(0, 500_000)

    assert rate.measure((anchor(0), anchor(599)), unproven, 50_000) == unproven
    assert rate.measure((anchor(0), anchor(600)), unproven, 50_000).max_drift_ppb < 60_000


def test_rate_takes_the_tightest_baseline() -> None:
    """A first interval of a second wide does not spoil what later ones prove."""
    anchors = (anchor(0, S_NS), anchor(600, true_ppb=7000), anchor(1200, true_ppb=7000))

    assert rate.measure(anchors, Drift(0, 500_000), 50_000) == Drift(7000, 53_334)


def test_rate_never_loosens_the_unproven_promise() -> None:
    """Useless intervals leave the premise as it was."""
    anchors = (anchor(0, S_NS), anchor(600, S_NS))

    assert rate.measure(anchors, Drift(0, 500_000), 50_000) == Drift(0, 500_000)


@pytest.mark.parametrize("ppb", [0, 1, -1, 28_000, -500_000])
def test_fixed_point_rate_round_trips(ppb: int) -> None:
    """2^-48 is finer than a ppb."""
    assert rate.to_ppb(rate.to_fixed(ppb)) == ppb
