"""The life of one actor as a table: state x event -> (state, actions), every cell filled in.

The *actual* state is kept here; what is *desired* belongs to :mod:`supervisor.tree`, which decides
which event to feed. A state is entered together with its actions, so there is one timer for each
actor and its meaning follows from the state: the start's time-out, the watchdog, the back-off
delay, or the next rung of the way to the end of a process.

Late and doubled messages are part of life and leave the state alone (``-``). A cell that no
sequence of events can reach (``!``) raises: we are wrong, and say so.
"""

from enum import StrEnum
from typing import Final, Literal, NamedTuple

from protocols import errors

__all__ = ["KILL_AGAIN_S", "LIVE", "RUNNING", "Act", "Event", "Rung", "State", "ladder", "step"]

KILL_AGAIN_S: Final = 0.1
"""SIGKILL is repeated to a group that is not empty yet: it may have forked in between."""
EARLY_GRACE_S: Final = 0.5
"""From SIGTERM to SIGKILL for an actor inside its init, where it hears nothing else."""
ABORT_GRACE_S: Final = 2.0
"""From SIGABRT to SIGKILL: long enough for faulthandler to write its dump."""


class State(StrEnum):
    """What an actor's process is doing; nodes use the same words."""

    DISABLED = "DISABLED"
    PENDING = "PENDING"
    STARTING = "STARTING"
    READY = "READY"
    DEGRADED = "DEGRADED"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    BACKOFF = "BACKOFF"
    GAVE_UP = "GAVE_UP"


class Event(StrEnum):
    """What can happen to it: decided by the tree, said by the actor, or seen by the engine."""

    QUEUE = "queue"  # it shall run, when its turn comes
    DELAY = "delay"  # it shall run, after its back-off
    SPAWN = "spawn"  # its turn has come
    STOP = "stop"  # it shall not run, orderly
    KILL = "kill"  # it shall not run, now
    DISABLE = "disable"  # it has nothing to do here
    GIVE_UP = "give_up"  # its node gave up
    INIT_READY = "init_ready"
    INIT_DEGRADED = "init_degraded"
    INIT_IGNORE = "init_ignore"
    INIT_ERROR = "init_error"
    WELL = "well"  # a beat
    UNWELL = "unwell"  # a beat that says degraded
    TIMER = "timer"  # the one timer of this actor
    GONE = "gone"  # the process is dead and its group empty


class Act(StrEnum):
    """What the tree does on entering a state."""

    SPAWN = "spawn"
    ARM_START = "arm_start"
    ARM_WATCHDOG = "arm_watchdog"
    ARM_DELAY = "arm_delay"
    DISARM = "disarm"
    END_ASKED = "end_asked"  # stop message, then signals
    END_EARLY = "end_early"  # it has promised nothing yet: SIGTERM at once
    END_LEAVING = "end_leaving"  # it is on its way out by itself
    END_HUNG = "end_hung"  # SIGABRT for the dump, then SIGKILL
    END_KILLED = "end_killed"
    NEXT_RUNG = "next_rung"


LIVE: Final = frozenset({State.STARTING, State.READY, State.DEGRADED, State.STOPPING})
"""States in which there is a process."""
RUNNING: Final = frozenset({State.READY, State.DEGRADED})

_TABLE: Final = """
               DISABLED PENDING  STARTING READY    DEGRADED STOPPING EXITED   BACKOFF  GAVE_UP
queue          PENDING  -        -        -        -        !        PENDING  PENDING  PENDING
delay          !        !        !        !        !        !        BACKOFF  !        !
spawn          !        STARTING !        !        !        !        !        !        !
stop           -        EXITED   STOPPING STOPPING STOPPING -        -        EXITED   EXITED
kill           -        EXITED   STOPPING STOPPING STOPPING STOPPING -        EXITED   EXITED
disable        -        DISABLED !        !        !        !        DISABLED DISABLED DISABLED
give_up        -        GAVE_UP  !        !        !        !        GAVE_UP  GAVE_UP  -
init_ready     -        -        READY    -        -        -        -        -        -
init_degraded  -        -        DEGRADED -        -        -        -        -        -
init_ignore    -        -        STOPPING -        -        -        -        -        -
init_error     -        -        STOPPING -        -        -        -        -        -
well           -        -        -        READY    READY    -        -        -        -
unwell         -        -        -        DEGRADED DEGRADED -        -        -        -
timer          -        -        STOPPING STOPPING STOPPING STOPPING -        PENDING  -
gone           !        !        EXITED   EXITED   EXITED   EXITED   !        !        !
"""

