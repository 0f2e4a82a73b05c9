"""Many small opinions on where UTC is, each with its own memory. Pure.

Nobody knows beforehand whether a source is calm or wild, whether the oscillator wanders, or whether
another daemon keeps CLOCK_REALTIME in step. So each possibility has its expert:

- *levels* believe in the wall clock's rate and look for its offset: medians and trimmed means over
  some of the last measurements, medians that trust short delays more, and `wall`: the wall clock is
  right as it is. The median of one is `hold`.
- *lines* believe in neither and find the rate: least squares, and over more than a few Theil-Sen
  as well, which spikes do not move.
- *steered* levels take the rate from the long-term model.
- the two filters, which come in from outside.

A rate has to earn its trust: whoever brings one begins with a handicap, since at a long interval a
wrong rate does more harm than a wrong offset. What each opinion is worth, `fusion.py` learns.

Memory lengths form a scale by factors of about 1.5 to 2; they were not fitted to any recording.
"""

from collections.abc import Iterator
from typing import Final

from hourbook.clock.line import Line
from hourbook.clock.observation import Window
from hourbook.clock.robust import (
    least_squares,
    median,
    median_and_trimmed_mean,
    theil_sen,
    weighted_median,
)

__all__ = ["RATE_HANDICAP", "WALL", "opinions"]

WALL: Final = "wall"
"""Who alone has no memory, and so is not moved by a step."""

RATE_HANDICAP: Final = 4.0
"""As much as one gross error costs."""
_LEVELS: Final = (3, 5, 9, 15, 25, 45)
_WEIGHTED: Final = (9, 21, 45)
_LEAST_SQUARES: Final = (2, 3, 4, 8, 20)
_THEIL_SEN: Final = (8, 20, 45)
_STEERED: Final = (9, 25)
_FILLED_MIN: Final = 0.6
"""An expert speaks once this share of its memory is filled."""


def opinions(window: Window, long_rate_ppb: float | None) -> dict[str, Line]:
    """Return what each expert that has seen enough says, by name.

    Args:
        window: the last measurements.
        long_rate_ppb: of the long-term model, None while there is none.
    """
    found = dict(_levels(window))
    found |= _lines(window)
    if long_rate_ppb is not None:
        found |= _steered(window, long_rate_ppb)
    return found


def _levels(window: Window) -> Iterator[tuple[str, Line]]:
    corrections, seen = window.corrections_ns, len(window.ages_s)

    def level(correction_ns: float) -> Line:
        return Line(window.reference, correction_ns, window.wall_rate_ppb)

    yield WALL, Line(window.reference, window.wall_ahead_ns, window.wall_rate_ppb)
    yield "median-1", level(corrections[-1])
    for length in _LEVELS:
        if seen >= _FILLED_MIN * length:
            middle_ns, mean_ns = median_and_trimmed_mean(corrections[-length:])
            yield f"median-{length}", level(middle_ns)
            yield f"trimmed-{length}", level(mean_ns)
    typical_ns = window.typical_doubt_ns
    trust = [1 / (typical_ns + doubt_ns) for doubt_ns in window.doubts_ns]
    for length in _WEIGHTED:
        if seen >= _FILLED_MIN * length:
            at = weighted_median(corrections[-length:], trust[-length:])
            yield f"trusting-{length}", level(at)


def _lines(window: Window) -> Iterator[tuple[str, Line]]:
    ages, offsets = window.ages_s, window.offsets_ns
    for length in _LEAST_SQUARES:
        if len(ages) >= max(2, _FILLED_MIN * length):
            fit = least_squares(ages[-length:], offsets[-length:])
            yield f"line-{length}", Line(window.reference, *fit, RATE_HANDICAP)
    for length in _THEIL_SEN:
        if len(ages) >= _FILLED_MIN * length:
            fit = theil_sen(ages[-length:], offsets[-length:])
            yield f"theil-sen-{length}", Line(window.reference, *fit, RATE_HANDICAP)


def _steered(window: Window, rate_ppb: float) -> Iterator[tuple[str, Line]]:
    flat = [y - rate_ppb * x for x, y in zip(window.ages_s, window.offsets_ns, strict=True)]
    for length in _STEERED:
        if len(flat) >= _FILLED_MIN * length:
            at = median(flat[-length:])
            yield f"steered-{length}", Line(window.reference, at, rate_ppb, RATE_HANDICAP)
