"""The whole surface of the store against a dictionary, in any order that chance comes up with.

Two clients with caches of their own, groups of requests, failing commits, restarts of the writer,
time that goes on and back; after each step every key is read by both.
"""

import atexit
import contextlib
import functools
import itertools
import os
import sqlite3
import time
from functools import partial
from typing import Any

import msgspec
import pytest
from books import append
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from kv_writes import kv_write
from store_model import ABSENT, Kept, Model, Name, Step, same
from store_strategies import (
    KEYS,
    NAMESPACES,
    S_NS,
    clients,
    keys,
    namespaces,
    op_of,
    sets,
    steps,
    values,
)
from store_world import World

from hourbook.book.proof.verify import verify_book
from hourbook.book.reader import BookReader
from hourbook.book.store.glob import parse_glob
from hourbook.book.store.rebuild import find_fault
from hourbook.book.store.spent import Horizon, plan_spent
from hourbook.faces.store import Store
from hourbook.process_identity import own_holder
from protocols import errors
from protocols.change import JOURNAL_WRITER
from protocols.kv_messages import (
    AcquireLock,
    CompactKeys,
    KvWrite,
    KvWritten,
    LockGranted,
    LockReleased,
    ReleaseLock,
    Sweep,
)

GLOBS = ("*", "a", "job/*", "?", "[ab]", "[!a]*", "*[*]", "*1", "none*")
REMEMBERED = 6
LEASE_S = 0.03
"""A clock that is set shows in a cache with its next lease (``shm/store_cache.c``)."""
GONE = "gone"
numbers = itertools.count(10, 10)


@functools.cache
def world() -> World:
    """Return the one world of these tests; to make one takes longer than to clear it up."""
    made = World()
    atexit.register(made.close)
    return made


