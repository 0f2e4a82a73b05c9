"""Spike or step: what to make of a measurement that is grossly off. Pure.

A measurement further than GROSS scales from the centre is an outlier. One alone is a spike, two
that agree are a step: then the past says nothing of the offset any more. Where spikes have been
more frequent than steps, two of them may well agree by chance, and it takes three.

The one between, when only the first has come, is a bet. An outlier that its own delay explains is a
spike. Otherwise, if it is so large (HUGE) that waiting would cost more than everything that
the experts win over the last measurement, and steps have been at least as frequent as spikes, the
centre follows it at once, until the next measurement confirms or refutes it.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

__all__ = ["CALM", "Change", "Changes", "judge"]

GROSS: Final = 8.0
"""Median errors; more than five standard deviations where errors are Gaussian."""
HUGE: Final = 80.0
JUDGED_MIN: Final = 10
"""Errors before their median is a yardstick."""
_AGREE_SCALES: Final = 4.0
_AGREE_SHARE: Final = 0.3


class Change(Enum):
    """What the newest measurement means."""

    NONE = "none"
    OUTLIER = "outlier"
    STEP = "step"


@dataclass(frozen=True, slots=True)
class Changes:
    """What is known of outliers.

    Attributes:
        change: what the newest measurement meant.
        suspect_ns: where the last outlier lay, from the centre that had not followed it; 0: none.
        followed_ns: by how much the centre follows it meanwhile.
        agreeing: measurements in a row that lie there.
        steps: outliers that were confirmed.
        spikes: outliers that were not.
    """

    change: Change = Change.NONE
    suspect_ns: float = 0.0
    followed_ns: float = 0.0
    agreeing: int = 0
    steps: int = 0
    spikes: int = 0


CALM: Final = Changes()


def judge(
    before: Changes, error_ns: float, scale_ns: float, judged: int, excusable_ns: float
) -> Changes:
    """Return what is known after a measurement.

    Args:
        before: what was known.
        error_ns: measurement minus the centre, which follows `before.followed_ns`.
        scale_ns: median size of such errors.
        judged: how many errors that rests on.
        excusable_ns: how large an error the measurement's own delay explains.
    """
    own_ns = error_ns + before.followed_ns
    if before.suspect_ns:
        near_ns = max(_AGREE_SCALES * scale_ns, _AGREE_SHARE * abs(before.suspect_ns))
        if abs(own_ns - before.suspect_ns) < near_ns:
            if before.agreeing + 1 < _needed(before):
                return replace(before, agreeing=before.agreeing + 1)
            return Changes(Change.STEP, steps=before.steps + 1, spikes=before.spikes)
        before = Changes(steps=before.steps, spikes=before.spikes + 1)
    if abs(own_ns) <= GROSS * scale_ns or judged < JUDGED_MIN:
        return before if before.change is Change.NONE else replace(before, change=Change.NONE)
    is_bet = abs(own_ns) > max(HUGE * scale_ns, excusable_ns) and before.steps >= before.spikes
    return Changes(
        Change.OUTLIER, own_ns, own_ns if is_bet else 0.0, 1, before.steps, before.spikes
    )


def _needed(before: Changes) -> int:
    return 2 if before.steps >= before.spikes else 3
