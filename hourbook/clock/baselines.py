"""The simple predictors that every estimate has to beat. Pure.

Each sees the rows that the model had seen, and nothing of the one that it predicts.
"""

from collections.abc import Sequence
from typing import Final

from hourbook.clock.robust import least_squares, median

__all__ = ["BASELINES", "MEMORY", "predictions_ms"]

BASELINES: Final = ("hold", "line-20", "median-10", "zero")
MEMORY: Final = 20
"""Rows that the longest of them looks back over."""
_MEDIAN: Final = 10


def predictions_ms(ages_s: Sequence[float], offsets_ms: Sequence[float]) -> tuple[float, ...]:
    """Return what each of BASELINES says of an instant.

    Args:
        ages_s: of at most MEMORY rows against that instant, < 0, oldest first; at least one.
        offsets_ms: of the same rows.
    """
    return (
        offsets_ms[-1],
        least_squares(ages_s, offsets_ms).level,
        median(offsets_ms[-_MEDIAN:]),
        0.0,
    )
