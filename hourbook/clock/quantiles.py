"""How far the next measurement will lie from the centre: quantiles learnt from the last errors.

State
    A scale that follows the sizes of the errors; the last REMEMBERED errors, each in units of the
    scale that it met (scores); and for each quantile the level that is asked of the scores.

Assumptions
    None on the shape of the errors: real ones are far from Gaussian (their 95 % quantile was seen
    at 1.5 to 35 times their 68 % quantile). How large they are may change within minutes; their
    shape changes slowly, so that scores may be remembered for longer than the scale.

Equations
    scale    := scale + (min(|error|, CAP scale) - scale) / MEMORY: a running mean that no spike
                moves far; a plain mean of the first MEMORY
    q(level)  = scale times the score at place level (n + 1) of n, in the order of their sizes (the
                conformal correction for one that is yet to come)
    level    := level + GAIN (target - [error <= q]), within RANGE of the target
                (adaptive conformal inference, Gibbs and Candes 2021: the coverage of the past
                corrects the level, whatever the errors do)
    cliff:      errors may be of two kinds, and the wild ones about as frequent as 1 - level. Then
                chance decides whether q lies among these or those. So where two standard errors
                less of the level, sqrt(target (1 - target) / n) each, make q narrower by CLIFF, the
                lower one is taken
    early:      of few scores a share PRIOR / (n + PRIOR) is taken from what errors between Gauss
                and Laplace would have

Coverage and width at a cliff cannot both be perfect: 4 % of spikes, fifty times as large as the
noise, are now 2 % and now 6 % of a hundred measurements. Whoever insists on 95 % each time is as
wide as a spike for a third of the time, ten times the best constant in hindsight. The lower side
costs 1 to 2 % of coverage there, nothing elsewhere, and what a seed gets beyond the best constant
is the luck of its first spikes.

Never: a quantile bounds nothing. It says what usually happens.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["Quantiles", "Residuals", "learn", "next_error"]

REMEMBERED: Final = 150
_MEMORY: Final = 32
_CAP: Final = 4.0
_CLIFF: Final = 1.5
_CHANCE: Final = 2.0
_SETTLING: Final = 10
"""Errors before their mean is a yardstick for others."""
_PRIOR: Final = 10.0
_RESOLUTION_NS: Final = 1.0


class _Target(NamedTuple):
    level: float
    low: float
    high: float
    gain: float
    """In proportion to the standard deviation of what is held, sqrt(level (1 - level))."""
    means: float
    """The quantile in mean errors, where scores are too few to tell."""


_Q68: Final = _Target(0.68, 0.60, 0.76, 0.02, 1.2)
_Q95: Final = _Target(0.95, 0.90, 0.98, 0.01, 2.7)


class Quantiles(NamedTuple):
    """Half-widths (ns) that hold 68 % and 95 % of the next measurements."""

    q68_ns: float
    q95_ns: float


@dataclass(frozen=True, slots=True)
class Residuals:
    """Scale, scores and levels; see the head of the module.

    Attributes:
        count: errors seen.
        scale_ns: mean size of the last errors, spikes capped.
        scores: of the last errors, newest last; none while the scale settles.
        ordered: the same by size.
        level_68: asked for the first quantile.
        level_95: asked for the second.
        quantiles: of the next error; None before the first.
    """

    count: int = 0
    scale_ns: float = 0.0
    scores: tuple[float, ...] = ()
    ordered: tuple[float, ...] = ()
    level_68: float = _Q68.level
    level_95: float = _Q95.level
    quantiles: Quantiles | None = None


def learn(before: Residuals, error_ns: float) -> Residuals:
    """Return the residuals with one more error."""
    size_ns = max(abs(error_ns), _RESOLUTION_NS)
    level_68, level_95 = before.level_68, before.level_95
    if before.quantiles is not None:
        level_68 = _corrected(level_68, _Q68, is_held=size_ns <= before.quantiles.q68_ns)
        level_95 = _corrected(level_95, _Q95, is_held=size_ns <= before.quantiles.q95_ns)
    count, scale_ns = before.count + 1, before.scale_ns or size_ns
    score = size_ns / scale_ns
    scores, ordered = before.scores, before.ordered
    if count > _SETTLING:
        scores, ordered = _remembered(scores, ordered, score)
    scale_ns += (min(score, _CAP) - 1) * scale_ns / min(count, _MEMORY)
    said = _quantiles(ordered, scale_ns, level_68, level_95)
    return Residuals(count, scale_ns, scores, ordered, level_68, level_95, said)


def next_error(residuals: Residuals, prior_ns: float) -> Quantiles:
    """Return the quantiles of the next error; about `prior_ns` of spread before any was seen."""
    return residuals.quantiles or Quantiles(prior_ns, 2 * prior_ns)


def _corrected(level: float, target: _Target, *, is_held: bool) -> float:
    return min(max(level + target.gain * (target.level - is_held), target.low), target.high)


def _remembered(
    scores: tuple[float, ...], ordered: tuple[float, ...], newest: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the last scores with one more, in the order of their coming and by size."""
    by_size = list(ordered)
    if len(scores) >= REMEMBERED:
        del by_size[bisect_left(by_size, scores[0])]
        scores = scores[1:]
    insort(by_size, newest)
    return (*scores, newest), tuple(by_size)


def _quantiles(
    ordered: Sequence[float], scale_ns: float, level_68: float, level_95: float
) -> Quantiles:
    q68, q95 = _Q68.means, _Q95.means
    if ordered:
        count = len(ordered)
        early = _PRIOR / (count + _PRIOR)
        wide = _at(ordered, level_95)
        chance = _CHANCE * math.sqrt(_Q95.level * (1 - _Q95.level) / count)
        narrow = _at(ordered, level_95 - chance)
        q95 = early * q95 + (1 - early) * (narrow if wide > _CLIFF * narrow else wide)
        q68 = early * q68 + (1 - early) * _at(ordered, level_68)
    return Quantiles(scale_ns * q68, scale_ns * max(q68, q95))


def _at(ordered: Sequence[float], level: float) -> float:
    """Return the score at a level, interpolated."""
    last = len(ordered) - 1
    place = min(max(level * (last + 2) - 1, 0.0), last)
    below = min(int(place), last - 1) if last else 0
    upper = ordered[min(below + 1, last)]
    return ordered[below] + (upper - ordered[below]) * (place - below)
