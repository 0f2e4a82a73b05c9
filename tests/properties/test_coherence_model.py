"""Every interleaving of a writer and two readers, its death at any step too: nothing goes back.

A small explicit-state checker. A state is what all parts know; a step is one atomic action of one
of them; all states that steps lead to are visited. A get must return nothing older than what was
acknowledged, or returned by anybody, before it began: so each key is linearizable.

The orders that seem just as good are checked too. Each must fail, or the model proves nothing.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

NOTHING = (-1, -1)


class Protocol(NamedTuple):
    """What a writer does for each write and at its start; what a reader takes for kept."""

    write: tuple[str, ...] = ("find", "odd", "commit", "even", "find", "ack")
    start: tuple[str, ...] = ("find", "wait", "reset")
    reader: tuple[str, ...] = ("load", "read")
    keeps_odd: bool = False
    keeps_zero: bool = False
    retires_old_table: bool = True
    is_removed: bool = False
    """Somebody removes the file of the segment, and another takes its place."""


class Reader(NamedTuple):
    """One process that reads one key."""

    step: int = -1
    """What it does next; -1: it is between two gets."""
    floor: int = 0
    """What its get must not fall behind."""
    table: int = 0
    is_trusted: bool = True
    cache: tuple[int, int] = NOTHING
    """Value and counter."""
    counter: int = 0
    value: int = 0


class State(NamedTuple):
    """All there is."""

    tables: tuple[int, ...] = (2, 0)
    """The counter of the key's bucket in the first segment, and in the one that replaces it."""
    is_removed: bool = False
    value: int = 0
    floor: int = 0
    """The newest value that anybody was told of."""
    program: tuple[str, ...] = ()
    """What the writer has still to do; empty: it is idle."""
    begun: int = 0
    """Writes; the n-th writes n."""
    crashes: int = 1
    """That are still to come."""
    is_alive: bool = True
    writer_table: int = 0
    readers: tuple[Reader, Reader] = (Reader(), Reader())


Steps = Iterator[tuple[str, State]]


class WentBackError(AssertionError):
    """A get returned less than what somebody knew before it began."""


def even_after(counter: int) -> int:
    """Return a new even value."""
    return (counter | 1) + 1


def with_table(state: State, table: int, change: Callable[[int], int]) -> State:
    """Change one counter."""
    tables = list(state.tables)
    tables[table] = change(tables[table])
    return state._replace(tables=(tables[0], tables[1]))


def writer_steps(state: State, protocol: Protocol) -> Steps:
    """Yield what the writer, or its death, may do next."""
    if not state.is_alive:
        yield "start", state._replace(is_alive=True, program=protocol.start)
        return
    if state.crashes:
        dead = state._replace(is_alive=False, program=(), crashes=state.crashes - 1)
        yield "crash", dead
    if state.program:
        step, *rest = state.program
        if step == "commit":
            unsaid = tuple(one for one in rest if one != "ack")
            yield "rollback", state._replace(program=unsaid)
        yield step, do_step(step, state._replace(program=tuple(rest)), protocol)
    elif state.begun < (1 if protocol.is_removed else 2):
        yield "begin", state._replace(program=protocol.write, begun=state.begun + 1)


COUNTER_STEPS: dict[str, Callable[[int], int]] = {
    "odd": lambda counter: counter | 1,
    "even": even_after,
    "reset": even_after,
    "bump": lambda counter: counter + 2,
}


def do_step(step: str, state: State, protocol: Protocol) -> State:
    """Do one step of the writer."""
    if step in COUNTER_STEPS:
        return with_table(state, state.writer_table, COUNTER_STEPS[step])
    if step == "commit":
        return state._replace(value=state.begun)
    if step == "ack":
        return state._replace(floor=max(state.floor, state.value))
    if step == "find":
        return find_segment(state, protocol)
    assert step == "wait"
    in_force = int(state.is_removed)
    if state.tables[in_force] != 0:  # somebody has waited here
        return state
    first, second = (r._replace(is_trusted=r.table == in_force) for r in state.readers)
    return state._replace(readers=(first, second))  # every lease has run out


def find_segment(state: State, protocol: Protocol) -> State:
    """Move the writer to the segment in force; readers of the old one are not to believe it."""
    table = int(state.is_removed)
    if state.writer_table == table:
        return state
    is_starting = "reset" in state.program
    if protocol.retires_old_table and not is_starting:  # who died has no map of the old one
        state = with_table(state, 0, lambda counter: counter | 1)
    moved = state._replace(writer_table=table)
    return moved if is_starting else with_table(moved, table, even_after)


