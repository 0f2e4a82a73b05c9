"""How far the clock is to be trusted: one table, every cell defined.

The words are ClockBound's. The table is read by row, the present status, and column, what happened;
docs/CLOCK.md shows it. `STALE` and `VOID` follow from age and are applied again by every reader,
because a dead daemon cannot downgrade itself.
"""

from collections.abc import Mapping
from enum import Enum, IntEnum, auto
from types import MappingProxyType
from typing import Final

from protocols import clock_messages

__all__ = ["STALE_POLLS", "TABLE", "Happening", "Status", "after", "at_age"]

STALE_POLLS: Final = 4
"""Polls without an accepted sample before an estimate is called free-running."""
_S_NS: Final = 1_000_000_000


class Status(IntEnum):
    """What a reader may conclude; the numbers travel in messages and in the segment."""

    UNKNOWN = clock_messages.STATUS_UNKNOWN
    SYNCHRONIZED = clock_messages.STATUS_SYNCHRONIZED
    FREE_RUNNING = clock_messages.STATUS_FREE_RUNNING
    DISRUPTED = clock_messages.STATUS_DISRUPTED


class Happening(Enum):
    """What can change a status.

    PROVEN: a majority of sources vouches for an interval. UNPROVEN: the machine's own clock does.
    NO_MAJORITY: nothing vouches for any. CARRIED: an interval of an earlier run was taken over.
    STALE, VOID: nothing accepted for some time, for too long. DISRUPTED: the past is worth nothing.
    """

    PROVEN = auto()
    UNPROVEN = auto()
    NO_MAJORITY = auto()
    CARRIED = auto()
    STALE = auto()
    VOID = auto()
    DISRUPTED = auto()


def _row(when_stale: Status) -> dict[Happening, Status]:
    return {
        Happening.PROVEN: Status.SYNCHRONIZED,
        Happening.UNPROVEN: Status.FREE_RUNNING,
        Happening.NO_MAJORITY: Status.UNKNOWN,
        Happening.CARRIED: Status.FREE_RUNNING,
        Happening.STALE: when_stale,
        Happening.VOID: Status.UNKNOWN,
        Happening.DISRUPTED: Status.DISRUPTED,
    }


TABLE: Final[Mapping[Status, Mapping[Happening, Status]]] = MappingProxyType(
    {
        Status.UNKNOWN: _row(when_stale=Status.UNKNOWN),
        Status.SYNCHRONIZED: _row(when_stale=Status.FREE_RUNNING),
        Status.FREE_RUNNING: _row(when_stale=Status.FREE_RUNNING),
        Status.DISRUPTED: _row(when_stale=Status.DISRUPTED),
    }
)


def after(status: Status, happening: Happening) -> Status:
    """Return the status that follows."""
    return TABLE[status][happening]


def at_age(status: Status, age_ns: int, poll_s: int, void_after_s: int) -> Status:
    """Return what a status is still worth when the last accepted sample is `age_ns` old."""
    if age_ns >= void_after_s * _S_NS:
        return after(status, Happening.VOID)
    if age_ns > STALE_POLLS * poll_s * _S_NS:
        return after(status, Happening.STALE)
    return status
