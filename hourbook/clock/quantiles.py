"""How far the next measurement will lie from the centre: quantiles learnt from the last errors.

State
    The sizes of the last REMEMBERED errors, and for each quantile the level that is asked of them.

Assumptions
    None on their shape: real residuals are far from Gaussian (their 95 % quantile was seen at 1.5
    to 35 times their 68 % quantile). The next error is like the last ones, sooner forgotten the
    older they are.

Equations
    weight of the error of n measurements ago: FORGETTING^n, together W, worth n_eff = W^2 / sum w^2
    q(level)  = where the weights, in the order of the sizes, reach level (W + W / (2 n_eff)):
                half of the usual conformal correction for one that is yet to come
    level    := level + GAIN (target - [error <= q]), within RANGE of the target
                (adaptive conformal inference, Gibbs and Candes 2021: the coverage of the past
                corrects the level, so that it holds in the long run whatever the errors do)
    early:      while n_eff is small, a share PRIOR / (n_eff + PRIOR) is taken from the median
                error times what it would be for errors between Gauss and Laplace

Never: a quantile bounds nothing. It says what usually happens.
"""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple

__all__ = ["Quantiles", "Residuals", "learn", "next_error"]

REMEMBERED: Final = 120
_FORGETTING: Final = 0.98
_WEIGHTS: Final = tuple(_FORGETTING**age for age in range(REMEMBERED - 1, -1, -1))
_GAIN: Final = 0.02
_PRIOR: Final = 20.0


class _Target(NamedTuple):
    level: float
    low: float
    high: float
    medians: float
    """The quantile in median errors, where errors are too few to tell."""


_Q68: Final = _Target(0.68, 0.60, 0.76, 1.5)
_Q95: Final = _Target(0.95, 0.90, 0.97, 2.7)


class Quantiles(NamedTuple):
    """Half-widths (ns) that hold 68 % and 95 % of the next measurements."""

    q68_ns: float
    q95_ns: float


@dataclass(frozen=True, slots=True)
class Residuals:
    """Errors and levels; see the head of the module.

    Attributes:
        errors_ns: sizes, newest last.
        level_68: asked for the first quantile.
        level_95: asked for the second.
        quantiles: of the next error; None before the first.
    """

    errors_ns: tuple[float, ...] = ()
    level_68: float = _Q68.level
    level_95: float = _Q95.level
    quantiles: Quantiles | None = None


def learn(before: Residuals, error_ns: float) -> Residuals:
    """Return the residuals with one more error."""
    size_ns = abs(error_ns)
    level_68, level_95 = before.level_68, before.level_95
    if before.quantiles is not None:
        level_68 = _corrected(level_68, _Q68, is_held=size_ns <= before.quantiles.q68_ns)
        level_95 = _corrected(level_95, _Q95, is_held=size_ns <= before.quantiles.q95_ns)
    errors = (*before.errors_ns, size_ns)[-REMEMBERED:]
    return Residuals(errors, level_68, level_95, _quantiles(errors, level_68, level_95))


def next_error(residuals: Residuals, prior_ns: float) -> Quantiles:
    """Return the quantiles of the next error; about `prior_ns` of spread before any was seen."""
    return residuals.quantiles or Quantiles(prior_ns, 2 * prior_ns)


def _corrected(level: float, target: _Target, *, is_held: bool) -> float:
    return min(max(level + _GAIN * (target.level - is_held), target.low), target.high)


def _quantiles(errors: tuple[float, ...], level_68: float, level_95: float) -> Quantiles:
    count = len(errors)
    weighted = sorted(zip(errors, _WEIGHTS[-count:], strict=True))
    sizes = [size for size, _ in weighted]
    reached = list(accumulate([weight for _, weight in weighted]))
    total = reached[-1]
    effective = total**2 / _geometric(_FORGETTING**2, count)
    early = _PRIOR / (effective + _PRIOR)
    typical_ns = (sizes[count // 2] + sizes[-(count // 2) - 1]) / 2
    share = total + total / (2 * effective)
    q68 = _at(sizes, reached, level_68 * share)
    q95 = _at(sizes, reached, level_95 * share)
    q68 += early * (_Q68.medians * typical_ns - q68)
    q95 += early * (_Q95.medians * typical_ns - q95)
    return Quantiles(q68, max(q68, q95))


def _geometric(ratio: float, count: int) -> float:
    """Return the sum of so many powers of a ratio."""
    return (1 - ratio**count) / (1 - ratio)


def _at(sizes: list[float], reached: list[float], goal: float) -> float:
    """Return the size at which the weights of the smaller ones reach the goal, interpolated."""
    index = bisect_left(reached, goal)
    if index >= len(sizes):
        return sizes[-1]
    if index == 0:
        return sizes[0]
    share = (goal - reached[index - 1]) / (reached[index] - reached[index - 1])
    return sizes[index - 1] + (sizes[index] - sizes[index - 1]) * share
