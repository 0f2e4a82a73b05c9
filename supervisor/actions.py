"""What a tree asks of the engine, as plain values: the seam between decisions and processes."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Action", "Arm", "Disarm", "Drop", "Finish", "Note", "Push", "Spawn"]


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start this incarnation."""

    name: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Push:
    """Move a process towards its end: ask by message, or signal it; ``kill`` ends its group."""

    name: str
    deed: Literal["ask", "terminate", "abort", "kill"]
    reason: str


@dataclass(frozen=True, slots=True)
class Arm:
    """Set the one timer of an actor, in place of the one before."""

    name: str
    due_mono_ns: int


@dataclass(frozen=True, slots=True)
class Disarm:
    """Take the timer back."""

    name: str


@dataclass(frozen=True, slots=True)
class Note:
    """Write a line into the event log."""

    name: str
    event: str
    incarnation: int = 0
    cause: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """The actor's spec is gone; forget what was kept for it."""

    name: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing runs any more: leave with this exit code."""

    code: int


Action = Spawn | Push | Arm | Disarm | Note | Drop | Finish
