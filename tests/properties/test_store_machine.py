"""Writes of the store against a dictionary: every outcome, every key, every version, at any time.

The machine works in the writer's own process, with several requests in a group, clock steps in both
directions, resends and restarts; in a book with a place for volatile keys.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from kv_writes import NOW_NS, increment, kv_write, open_store, put

from hourbook.book.changes.outcomes import Outcome
from hourbook.book.journal import Stamp
from hourbook.book.store.rebuild import find_fault
from hourbook.book.store.rows import unpack_value
from hourbook.home import find_home, prepare_home
from protocols import errors
from protocols.change import CHANGE_NONCES
from protocols.kv_messages import (
    ABSENT,
    VOLATILE,
    Check,
    Delete,
    Increment,
    KvWrite,
    KvWritten,
    Op,
    Set,
    Sweep,
)

S_NS = 1_000_000_000
OTHER = 1_000_000
"""A version that no key has."""
TYPES = ("", "persistent", "versioned", "shared", "transient", "cached")


class Held(NamedTuple):
    """What the model knows of a key."""

    value: Any
    type: str
    version: int
    expires_ns: int | None


class Counters:
    """Counts how often each bucket moved, and which are odd."""

    def __init__(self) -> None:
        self.odd: set[int] = set()
        self.moves = 0

    def begin(self, buckets: Any) -> None:
        """Make counters odd."""
        self.odd.update(buckets)

    def end(self, buckets: Any) -> None:
        """Make counters even."""
        self.odd.difference_update(buckets)
        self.moves += 1


keys = st.sampled_from("abc")
versions = st.none() | st.sampled_from((ABSENT, OTHER, -1))
times = st.none() | st.sampled_from((S_NS, 3 * S_NS))
values = st.integers(0, 9) | st.text(max_size=3) | st.just("x" * 2000)


@st.composite
def steps(draw: Callable[..., Any]) -> tuple[str, dict[str, Any]]:
    """Draw a step; an `if_version` of -1 stands for the one that the key has."""
    fields: dict[str, Any] = {"key": draw(keys), "if_version": draw(versions)}
    kind = draw(st.sampled_from(("set", "set", "increment", "delete", "check")))
    if kind in ("set", "increment"):
        fields |= {"type": draw(st.sampled_from(TYPES)), "ttl_ns": draw(times)}
    if kind == "set":
        fields["value"] = draw(values)
        fields["keep_ttl"] = fields["ttl_ns"] is None and draw(st.booleans())
    return kind, fields


class StoreMachine(RuleBasedStateMachine):
    """The store, and a dictionary that should say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(dir="/dev/shm")
        self.home = find_home(Path(self.directory.name) / "home")
        prepare_home(self.home)
        self.counters = Counters()
        self.book = open_store(self.home, generations=self.counters)
        self.model: dict[str, Held] = {}
        self.now_ns = NOW_NS
        self.count = 0
        self.done: list[tuple[KvWrite, Outcome]] = []

    # -- the machine -----------------------------------------------------------------------------

    @rule(requests=st.lists(st.lists(steps(), min_size=1, max_size=4), min_size=1, max_size=3))
    def write(self, requests: list[list[tuple[str, dict[str, Any]]]]) -> None:
        """Write a group, and hold each outcome against what the dictionary says."""
        group = []
        for drawn in requests:
            self.count += 1
            group.append(kv_write(*map(self._op, drawn), number=self.count))
        outcomes = self.book.write(group, Stamp(self.now_ns, 0)).outcomes
        for request, outcome in zip(group, outcomes, strict=True):
            self._follow(request, outcome)
        self.done += zip(group, outcomes, strict=True)

    @rule(seconds=st.sampled_from((-2, 1, 2, 10)))
    def step_clock(self, seconds: int) -> None:
        """Set the clock."""
        self.now_ns += seconds * S_NS

    @rule()
    def sweep(self) -> None:
        """Take away what is over, as the writer's timer does."""
        assert self.book.store.volatile is not None
        self.count += 1
        nonce = (22 << 64 | self.count * CHANGE_NONCES).to_bytes(16, "big")
        self.book.write([Sweep(writer="agent", nonce=nonce)], Stamp(self.now_ns, 0))
        self.book.store.volatile.expire(self.now_ns)
        self.model = {key: held for key, held in self.model.items() if self._lives(held)}

    @rule()
    def restart(self) -> None:
        """Close the book and open it again."""
        assert self.book.store.volatile is not None
        self.book.close()
        self.book.store.volatile.close()
        self.book = open_store(self.home, generations=self.counters)

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def resend(self, data: st.DataObject) -> None:
        """Ask again for what was answered: the answer is the same, and nothing is done."""
        change, first = data.draw(st.sampled_from(self.done))

        again = self.book.admission.outcome_of(change)

        assert again is not None
        assert (again.body, again.error is None) == (first.body, first.error is None)

    @invariant()
    def says_the_same(self) -> None:
        """Tables, entries and dictionary agree; no counter is odd."""
        assert self._rows() == self.model
        assert self.book.query(find_fault) is None
        assert self.counters.odd == set()

    def teardown(self) -> None:
        """Remove the book, and what lies beside it."""
        self.book.close()
        shutil.rmtree(self.home.run_dir)
        self.directory.cleanup()

    # -- the dictionary --------------------------------------------------------------------------

    def _op(self, drawn: tuple[str, dict[str, Any]]) -> Op:
        kind, fields = drawn
        if fields["if_version"] == -1:
            held = self.model.get(fields["key"])
            fields = fields | {"if_version": ABSENT if held is None else held.version}
        if kind == "set":
            return put(**fields)
        if kind == "increment":
            return increment(**fields)
        return Delete(**fields) if kind == "delete" else Check(**fields)

    def _follow(self, request: KvWrite, outcome: Outcome) -> None:
        """Do to the dictionary what a write that was done says, and check that it could be."""
        if outcome.error is not None:
            assert self._refusal(request) is type(outcome.error), outcome.error
            return
        assert self._refusal(request) is None
        answer = msgspec.msgpack.decode(outcome.body, type=KvWritten)
        for op, version in zip(request.ops, answer.versions, strict=True):
            self.model = self._after(op, version, self.model)

    def _refusal(self, request: KvWrite) -> type[errors.HourbookError] | None:
        """Return why a write must be refused; None where it must be done."""
        model = self.model
        files: dict[str, bool] = {}
        for op in request.ops:
            kind = self._kind(op, model)
            if kind is not None:
                files.setdefault(op.key, kind in VOLATILE)
        if len(set(files.values())) > 1:
            return errors.MixedDurability
        is_volatile = any(files.values())
        for op in request.ops:
            held = self._living(op.key, model)
            version = ABSENT if held is None else held.version
            if op.if_version is not None and op.if_version != version:
                return errors.VersionConflict
            if isinstance(op, Set | Increment):
                type_ = op.type or (held.type if held else "persistent")
                if held is not None and isinstance(op, Increment):
                    if not isinstance(held.value, int):
                        return errors.BadRequest
                elif (type_ in VOLATILE) != is_volatile:
                    return errors.MixedDurability
            model = self._after(op, OTHER - 1, model)
        return None

    def _kind(self, op: Op, model: dict[str, Held]) -> str | None:
        """Return the type by which a key is placed: its own, also when its time is over."""
        if op.key in model:
            return model[op.key].type
        return op.type or "persistent" if isinstance(op, Set | Increment) else None

    def _after(self, op: Op, version: int, model: dict[str, Held]) -> dict[str, Held]:
        held = self._living(op.key, model)
        rest = {key: other for key, other in model.items() if key != op.key}
        if isinstance(op, Check):
            return rest if held is None else model
        if isinstance(op, Delete):
            return rest
        expires_ns = None if op.ttl_ns is None else self.now_ns + op.ttl_ns
        if isinstance(op, Increment) and held is not None:
            return rest | {op.key: held._replace(value=held.value + op.by, version=version)}
        type_ = op.type or (held.type if held else "persistent")
        value = op.by if isinstance(op, Increment) else msgspec.msgpack.decode(op.value)
        if isinstance(op, Set) and op.keep_ttl:
            expires_ns = held.expires_ns if held else None
        return rest | {op.key: Held(value, type_, version, expires_ns)}

    def _living(self, key: str, model: dict[str, Held]) -> Held | None:
        held = model.get(key)
        return held if held is not None and self._lives(held) else None

    def _lives(self, held: Held) -> bool:
        return held.expires_ns is None or held.expires_ns > self.now_ns

    def _rows(self) -> dict[str, Held]:
        assert self.book.store.volatile is not None
        sql = "SELECT key, encoding, value, type, version, expires_ns FROM kv"
        rows = self.book.query(lambda connection: connection.execute(sql).fetchall())
        rows += self.book.store.volatile.connection.execute(sql).fetchall()
        assert len({row[0] for row in rows}) == len(rows), "a key lies in both files"
        return {
            key: Held(msgspec.msgpack.decode(unpack_value(encoding, value, key)), *rest)
            for key, encoding, value, *rest in rows
        }


StoreMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
test_store_machine = StoreMachine.TestCase
