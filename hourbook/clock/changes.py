"""Spike or step: what to make of a measurement that is grossly off. Pure.

A measurement further than GROSS scales from the centre is an outlier. One alone is a spike, two
that agree are a step: then the past says nothing of the offset any more. Where spikes have been
more frequent than steps, two of them may well agree by chance, and it takes three.

A step is on probation for the next PROBATION measurements: if one of them lies where the clock was
before, the step was neighbouring spikes, and what was known before it is known again (RETURN).

The one between, when only the first has come, is a bet: to wait for a step costs its height once
more, and to follow a spike costs as much. An outlier that its own delay explains is a spike. Where
steps have been more frequent than spikes, what is LARGE is followed at once, until the next
measurement confirms or refutes it. Where both have been as frequent (mostly: neither was seen),
what the experts win over two hundred measurements is AFFORDED: so much of it may be lost by
waiting, and the rest is followed.
"""

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

__all__ = ["CALM", "JUDGED_MIN", "Change", "Changes", "judge"]

GROSS: Final = 8.0
"""Median errors; more than five standard deviations where errors are Gaussian."""
LARGE: Final = 20.0
AFFORDED: Final = 100.0
"""A third of a standard deviation, what a mean is better than the last value, 200 times."""
JUDGED_MIN: Final = 10
"""Errors before their median is a yardstick."""
PROBATION: Final = 3
_AGREE_SCALES: Final = 4.0
_AGREE_SHARE: Final = 0.3


class Change(Enum):
    """What the newest measurement means."""

    NONE = "none"
    OUTLIER = "outlier"
    STEP = "step"
    RETURN = "return"


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
        moved_ns: height of the last step.
        probation: measurements that may still refute it.
    """

    change: Change = Change.NONE
    suspect_ns: float = 0.0
    followed_ns: float = 0.0
    agreeing: int = 0
    steps: int = 0
    spikes: int = 0
    moved_ns: float = 0.0
    probation: int = 0


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
    own_ns, steps, spikes = error_ns + before.followed_ns, before.steps, before.spikes
    if before.probation:
        if _agree(own_ns, -before.moved_ns, scale_ns):
            return Changes(Change.RETURN, steps=steps - 1, spikes=spikes + before.agreeing)
        before = replace(before, change=Change.NONE, probation=before.probation - 1)
    if before.suspect_ns:
        if _agree(own_ns, before.suspect_ns, scale_ns):
            agreeing = before.agreeing + 1
            if agreeing < _needed(before):
                return replace(before, agreeing=agreeing)
            return Changes(
                Change.STEP,
                agreeing=agreeing,
                steps=steps + 1,
                spikes=spikes,
                moved_ns=own_ns,
                probation=PROBATION,
            )
        spikes += 1
        before = replace(
            before, change=Change.NONE, suspect_ns=0.0, followed_ns=0.0, agreeing=0, spikes=spikes
        )
    if abs(own_ns) <= GROSS * scale_ns or judged < JUDGED_MIN:
        return before if before.change is Change.NONE else replace(before, change=Change.NONE)
    return replace(
        before,
        change=Change.OUTLIER,
        suspect_ns=own_ns,
        followed_ns=_followed_ns(before, own_ns, scale_ns, excusable_ns),
        agreeing=1,
    )


def _followed_ns(before: Changes, own_ns: float, scale_ns: float, excusable_ns: float) -> float:
    """Return how much of a first outlier to follow."""
    if before.steps < before.spikes or abs(own_ns) <= excusable_ns:
        return 0.0
    if before.steps > before.spikes:
        return own_ns if abs(own_ns) > LARGE * scale_ns else 0.0
    return math.copysign(max(abs(own_ns) - AFFORDED * scale_ns, 0.0), own_ns)


def _agree(one_ns: float, other_ns: float, scale_ns: float) -> bool:
    near_ns = max(_AGREE_SCALES * scale_ns, _AGREE_SHARE * abs(other_ns))
    return abs(one_ns - other_ns) < near_ns


def _needed(before: Changes) -> int:
    return 2 if before.steps >= before.spikes else 3
