"""What breaks a clock from outside, told from two looks at the machine. Pure.

boot           another boot id: RAW began anew (a container that was restored elsewhere)
suspend        BOOTTIME - MONOTONIC moved: RAW stood still while the world went on
migration      the marker of /dev/vmclock0 changed: the counter behind RAW may be another one
clocksource    the kernel counts by another oscillator, mostly because it found the first one wrong
external_step  REALTIME - RAW jumped: a person or a daemon set the kernel's clock

The first four spoil RAW itself, and with it all that was ever measured on it. An external step does
not: a clock that rests on NTP asks its sources again and keeps what it knows; one that rests on the
kernel's own clock has lost its ground.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, get_args

from protocols.clock_messages import DisruptionCause

__all__ = [
    "CAUSES",
    "MEANING",
    "SUSPEND_NS_MIN",
    "Surroundings",
    "disruption_between",
    "disruption_since",
    "spoils_history",
    "step_ns_min",
]

CAUSES: Final[tuple[DisruptionCause, ...]] = get_args(DisruptionCause)
MEANING: Final[Mapping[DisruptionCause, str]] = MappingProxyType(
    {
        "boot": "the machine was booted",
        "suspend": "the machine was suspended",
        "migration": "the machine was migrated",
        "clocksource": "the kernel changed its clocksource",
        "external_step": "the kernel's clock was set",
    }
)
SUSPEND_NS_MIN: Final = 20_000_000
"""As in shm/include/hourbook_clock.h."""
_STEP_NS_MIN: Final = 5_000_000
_SLEW_DIVISOR: Final = 10
"""Other daemons slew by up to 8.3 % (chrony's maxslewrate): a tenth of the time is no step."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One look at what is outside our control.

    Attributes:
        raw_ns: when it was taken.
        suspended_ns: BOOTTIME - MONOTONIC.
        realtime_minus_raw_ns: REALTIME - RAW.
        vmclock_marker: of /dev/vmclock0, None where there is none.
        clocksource: the kernel's current one, "" where it does not tell.
        boot_id: of this boot, "" where it cannot be read.
    """

    raw_ns: int
    suspended_ns: int
    realtime_minus_raw_ns: int
    vmclock_marker: int | None = None
    clocksource: str = ""
    boot_id: str = ""


def disruption_between(before: Surroundings, after: Surroundings) -> DisruptionCause | None:
    """Return what happened between two looks, the gravest first, None when nothing did."""
    if _differ(before.boot_id, after.boot_id):
        return "boot"
    markers = (before.vmclock_marker, after.vmclock_marker)
    if cause := _since(before.suspended_ns, markers, after):
        return cause
    if _differ(before.clocksource, after.clocksource):
        return "clocksource"
    moved_ns = abs(after.realtime_minus_raw_ns - before.realtime_minus_raw_ns)
    return "external_step" if moved_ns >= step_ns_min(after.raw_ns - before.raw_ns) else None


def disruption_since(
    page_suspended_ns: int, page_marker: int, now: Surroundings
) -> DisruptionCause | None:
    """Return what happened since a page was written, as far as the page can tell."""
    return _since(page_suspended_ns, (page_marker or None, now.vmclock_marker), now)


def step_ns_min(elapsed_ns: int) -> int:
    """Return the smallest move of REALTIME that is a step and no slew."""
    return _STEP_NS_MIN + max(elapsed_ns, 0) // _SLEW_DIVISOR


def spoils_history(cause: DisruptionCause, origin: str) -> bool:
    """Say whether what was measured before is worthless, for a clock that rests on `origin`."""
    return cause != "external_step" or origin != "ntp"


def _since(
    suspended_ns: int, markers: tuple[int | None, int | None], now: Surroundings
) -> DisruptionCause | None:
    if abs(now.suspended_ns - suspended_ns) >= SUSPEND_NS_MIN:
        return "suspend"
    return "migration" if None not in markers and markers[0] != markers[1] else None


def _differ(before: str, after: str) -> bool:
    """Say whether both are known, and not the same."""
    return bool(before) and bool(after) and before != after
