"""Statistics that a few wild values cannot move: medians, trimmed means, lines. Pure.

Sources: Theil (1950) and Sen (1968) for the median of slopes, in Theil's "incomplete" form that
pairs each point with the one half a window later: n/2 slopes instead of n^2/2, as robust.
"""

from collections.abc import Sequence
from operator import mul
from typing import NamedTuple

__all__ = [
    "Fit",
    "least_squares",
    "median",
    "median_and_trimmed_mean",
    "theil_sen",
    "weighted_median",
]


class Fit(NamedTuple):
    """A line: its value at 0, and its slope per unit."""

    level: float
    slope: float


def median(values: Sequence[float]) -> float:
    """Return the middle value, of an even number the mean of the two (there is at least one)."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[-middle - 1]) / 2


def weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the value below and above which lies half of the weight (> 0 in all)."""
    half = sum(weights) / 2
    reached = 0.0
    ordered = sorted(zip(values, weights, strict=True))
    for value, weight in ordered:
        reached += weight
        if reached >= half:
            return value
    return ordered[-1][0]


def median_and_trimmed_mean(values: Sequence[float], share: float = 0.25) -> tuple[float, float]:
    """Return both at the price of one."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[-middle - 1]) / 2, _mean_inside(ordered, share)


def _mean_inside(ordered: Sequence[float], share: float) -> float:
    cut = int(len(ordered) * share)
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)


def theil_sen(xs: Sequence[float], ys: Sequence[float]) -> Fit:
    """Return the line of median slope and median residual; flat where all x are the same."""
    half = len(xs) // 2
    slopes = [
        (ys[i + half] - ys[i]) / (xs[i + half] - xs[i])
        for i in range(len(xs) - half)
        if xs[i + half] != xs[i]
    ]
    slope = median(slopes) if slopes else 0.0
    return Fit(median([y - slope * x for x, y in zip(xs, ys, strict=True)]), slope)


def least_squares(
    xs: Sequence[float], ys: Sequence[float], weights: Sequence[float] | None = None
) -> Fit:
    """Return the line of least (weighted) squares; flat where all x are the same."""
    if weights is None:
        mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(xs)
        lever = [x - mean_x for x in xs]
    else:
        total = sum(weights)
        mean_x = sum(map(mul, weights, xs)) / total
        mean_y = sum(map(mul, weights, ys)) / total
        lever = [w * (x - mean_x) for w, x in zip(weights, xs, strict=True)]
    spread = sum(map(mul, lever, xs))
    slope = sum(map(mul, lever, ys)) / spread if spread > 0.0 else 0.0
    return Fit(mean_y - slope * mean_x, slope)
