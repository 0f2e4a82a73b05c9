"""What breaks a clock from outside, told from two looks at the machine. Pure.

suspend        BOOTTIME - MONOTONIC moved: RAW stood still while the world went on
migration      the marker of /dev/vmclock0 changed: the counter behind RAW may be another one
external_step  REALTIME - RAW jumped: a person or a daemon set the kernel's clock. That harms a
               clock that rests on the kernel's; one that rests on NTP counts it and goes on
"""

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["CAUSES", "STEP_NS_MIN", "SUSPEND_NS_MIN", "Cause", "Surroundings", "disruption_between"]

Cause = Literal["suspend", "migration", "external_step"]
CAUSES: Final[tuple[Cause, ...]] = ("suspend", "migration", "external_step")
SUSPEND_NS_MIN: Final = 20_000_000
"""As in shm/include/hourbook_clock.h."""
STEP_NS_MIN: Final = 5_000_000
"""Other daemons slew by up to 0.1 % or so: between two looks, at most a second apart, 1 ms."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One look at what is outside our control."""

    suspended_ns: int
    realtime_minus_raw_ns: int
    vmclock_marker: int


def disruption_between(before: Surroundings, after: Surroundings) -> Cause | None:
    """Return what happened between two looks, None when nothing did."""
    if abs(after.suspended_ns - before.suspended_ns) >= SUSPEND_NS_MIN:
        return "suspend"
    if after.vmclock_marker != before.vmclock_marker:
        return "migration"
    if abs(after.realtime_minus_raw_ns - before.realtime_minus_raw_ns) >= STEP_NS_MIN:
        return "external_step"
    return None
