"""The long-term estimate: a robust weighted regression over hours, for the rate and for holdover.

State
    Up to POINTS_MAX measurements, as integers. They lie close together at first; when there is no
    more room they are put into cells of time, twice as wide each time (up to SPACING_MAX_S), and
    of each cell the least doubtful one stays. So a minute of fast polls and hours of slow ones
    both fill it.

Assumptions
    Over the span that is kept UTC is a straight line over RAW: the rate is constant. Where it is
    not, residuals of one sign come in runs; then the span is too long, and the oldest go.
    Each measurement errs by a common scatter plus what its own delay may hide; some are far off.

Equations (chrony's sourcestats, and Huber's weights)
    w_i = 1 / (s + doubt_i - min doubt)^2 * min(1, HUBER s / |r_i|),   s = 1.4826 median |r|,
          ROUNDS times, from the residuals of a Theil-Sen line
    u = r + offset,  rate r = sum w (x - X)(y - Y) / sum w (x - X)^2  about the weighted means X, Y
    var(rate) = [sum v psi^2 / (n - 4)] / m^2 / sum v (x - X)^2,
          v = 1 / (s + doubt_i - min doubt)^2, psi = res cut to within HUBER s, m = the share of
          residuals within (Huber 1981, 7.6): a wild point counts as one that is just believed.
          n - 4 in place of n - 2, since few points tell their own scatter badly: Student's t of
          n - 2 has the variance (n - 2) / (n - 4)
    runs test (Wald and Wolfowitz 1940): with n+ and n- residuals of either sign and
          m = 2 n+ n- / n + 1,  v = (m - 1)(m - 2) / (n - 1),
          fewer than m - RUNS_SIGMAS sqrt(v) runs: drop the oldest quarter, and fit again

Never: this estimate bounds nothing; and it is not independent of the short-term one, since both see
the same measurements. They are weighed against each other by what they got right (`fusion.py`).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final, NamedTuple

from hourbook.clock.line import S_NS, Line, Reference
from hourbook.clock.observation import Observation
from hourbook.clock.robust import least_squares, median, theil_sen

__all__ = ["POINTS_MIN", "LongTerm", "Trend", "keep", "line"]

POINTS_MAX: Final = 64
"""As many as chrony keeps."""
POINTS_MIN: Final = 6
SPACING_MAX_S: Final = 64.0
_REFIT_SHARE: Final = 16
"""A long memory changes slowly: fit again when a sixteenth of it is new."""
_ROUNDS: Final = 2
_HUBER: Final = 1.5
_SCATTER: Final = 1.4826
"""From a median of sizes to a standard deviation, for Gaussian errors."""
_RESOLUTION_NS: Final = 1.0
"""Of every measurement: a perfect line has no smaller scatter."""
_SHAPED: Final = 4
"""Points less that tell the scatter: two for the line, two for how badly the others tell it."""
_RUNS_SIGMAS: Final = 1.645
"""One chance in twenty to shorten a span that was good."""


class Trend(NamedTuple):
    """What a regression gives; the offset is UTC minus the reference line, at its `raw_ns`.

    Attributes:
        reference: newest point.
        offset_ns: of the line there.
        rate_ppb: of the line.
        sigma_rate_ppb: its standard error.
        used: points that the runs test left.
    """

    reference: Reference
    offset_ns: float
    rate_ppb: float
    sigma_rate_ppb: float
    used: int


@dataclass(frozen=True, slots=True)
class LongTerm:
    """The memory of hours.

    Attributes:
        points: oldest first.
        spacing_s: width of the cells that hold one point each.
        trend: the last regression over them, None while there are fewer than POINTS_MIN.
        unfitted: points that came since.
    """

    points: tuple[Observation, ...] = ()
    spacing_s: float = 0.0
    trend: Trend | None = None
    unfitted: int = 0


def keep(before: LongTerm, observation: Observation) -> LongTerm:
    """Return the memory with one more measurement, which is not earlier than the last."""
    points, spacing_s = before.points, before.spacing_s
    if points and _cell(points[-1], spacing_s) == _cell(observation, spacing_s):
        if points[-1].doubt_ns < observation.doubt_ns:
            return before
        points = points[:-1]
    points = (*points, observation)
    while len(points) > POINTS_MAX and spacing_s < SPACING_MAX_S:
        spacing_s = max(1.0, 2 * spacing_s)
        points = _thinned(points, spacing_s)
    points = points[-POINTS_MAX:]
    if len(points) < POINTS_MIN:
        return LongTerm(points, spacing_s)
    if before.trend and (before.unfitted + 1) * _REFIT_SHARE < len(points):
        return LongTerm(points, spacing_s, before.trend, before.unfitted + 1)
    return LongTerm(points, spacing_s, _fit(points))


def line(memory: LongTerm, handicap: float = 0.0) -> Line | None:
    """Return the regression's opinion."""
    trend = memory.trend
    return trend and Line(trend.reference, trend.offset_ns, trend.rate_ppb, handicap)