def reader_steps(state: State, protocol: Protocol, index: int) -> Steps:
    """Yield what one reader may do next."""
    reader = state.readers[index]

    def become(changed: Reader) -> State:
        readers = list(state.readers)
        readers[index] = changed
        return state._replace(readers=(readers[0], readers[1]))

    def end(changed: Reader, value: int) -> State:
        if value < reader.floor:
            raise WentBackError(f"reader {index} got {value}, after {reader.floor} was known")
        done = changed._replace(step=-1, floor=0, counter=0, value=0)
        return become(done)._replace(floor=max(state.floor, value))

    name = f"reader {index}"
    if reader.step < 0:
        begun = reader._replace(step=0, floor=state.floor)
        if not reader.is_trusted:  # its lease has run out: it looks which segment is in force
            begun = begun._replace(table=int(state.is_removed), is_trusted=True, cache=NOTHING)
        yield f"{name} begins", become(begun)
        if reader.is_trusted and reader.table != int(state.is_removed):
            yield f"{name} has to look", become(reader._replace(is_trusted=False))
        return
    counter = state.tables[reader.table]
    step = protocol.reader[reader.step]
    changed = reader._replace(step=reader.step + 1)
    if step == "load":
        changed = changed._replace(counter=counter)
        if reader.cache[1] == counter:
            yield f"{name} hits {reader.cache[0]}", end(reader, reader.cache[0])
            return
    else:
        changed = changed._replace(value=state.value)
    if changed.step < len(protocol.reader):
        yield f"{name} {step}s", become(changed)
        return
    may_keep = protocol.keeps_odd or changed.counter % 2 == 0
    may_keep = may_keep and (protocol.keeps_zero or changed.counter != 0)
    kept = (changed.value, changed.counter) if may_keep else NOTHING
    yield f"{name} got {changed.value}", end(changed._replace(cache=kept), changed.value)


def all_steps(state: State, protocol: Protocol) -> Steps:
    """Yield every next state."""
    yield from writer_steps(state, protocol)
    for index in range(len(state.readers)):
        yield from reader_steps(state, protocol, index)
    if protocol.is_removed and not state.is_removed:
        yield "the segment is replaced", state._replace(is_removed=True)


def check(protocol: Protocol) -> int:
    """Visit all states; return how many there are.

    Raises:
        WentBackError: with the steps that lead there.
    """
    first = State()
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        try:
            for label, step in all_steps(state, protocol):
                one, other = step.readers
                # Both readers are alike: which of them is where makes no difference.
                following = step if one <= other else step._replace(readers=(other, one))
                if following not in came_from:
                    came_from[following] = (state, label)
                    waiting.append(following)
        except WentBackError as error:
            error.add_note(" -> ".join(trace(came_from, state)))
            raise
    return len(came_from)


def trace(came_from: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    """Return the steps that lead to a state."""
    labels: list[str] = []
    while (step := came_from[state]) is not None:
        state, label = step
        labels.append(label)
    return labels[::-1]


@pytest.mark.parametrize(
    "protocol", [Protocol(), Protocol(is_removed=True)], ids=["one-segment", "replaced-segment"]
)
def test_no_interleaving_lets_anybody_go_back(protocol: Protocol) -> None:
    """Whatever dies when, and also where somebody removes the segment under everybody."""
    states = check(protocol)

    assert states > 10_000


WRONG = {
    "commit then bump": Protocol(write=("commit", "bump", "ack")),
    "bump first": Protocol(write=("bump", "commit", "ack")),
    "bump twice": Protocol(write=("bump", "commit", "bump", "ack")),
    "acknowledge before even": Protocol(write=("commit", "ack", "odd", "even")),
    "serve without a reset": Protocol(start=(), write=("commit", "odd", "even", "ack")),
    "read before the counter": Protocol(reader=("read", "load")),
    "keep under an odd counter": Protocol(keeps_odd=True),
    "believe a table of zeros": Protocol(is_removed=True, keeps_zero=True),
    "leave the old table as it is": Protocol(is_removed=True, retires_old_table=False),
    "serve a new segment at once": Protocol(is_removed=True, start=("find", "reset")),
}


@pytest.mark.parametrize("protocol", WRONG.values(), ids=WRONG.keys())
def test_every_other_order_fails(protocol: Protocol) -> None:
    """The checker finds the interleaving in which somebody goes back."""
    with pytest.raises(WentBackError):
        check(protocol)