class StoreMachine(RuleBasedStateMachine):
    """One world, one model, and what was answered lately."""

    def __init__(self) -> None:
        super().__init__()
        self.world = world()
        self.model = Model(self.world.empty())
        self.clients = [{ns: self.world.client(ns) for ns in NAMESPACES} for _ in range(2)]
        self.first_seq = self.model.seq + 1
        self.last_volatile = 0
        self.answered: list[tuple[KvWrite, int, KvWritten | type[Exception]]] = []
        self.old_tokens: list[int] = []
        self.floors: dict[str, int] = {}
        self.forgotten: dict[Name, list[int]] = {}

    # -- one request -------------------------------------------------------------------------------

    @rule(client=clients, ns=namespaces, step=sets)
    def set_one(self, client: int, ns: str, step: Step) -> None:
        """Or find out why not."""
        store, step = self.clients[client][ns], self._settle(ns, step)
        ttl_s = None if step.ttl_ns is None else step.ttl_ns // S_NS
        fields: Any = {"type": step.type, "metadata": step.metadata, "keep_ttl": step.keep_ttl}
        row = self.model.get(ns, step.key, self.world.now_ns)
        conflict, current = None, ABSENT if row is None else row.version
        try:
            version = store.set(
                step.key,
                step.value,
                ttl_s=ttl_s,
                if_version=step.if_version,
                token=step.token,
                **fields,
            )
        except errors.HourbookError as error:
            self._judge(ns, [step], type(error))
            conflict = error.value if isinstance(error, errors.VersionConflict) else None
        else:
            self._judge(ns, [step], KvWritten([version]))
        assert conflict in (None, str(current))

    @rule(client=clients, ns=namespaces, chosen=st.lists(steps, min_size=1, max_size=4))
    def write_together(self, client: int, ns: str, chosen: list[Step]) -> None:
        """All or nothing, later steps after earlier ones."""
        chosen = [self._settle(ns, step) for step in chosen]
        both = self.clients[client][ns].transaction()
        try:
            with both:
                both._ops += [op_of(step) for step in chosen]
        except errors.HourbookError as error:
            self._judge(ns, chosen, type(error))
        else:
            assert both.result is not None
            self._judge(ns, chosen, both.result)

    @rule(client=clients, ns=namespaces, key=keys, value=values, is_overtaken=st.booleans())
    def update(self, client: int, ns: str, key: str, value: Any, *, is_overtaken: bool) -> None:
        """From what is there, also where the other client comes between."""
        store, other = (self.clients[each][ns] for each in (client, 1 - client))
        seen: list[Any] = []

        def change(found: Any) -> Any:
            row = self.model.get(ns, key, self.world.now_ns)
            seen.append(found)
            assert same(found, GONE if row is None else row.value)
            if is_overtaken and len(seen) == 1:
                self._set_plain(other, ns, key, "overtaken")
            return value

        try:
            store.update(key, change, default=GONE)
        except errors.HourbookError as error:
            answer: KvWritten | type[Exception] = type(error)
        else:
            found = store.get_item(key)
            answer = KvWritten([ABSENT if found is None else found.version])
        row = self.model.get(ns, key, self.world.now_ns)
        set_to = Step("set", key, value, keep_ttl=row is not None, if_version=ABSENT)
        if row is not None:
            set_to = set_to._replace(if_version=row.version, metadata=row.metadata)
        self._judge(ns, [set_to], answer)

    # -- many requests -----------------------------------------------------------------------------

    @rule(
        writes=st.lists(
            st.tuples(namespaces, st.lists(steps, min_size=1, max_size=3)), min_size=2, max_size=5
        ),
        appends=st.integers(0, 2),
        fails=st.sampled_from([False, False, False, True]),
    )
    def write_group(
        self, writes: list[tuple[str, list[Step]]], appends: int, *, fails: bool
    ) -> None:
        """Requests of many share one transaction; each is refused alone, or all fail at once."""
        settled = [(ns, [self._settle(ns, step) for step in chosen]) for ns, chosen in writes]
        group: list[Any] = [
            kv_write(*(op_of(step) for step in chosen), ns=ns) for ns, chosen in settled
        ]
        requests = list(group)
        if appends:
            group.insert(1, append(next(numbers), appends, writer="other"))
        if fails:
            try:
                self.world.send(group, fails=True)
            except RuntimeError:
                return
            raise AssertionError("the commit did not fail")
        outcomes = self.world.send(group)
        for index, (ns, chosen) in enumerate(settled):
            if index == 1:
                self.model.seq += appends
            outcome = outcomes[index]
            answer: Any = type(outcome.error)
            if outcome.error is None:
                answer = msgspec.msgpack.decode(outcome.body, type=KvWritten)
            self._judge(ns, chosen, answer, is_last=index == len(settled) - 1)
            self.answered.append((requests[index], self.world.now_ns, answer))
        self.answered = self.answered[-REMEMBERED:]

    @precondition(lambda self: self.answered)
    @rule(index=st.integers(0, REMEMBERED - 1))
    def send_again(self, index: int) -> None:
        """A request that was answered is not done again, and answered alike."""
        request, then_ns, answer = self.answered[index % len(self.answered)]
        if abs(self.world.now_ns - then_ns) > 20 * 3600 * S_NS:
            return
        assert not self.world.book.admission.is_new(request, [], self.world.now_ns)
        outcome = self.world.book.admission.outcome_of(request)
        assert outcome is not None
        if isinstance(answer, KvWritten):
            assert outcome.error is None
            assert msgspec.msgpack.decode(outcome.body, type=KvWritten) == answer
        else:
            assert type(outcome.error) is answer

    # -- locks -------------------------------------------------------------------------------------

    @invariant()
    def volatile_keys_are_weighed_exactly(self) -> None:
        """As a writer would weigh them that begins now, whatever was written over what."""
        volatile = self.world.book.store.volatile
        assert volatile is not None
        weighed = vars(volatile.weights).copy()
        volatile._weigh()
        assert vars(volatile.weights) == weighed

    @rule(ns=namespaces, key=keys)
    def lock(self, ns: str, key: str) -> None:
        """A free lock is granted, with a token above every earlier one."""
        nonce = kv_write().nonce
        asked = AcquireLock(
            writer="agent", nonce=nonce, ns=ns, key=key, holder=own_holder(), ttl_ns=S_NS
        )
        (outcome,) = self.world.send([asked])
        expected = self.model.acquire((ns, key))
        if isinstance(expected, int):
            assert msgspec.msgpack.decode(outcome.body, type=LockGranted).token == expected
            assert expected > max(self.old_tokens, default=0)
            self.old_tokens.append(expected)
        else:
            assert type(outcome.error) is expected
        self.model.commit(self.world.now_ns)

    @rule(ns=namespaces, key=keys, is_stale=st.booleans())
    def unlock(self, ns: str, key: str, *, is_stale: bool) -> None:
        """Only under the token in force."""
        token = self.model.locks.get((ns, key), 1) - is_stale
        nonce = kv_write().nonce
        asked = ReleaseLock(writer="agent", nonce=nonce, ns=ns, key=key, token=token)
        (outcome,) = self.world.send([asked])
        said = msgspec.msgpack.decode(outcome.body, type=LockReleased).seq
        assert said == self.model.release((ns, key), token)
        self.model.commit(self.world.now_ns)

    # -- the world ---------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 1, 10, 10, 7200, 40 * 86_400, -5, -7200]))
    def let_time_pass(self, seconds: int) -> None:
        """Or set the clock back."""
        self.world.now_ns += seconds * S_NS
        time.sleep(LEASE_S)

    @rule()
    def sweep(self) -> None:
        """What is over goes, once."""
        volatile = self.world.book.store.volatile
        assert volatile is not None
        volatile.expire(self.world.now_ns)
        places = self.world.book.query(places_of_keys)
        self.world.write_own(Sweep(writer=JOURNAL_WRITER, nonce=kv_write().nonce))
        self.model.sweep(self.world.now_ns, places)
        self.model.commit(self.world.now_ns)

    @rule(is_orderly=st.booleans())
    def restart(self, *, is_orderly: bool) -> None:
        """The writer ends and begins anew; nobody else notices."""
        self.world.restart(is_orderly=is_orderly)

    @precondition(lambda self: self.model.seq >= self.first_seq)
    @rule(client=clients, back=st.integers(0, 6), versions=st.integers(1, 3))
    def forget_the_past(self, client: int, back: int, versions: int) -> None:
        """As compactor does; what was held since then is known as before."""
        first_seq = max(self.first_seq, self.model.seq - back)
        before = {name: {p.version for p in past} for name, past in self.model.history.items()}
        with BookReader(self.world.home) as reader:
            for keys, _ in plan_spent(reader, Horizon(0, versions), first_seq):
                nonce = kv_write().nonce
                asked = CompactKeys(writer="compactor", nonce=nonce, first_seq=first_seq, keys=keys)
                (outcome,) = self.world.send([asked])
                assert outcome.error is None
                for spent in keys:
                    self.floors[spent.ns] = max(first_seq, self.floors.get(spent.ns, 0))
        self.model.forget(first_seq, versions)
        for name, past in self.model.history.items():
            gone = before[name] - {done.version for done in past}
            self.forgotten[name] = sorted({*self.forgotten.get(name, ()), *gone})
            self.look_back(client, *name, limit=3)
        for ns in self.floors:
            for seq in (first_seq - 1, first_seq):
                self.look_at_a_moment(client, ns, self.model.seq - seq)

    # -- reading -----------------------------------------------------------------------------------

    @invariant()
    def every_key_is_as_it_should_be(self) -> None:
        """For both clients, whatever their caches hold."""
        for client in self.clients:
            for ns, store in client.items():
                for key in KEYS:
                    row = self.model.get(ns, key, self.world.now_ns)
                    assert same(store.get(key, GONE), GONE if row is None else row.value)

    @rule(client=clients, ns=namespaces, pattern=st.sampled_from(GLOBS))
    def look_around(self, client: int, ns: str, pattern: str) -> None:
        """All that fits a glob, with all that is known of it."""
        store, glob = self.clients[client][ns], parse_glob(pattern)
        rows = self.model.scan(ns, self.world.now_ns)
        rows = {key: row for key, row in rows.items() if glob.matches(key)}

        assert list(store.keys(pattern)) == list(rows)
        assert store.count(pattern) == len(rows)
        assert same(list(store.scan(pattern)), [(key, row.value) for key, row in rows.items()])
        assert {key: kept(store, key) for key in rows} == rows
        many = store.get_many([*KEYS, "never"])
        assert {key: value for key, value in many.items() if glob.matches(key)} == {
            key: row.value for key, row in rows.items()
        }

    @rule(client=clients, ns=namespaces, key=keys, limit=st.integers(1, 5))
    def look_back(self, client: int, ns: str, key: str, limit: int) -> None:
        """Page by page through what was done to a key, and at each of its versions."""
        store, past = self.clients[client][ns], self.model.history.get((ns, key), [])
        found, before = [], None
        with contextlib.suppress(errors.Compacted):  # at its end, where there was more once
            while page := store.history(key, limit=limit, before=before):
                found += [each for each in page if each.version >= self.first_seq]
                before = page[-1].version

        assert same(
            [(h.version, h.action, h.value) for h in found], [tuple(p) for p in reversed(past)]
        )
        for version in self.forgotten.get((ns, key), [])[-3:]:
            with pytest.raises(errors.Compacted):
                store.get(key, version=version)
        for done in past[-3:]:
            value = GONE if done.action in ("delete", "expire") else done.value
            assert same(store.get(key, GONE, version=done.version), value)

    @precondition(lambda self: self.model.seq >= self.first_seq)
    @rule(client=clients, ns=namespaces, back=st.integers(0, 60))
    def look_at_a_moment(self, client: int, ns: str, back: int) -> None:
        """As of any seq: what its commit left, time limits as of then."""
        store = self.clients[client][ns]
        seq = max(self.first_seq, self.model.seq - back)
        end = min(each for each in self.model.states if each >= seq)
        if end < self.floors.get(ns, 0):
            for look in (store.count, partial(store.get_many, KEYS), partial(store.get, "a")):
                with pytest.raises(errors.Compacted):
                    look(at=seq)
            return
        time_ns, rows = self.model.states[end]
        there = {
            key: row
            for (each, key), row in sorted(rows.items())
            if each == ns and not row.is_over(time_ns)
        }

        assert same(list(store.scan(at=seq)), [(key, row.value) for key, row in there.items()])
        assert {key: kept(store, key, at=seq) for key in there} == there
        assert store.count(at=seq) == len(there)

    def teardown(self) -> None:
        """The book verifies, and its tables are what its entries say."""
        try:
            assert self.world.book.query(find_fault) is None
            assert self.world.book.query(verify_book).ok
            assert self.world.book.head.seq == self.model.seq
        finally:
            self.world.dismiss_clients()

    # -- parts -------------------------------------------------------------------------------------

    def _settle(self, ns: str, step: Step) -> Step:
        """Return a step with the versions and tokens that its words mean just now."""
        row = self.model.get(ns, step.key, self.world.now_ns)
        current = ABSENT if row is None else row.version
        meant: dict[Any, int] = {"current": current, "absent": ABSENT, "stale": max(current - 1, 1)}
        held = self.model.locks.get((ns, step.key), 0)
        stale = next((token for token in self.old_tokens if token != held), 12345)
        return step._replace(
            if_version=meant.get(step.if_version),
            token={"held": held, "stale": stale}.get(step.token, 0),  # type: ignore[call-overload]
        )

    def _judge(
        self,
        ns: str,
        chosen: list[Step],
        answer: KvWritten | type[Exception],
        *,
        is_last: bool = True,
    ) -> None:
        """Compare an answer with the model's, and take over what the model cannot know."""
        expected = self.model.write(ns, chosen, self.world.now_ns)
        if is_last:
            self.model.commit(self.world.now_ns)
        if not isinstance(expected, tuple):
            assert answer is expected
            return
        assert isinstance(answer, KvWritten), (answer, expected)
        known: dict[int, int] = {}
        assert len(answer.versions) == len(expected[0]), (answer, expected)
        for version, meant in zip(answer.versions, expected[0], strict=True):
            if meant >= 0:
                assert version == meant
                continue
            if meant in known:  # a check of what an earlier step has written
                assert version == known[meant]
                continue
            assert version > self.last_volatile
            known[meant] = self.last_volatile = version
        assert same(answer.numbers, expected[1]) or not answer.numbers
        self.model.learn(known)

    def _set_plain(self, store: Store, ns: str, key: str, value: Any) -> None:
        answer: KvWritten | type[Exception]
        try:
            answer = KvWritten([store.set(key, value)])
        except errors.HourbookError as error:
            answer = type(error)
        self._judge(ns, [Step("set", key, value)], answer)


def places_of_keys(connection: sqlite3.Connection) -> dict[Name, int]:
    """Return the order of keys in the file, which nobody promises and only ties show."""
    rows = connection.execute("SELECT id, ns, key FROM kv").fetchall()
    return {(ns, key): number for number, ns, key in rows}


def kept(store: Store, key: str, **at: Any) -> Kept | None:
    """Return what a store says of a key, as the model has it."""
    item = store.get_item(key, **at)
    if item is None:
        return None
    return Kept(
        *(item.value, item.type, item.version, item.created, item.expires_ns),
        item.metadata or None,
    )


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=int(os.environ.get("HOURBOOK_STORE_EXAMPLES", "15")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