def _thinned(points: Sequence[Observation], spacing_s: float) -> tuple[Observation, ...]:
    """Keep of each cell of a grid the point that is the least doubtful, of equals the last."""
    cells: dict[int, Observation] = {}
    for point in points:
        cell = _cell(point, spacing_s)
        if cell not in cells or point.doubt_ns <= cells[cell].doubt_ns:
            cells[cell] = point
    return tuple(cells.values())


def _cell(point: Observation, spacing_s: float) -> int:
    return point.raw_ns // max(round(spacing_s * S_NS), 1)


def _fit(points: Sequence[Observation]) -> Trend:
    """Fit, and shorten the span until the residuals change sign as often as chance does."""
    newest = points[-1]
    reference = Reference(newest.raw_ns, newest.utc_ns)
    line_ns = newest.utc_ns - newest.raw_ns
    xs = [(one.raw_ns - newest.raw_ns) / S_NS for one in points]
    ys = [float(one.utc_ns - one.raw_ns - line_ns) for one in points]
    doubts = [one.doubt_ns for one in points]
    while True:
        level, rate_ppb, sigma_ppb, residuals = _weighted(xs, ys, doubts)
        if len(xs) <= POINTS_MIN or _is_random(residuals):
            return Trend(reference, level, rate_ppb, sigma_ppb, len(xs))
        first = max(1, min(len(xs) // 4, len(xs) - POINTS_MIN))
        xs, ys, doubts = xs[first:], ys[first:], doubts[first:]


def _weighted(
    xs: Sequence[float], ys: Sequence[float], doubts: Sequence[float]
) -> tuple[float, float, float, list[float]]:
    """Return level and slope of the robust line, the slope's error, and the residuals."""
    least_ns = min(doubts)
    fit = theil_sen(xs, ys)
    for _ in range(_ROUNDS):
        level, slope = fit
        residuals = [abs(y - level - slope * x) for x, y in zip(xs, ys, strict=True)]
        scatter = max(_SCATTER * median(residuals), _RESOLUTION_NS)
        limit, own = _HUBER * scatter, scatter - least_ns
        weights = [
            (limit / r if r > limit else 1.0) / (own + doubt) ** 2
            for r, doubt in zip(residuals, doubts, strict=True)
        ]
        fit = least_squares(xs, ys, weights)
    level, slope = fit
    signed = [y - level - slope * x for x, y in zip(xs, ys, strict=True)]
    trusts = [1 / (own + doubt) ** 2 for doubt in doubts]
    return level, slope, _slope_error(xs, trusts, signed, limit), signed


def _slope_error(
    xs: Sequence[float], trusts: Sequence[float], residuals: Sequence[float], limit: float
) -> float:
    total, count = sum(trusts), len(xs)
    mean_x = sum(map(mul, trusts, xs)) / total
    spread = sum([v * (x - mean_x) ** 2 for v, x in zip(trusts, xs, strict=True)])
    within = sum([abs(r) <= limit for r in residuals]) / count
    if spread <= 0.0 or within <= 0.0:
        return math.inf
    chi = sum([v * min(abs(r), limit) ** 2 for v, r in zip(trusts, residuals, strict=True)])
    return math.sqrt(chi / (count - _SHAPED) / spread) / within


def _is_random(residuals: Sequence[float]) -> bool:
    """Say whether the signs of the residuals change as often as those of a fair coin."""
    signs = [r > 0 for r in residuals]
    n = len(signs)
    above = sum(signs)
    runs = 1 + sum(a is not b for a, b in itertools.pairwise(signs))
    expected = 2 * above * (n - above) / n + 1
    variance = (expected - 1) * (expected - 2) / (n - 1)
    return runs >= expected - _RUNS_SIGMAS * math.sqrt(max(variance, 0.0))
