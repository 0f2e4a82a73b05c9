"""Branches of the store against dictionaries: begun, written, merged, ended, in any order.

A branch is a copy of its parent. What it writes it alone sees, until a merge brings it; where both
have written about a key since they parted, that is a conflict. Compactions and restarts between
them change nothing of that.
"""

import os
from typing import Any, NamedTuple, cast

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from kv_writes import increment, kv_write, put
from store_world import Link, World

from hourbook.book.changes.outcomes import Outcome
from hourbook.book.reader import BookReader
from hourbook.book.store.files import StoreFiles
from hourbook.book.store.rebuild import find_fault
from hourbook.book.store.spent import Horizon, find_first_seq, plan_spent
from hourbook.faces.store import Store
from protocols import errors
from protocols.branch_messages import (
    CreateBranch,
    CreatedBranch,
    DeleteBranch,
    MergeBranch,
    Strategy,
)
from protocols.kv_messages import CompactKeys, Delete, Op

NS = "notes"
KEYS = ("a", "b", "c/d")
BRANCHES_MAX = 4


class Side:
    """Main or a branch, as it should be.

    Attributes:
        state: what its keys hold.
        written: keys that it wrote, each with how often anybody had written anything by then.
    """

    def __init__(self, parent: "Side | None", number: int, moment: int) -> None:
        self.parent, self.number = parent, number
        self.state: dict[str, Any] = {} if parent is None else dict(parent.state)
        self.written: list[tuple[int, str]] = []
        self.parted = self.merged = moment


class Step(NamedTuple):
    """One step of a write."""

    op: str
    key: str
    value: int


steps = st.builds(
    Step,
    st.sampled_from(("set", "set", "increment", "delete")),
    st.sampled_from(KEYS),
    st.integers(0, 3),
)
sides = st.integers(0, BRANCHES_MAX)


