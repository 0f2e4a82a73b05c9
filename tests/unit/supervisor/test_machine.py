"""The table of an actor's life, cell by cell where it matters, and the ways to its end."""

import itertools

import pytest

from protocols import errors
from supervisor.machine import LIVE, Act, Event, Rung, State, ladder, step

REPORTS = (
    Event.INIT_READY,
    Event.INIT_DEGRADED,
    Event.INIT_IGNORE,
    Event.INIT_ERROR,
    Event.WELL,
    Event.UNWELL,
    Event.TIMER,
    Event.STOP,
    Event.KILL,
)
"""Events that may come at any time, from outside."""
DECIDED = {
    Event.QUEUE: set(State) - {State.STOPPING},
    Event.DELAY: {State.EXITED},
    Event.SPAWN: {State.PENDING},
    Event.DISABLE: set(State) - LIVE,
    Event.GIVE_UP: set(State) - LIVE,
    Event.GONE: LIVE,
}
"""Events that the tree decides, and the states in which it may."""
IMPOSSIBLE = {(state, event) for event, may in DECIDED.items() for state in set(State) - may}


@pytest.mark.parametrize(("state", "event"), [*itertools.product(State, Event)])
def test_every_cell_is_defined(state: State, event: Event) -> None:
    """Each event in each state has an outcome, or is named as our own mistake."""
    if (state, event) in IMPOSSIBLE:
        with pytest.raises(errors.InternalError, match=f"`{event}` in state {state}"):
            step(state, event)
    else:
        after, acts = step(state, event)
        assert after in State
        assert all(act in Act for act in acts)


@pytest.mark.parametrize(("state", "event"), [*itertools.product(State, REPORTS)])
def test_a_process_is_never_forgotten(state: State, event: Event) -> None:
    """Whatever is said or asked, only the end of the process leaves the states that have one."""
    after, acts = step(state, event)

    assert (after in LIVE) == (state in LIVE)
    assert Act.SPAWN not in acts


@pytest.mark.parametrize(
    ("state", "event", "after", "acts"),
    [
        (State.PENDING, Event.SPAWN, State.STARTING, (Act.SPAWN, Act.ARM_START)),
        (State.STARTING, Event.INIT_READY, State.READY, (Act.ARM_WATCHDOG,)),
        (State.STARTING, Event.WELL, State.STARTING, ()),
        (State.STARTING, Event.TIMER, State.STOPPING, (Act.END_HUNG,)),
        (State.STARTING, Event.STOP, State.STOPPING, (Act.END_EARLY,)),
        (State.READY, Event.WELL, State.READY, (Act.ARM_WATCHDOG,)),
        (State.READY, Event.UNWELL, State.DEGRADED, (Act.ARM_WATCHDOG,)),
        (State.READY, Event.TIMER, State.STOPPING, (Act.END_HUNG,)),
        (State.READY, Event.STOP, State.STOPPING, (Act.END_ASKED,)),
        (State.READY, Event.INIT_ERROR, State.READY, ()),
        (State.DEGRADED, Event.WELL, State.READY, (Act.ARM_WATCHDOG,)),
        (State.STOPPING, Event.TIMER, State.STOPPING, (Act.NEXT_RUNG,)),
        (State.STOPPING, Event.STOP, State.STOPPING, ()),
        (State.STOPPING, Event.KILL, State.STOPPING, (Act.END_KILLED,)),
        (State.STOPPING, Event.WELL, State.STOPPING, ()),
        (State.STOPPING, Event.GONE, State.EXITED, (Act.DISARM,)),
        (State.EXITED, Event.DELAY, State.BACKOFF, (Act.ARM_DELAY,)),
        (State.BACKOFF, Event.TIMER, State.PENDING, (Act.DISARM,)),
        (State.BACKOFF, Event.STOP, State.EXITED, (Act.DISARM,)),
        (State.GAVE_UP, Event.QUEUE, State.PENDING, (Act.DISARM,)),
    ],
)
def test_cells(state: State, event: Event, after: State, acts: tuple[Act, ...]) -> None:
    """The cells that a reader would ask about."""
    assert step(state, event) == (after, acts)


@pytest.mark.parametrize(
    ("ending", "shutdown_s", "rungs"),
    [
        (Act.END_ASKED, 5.0, ((0, "ask"), (2.5, "terminate"), (2.5, "kill"))),
        (Act.END_ASKED, "kill", ((0, "kill"),)),
        (Act.END_ASKED, "infinity", ((0, "ask"),)),
        (Act.END_LEAVING, 4.0, ((2.0, "terminate"), (2.0, "kill"))),
        (Act.END_EARLY, 5.0, ((0, "terminate"), (0.5, "kill"))),
        (Act.END_EARLY, 0.1, ((0, "terminate"), (0.1, "kill"))),
        (Act.END_EARLY, "infinity", ((0, "terminate"), (0.5, "kill"))),
        (Act.END_HUNG, "infinity", ((0, "abort"), (2.0, "kill"))),
        (Act.END_KILLED, "infinity", ((0, "kill"),)),
    ],
)
def test_ladder(ending: Act, shutdown_s: object, rungs: tuple[tuple[float, str], ...]) -> None:
    """Each way to the end has its steps, and all but an infinite patience end with SIGKILL."""
    assert ladder(ending, shutdown_s) == tuple(itertools.starmap(Rung, rungs))  # type: ignore[arg-type] # the table's types