_ENTRY: Final[dict[State, tuple[Act, ...]]] = {
    State.DISABLED: (Act.DISARM,),
    State.PENDING: (Act.DISARM,),
    State.STARTING: (Act.SPAWN, Act.ARM_START),
    State.READY: (Act.ARM_WATCHDOG,),
    State.DEGRADED: (Act.ARM_WATCHDOG,),
    State.EXITED: (Act.DISARM,),
    State.BACKOFF: (Act.ARM_DELAY,),
    State.GAVE_UP: (Act.DISARM,),
}
_ENDINGS: Final[dict[Event, Act]] = {
    Event.STOP: Act.END_ASKED,
    Event.KILL: Act.END_KILLED,
    Event.INIT_IGNORE: Act.END_LEAVING,
    Event.INIT_ERROR: Act.END_LEAVING,
    Event.TIMER: Act.END_HUNG,
}
_ENDINGS_BY_STATE: Final[dict[tuple[State, Event], Act]] = {
    (State.STARTING, Event.STOP): Act.END_EARLY,
    (State.STOPPING, Event.TIMER): Act.NEXT_RUNG,
}


def _parse(text: str) -> dict[tuple[State, Event], State | Literal["-", "!"]]:
    header, *rows = (line.split() for line in text.strip().splitlines())
    table: dict[tuple[State, Event], State | Literal["-", "!"]] = {}
    for event, *cells in rows:
        for state, cell in zip(header, cells, strict=True):
            target = cell if cell in ("-", "!") else State(cell)
            table[State(state), Event(event)] = target  # type: ignore[assignment] # StrEnum or mark
    return table


_CELLS: Final = _parse(_TABLE)


def step(state: State, event: Event) -> tuple[State, tuple[Act, ...]]:
    """Return the state after `event`, and what entering it asks for.

    Raises:
        InternalError: the event cannot happen in this state.
    """
    target = _CELLS[state, event]
    if target == "-":
        return state, ()
    if target == "!":
        raise errors.InternalError(f"Expected no `{event}` in state {state}")
    if target is State.STOPPING:
        return target, (_ENDINGS_BY_STATE.get((state, event)) or _ENDINGS[event],)
    return target, _ENTRY[target]


class Rung(NamedTuple):
    """One step towards the end of a process, `after_s` seconds after the one before it."""

    after_s: float
    deed: Literal["ask", "terminate", "abort", "kill"]


def ladder(ending: Act, shutdown_s: float | Literal["infinity", "kill"]) -> tuple[Rung, ...]:
    """Return the steps by which a process is ended; the last ``kill`` repeats until it is gone."""
    if ending is Act.END_HUNG:
        return (Rung(0, "abort"), Rung(ABORT_GRACE_S, "kill"))
    if ending is Act.END_KILLED or shutdown_s == "kill":
        return (Rung(0, "kill"),)
    if ending is Act.END_EARLY:
        grace_s = EARLY_GRACE_S if shutdown_s == "infinity" else min(EARLY_GRACE_S, shutdown_s)
        return (Rung(0, "terminate"), Rung(grace_s, "kill"))
    asked = (Rung(0, "ask"),) if ending is Act.END_ASKED else ()
    if shutdown_s == "infinity":
        return asked
    return (*asked, Rung(shutdown_s / 2, "terminate"), Rung(shutdown_s / 2, "kill"))