class BranchMachine(RuleBasedStateMachine):
    """One world, and what each side of it should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.files = StoreFiles(self.world.home)
        self.sides = {"main": Side(None, 0, 0)}
        self.moment = self.names = 0

    # -- what is done ------------------------------------------------------------------------------

    @rule(
        writes=st.lists(
            st.tuples(sides, st.lists(steps, min_size=1, max_size=3)), min_size=1, max_size=4
        )
    )
    def write(self, writes: list[tuple[int, list[Step]]]) -> None:
        """Requests to several sides, in one group."""
        self._send([(self._side(index), ops) for index, ops in writes])

    @initialize()
    def begin_first(self) -> None:
        """Most of what happens needs one."""
        self.begin(0)

    @precondition(lambda self: len(self.sides) <= BRANCHES_MAX)
    @rule(parent=sides)
    def begin(self, parent: int) -> None:
        """A branch of main, or of a branch."""
        side = self._side(parent)
        self.names += 1
        name = f"branch-{self.names}"
        outcome = self._change(CreateBranch, name=name, parent=side.number)
        number = msgspec.msgpack.decode(outcome.body, type=CreatedBranch).number
        self.moment += 1
        self.sides[name] = Side(side, number, self.moment)

    @precondition(lambda self: len(self.sides) > 1)
    @rule(
        index=sides,
        strategy=st.sampled_from(("", "ours", "theirs", "both")),
        first=st.lists(st.tuples(st.booleans(), steps), max_size=4),
    )
    def merge(self, index: int, strategy: Strategy, first: list[tuple[bool, Step]]) -> None:
        """What the branch wrote since the last time is written to its parent."""
        name, side = self._branch(index)
        assert side.parent is not None
        self._send([(side if is_own else side.parent, [step]) for is_own, step in first])
        theirs = {key for moment, key in side.written if moment > side.merged}
        ours = {key for moment, key in side.parent.written if moment > side.parted}
        outcome = self._change(MergeBranch, name=name, strategy=strategy)
        if theirs & ours and not strategy:
            assert isinstance(outcome.error, errors.BranchConflict)
            return
        assert outcome.error is None
        if not theirs:
            return
        self.moment += 1
        for key in theirs - ours if strategy == "ours" else theirs:
            side.parent.state.pop(key, None)
            if key in side.state:
                side.parent.state[key] = side.state[key]
            side.parent.written.append((self.moment, key))
        side.parted = side.merged = self.moment

    @precondition(lambda self: len(self.sides) > 1)
    @rule(index=sides)
    def end(self, index: int) -> None:
        """Unless another comes from it."""
        name, side = self._branch(index)
        is_parent = any(other.parent is side for other in self.sides.values())
        outcome = self._change(DeleteBranch, name=name)
        assert type(outcome.error) is (errors.BadRequest if is_parent else type(None))
        if not is_parent:
            del self.sides[name]

    @rule(is_orderly=st.booleans())
    def restart(self, *, is_orderly: bool) -> None:
        """The writer ends and begins anew."""
        self.world.restart(is_orderly=is_orderly)

    @rule()
    def forget_the_past(self) -> None:
        """All that no branch needs."""
        self.world.now_ns += 1
        horizon = Horizon(0, 1)
        with BookReader(self.world.home) as reader:
            first_seq = find_first_seq(reader, horizon, self.world.now_ns)
            slices = list(plan_spent(reader, horizon, first_seq)) if first_seq else []
        for keys, _ in slices:
            assert self._change(CompactKeys, first_seq=first_seq, keys=keys).error is None

    # -- what is seen ------------------------------------------------------------------------------

    @invariant()
    def every_side_holds_what_it_should(self) -> None:
        """By scans and by single reads; and the tables are what the entries say."""
        for side in self.sides.values():
            store = Store(NS, self.files, cast("Any", Link(self.world)), side.number)
            assert dict(store.scan()) == side.state
            assert {key: store.get(key) for key in KEYS if key in side.state} == side.state
        assert self.world.book.query(find_fault) is None

    def teardown(self) -> None:
        """Remove the book."""
        self.files.close()
        self.world.close()

    # -- parts -------------------------------------------------------------------------------------

    def _side(self, index: int) -> Side:
        return list(self.sides.values())[-1 - index % len(self.sides)]

    def _branch(self, index: int) -> tuple[str, Side]:
        return list(self.sides.items())[-1 - index % (len(self.sides) - 1)]

    def _send(self, chosen: list[tuple[Side, list[Step]]]) -> None:
        group = [kv_write(*map(_op_of, ops), ns=NS, branch=side.number) for side, ops in chosen]
        for outcome, (side, ops) in zip(self.world.send(group), chosen, strict=True):
            assert type(outcome.error) is self._write(side, ops)

    def _change(self, kind: type[Any], **fields: Any) -> Outcome:
        (outcome,) = self.world.send([kind(writer="agent", nonce=kv_write().nonce, **fields)])
        return outcome

    def _write(self, side: Side, ops: list[Step]) -> type[object]:
        """Do to the dictionary what a write does; return the type of its error."""
        state, written = dict(side.state), []
        for op, key, value in ops:
            self.moment += 1
            if op == "delete":
                if state.pop(key, None) is None:
                    continue
            elif op == "increment" and not isinstance(state.get(key, 0), int):
                return errors.BadRequest
            else:
                state[key] = _value(value) if op == "set" else state.get(key, 0) + value
            written.append((self.moment, key))
        side.state = state
        side.written += written
        return type(None)


def _value(number: int) -> object:
    return "text" if number == 0 else number


def _op_of(step: Step) -> Op:
    if step.op == "set":
        return put(step.key, _value(step.value))
    return increment(step.key, step.value) if step.op == "increment" else Delete(key=step.key)


TestBranches = BranchMachine.TestCase
TestBranches.settings = settings(
    max_examples=int(os.environ.get("HOURBOOK_STORE_EXAMPLES", "15")),
    stateful_step_count=25,
    deadline=None,
)
