"""The part of journal_writer that lends locks, with a real book, in a boot time of its own."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from books import STAMP
from fakes.reactor import TestReactor
from kv_writes import kv_write, open_store, put

from actors import lock_desk
from actors.contract import Request
from actors.lock_desk import LockDesk
from hourbook.book.changes.outcomes import Outcome
from hourbook.home import Home
from hourbook.process_identity import own_holder
from protocols import errors, wire
from protocols.change import Change
from protocols.entry import make_nonce
from protocols.kv_messages import (
    AcquireLock,
    Delete,
    LeaveLock,
    ListLocks,
    LockGranted,
    ReleaseLock,
    RenewLock,
)

S_NS = 1_000_000_000


class World:
    """A desk and what it stands on.

    Attributes:
        slept_ns: for how long the machine was suspended since the start.
        is_full: there is no room in the book.
        answers: what calls were told, in order.
    """

    def __init__(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slept_ns = 0
        self.is_full = False
        self.answers: list[Any] = []
        self.reactor = TestReactor()
        self.book = open_store(home)
        boot_ns = lock_desk._boot_ns
        monkeypatch.setattr(lock_desk, "_boot_ns", lambda: boot_ns() + self.slept_ns)
        monkeypatch.setattr(lock_desk, "LATE_NS_MIN", 60 * S_NS)  # a busy machine is no absence
        self._counter = itertools.count(1)
        self.desk = LockDesk(
            self.reactor, self._write, lambda request, error: request.refuse(error)
        )
        self.desk.open(self.book)

    def _write(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        if self.is_full:
            raise errors.DiskFull("Expected room, got none")
        return self.book.write(changes, STAMP).outcomes

    def ask(self, wait_s: float = 0.0, ttl_s: float = 0.1) -> None:
        """Ask for the lock of ``app/k``, as one group of its own."""
        change = AcquireLock(
            writer="agent",
            nonce=make_nonce(7, next(self._counter) << 20),
            ns="app",
            key="k",
            holder=own_holder(),
            ttl_ns=round(ttl_s * S_NS),
            wait_ns=round(wait_s * S_NS),
        )
        request = self.request(change)
        if self.desk.must_wait(request):
            return
        (outcome,) = self._write([change])
        self.desk.note(change, outcome)
        request.reply(msgspec.Raw(outcome.body))
        self.desk.settle()

    def request(self, body: Any) -> Request[Any]:
        """Return a request whose answer is kept."""
        envelope = wire.Envelope(kind="lock", id=1, src="tester")
        return Request(b"", envelope, body, lambda _, answer: self.answers.append(answer))

    def tokens(self) -> list[int]:
        """Return what was granted so far."""
        raws = [answer for answer in self.answers if isinstance(answer, msgspec.Raw)]
        return [msgspec.msgpack.decode(raw, type=LockGranted).token for raw in raws]

    def kinds(self) -> list[str]:
        """Return the kinds of all entries."""
        sql = "SELECT kind FROM entry ORDER BY seq"
        return [kind for (kind,) in self.book.query(lambda c: c.execute(sql).fetchall())]

    def left_ns(self) -> int:
        """Return how long the lease lives on without a renewal."""
        (lock,) = self.desk.list_all(self.request(ListLocks("app"))).locks
        return lock.left_ns

    def pass_deadline(self) -> None:
        """Return once the lease is past its deadline, and nobody has looked."""
        while self.left_ns():
            pass


@pytest.fixture
def world(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Have nothing locked."""
    made = World(home, monkeypatch)
    yield made
    made.desk.close()
    made.book.close()


def test_write_under_a_lease_past_its_deadline_finds_it_expired(world: World) -> None:
    """Its expiry stands in the book before the refusal, whoever was first to notice."""
    world.ask()
    (token,) = world.tokens()
    world.pass_deadline()
    write = kv_write(put("k", 1, token=token), ns="app")

    world.desk.prepare(write)
    (outcome,) = world.book.write([write], STAMP).outcomes

    assert isinstance(outcome.error, errors.TokenStale)
    assert outcome.error.value == "0"
    assert world.kinds() == ["lock.grant", "lock.expire"]


def test_call_for_a_lock_past_its_deadline_gets_it_behind_its_expiry(world: World) -> None:
    """Without waiting for anybody's timer."""
    world.ask()
    world.pass_deadline()

    world.ask()

    assert world.kinds() == ["lock.grant", "lock.expire", "lock.grant"]
    assert world.tokens() == [1, 3]


def test_call_that_was_to_get_what_a_refused_release_frees_waits_on(world: World) -> None:
    """The lease is in force until its time is over; then the lock is its."""
    world.ask()
    world.ask(wait_s=60)
    (token,) = world.tokens()
    release = ReleaseLock(
        writer="agent", nonce=make_nonce(8, 1 << 20), ns="app", key="k", token=token
    )
    heir = world.desk.heir(release)
    assert heir is not None

    waits_on = world.desk.drop(world.request(release)), world.desk.drop(heir)
    waiting = world.desk.list_all(world.request(ListLocks("app"))).locks[0].waiting
    world.pass_deadline()
    world.desk._look()

    assert waits_on == (False, True)
    assert waiting == ["agent"]
    assert world.tokens() == [1, 3]
    assert world.kinds() == ["lock.grant", "lock.expire", "lock.grant"]


def test_suspend_of_any_length_leaves_each_lease_its_whole_time(world: World) -> None:
    """Nobody could renew while the machine slept; whoever notices first."""
    world.ask(ttl_s=60)
    (token,) = world.tokens()
    for look in (
        lambda: world.desk.prepare(kv_write(Delete(key="k", token=token), ns="app")),
        lambda: world.desk.renew(world.request(RenewLock("app", "k", token))),
        lambda: world.ask(wait_s=0),
        world.desk._look,
    ):
        world.slept_ns += 3600 * S_NS

        look()

        assert 59 * S_NS < world.left_ns() <= 60 * S_NS
    assert world.kinds() == ["lock.grant"]
    assert [type(answer) for answer in world.answers] == [msgspec.Raw, errors.LockTimeout]


def test_lease_that_ran_out_while_the_writer_did_not_run_has_one_moment_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its renewal may lie in the mailbox; where none does, it is over soon."""
    world.ask()
    (token,) = world.tokens()
    world.pass_deadline()
    monkeypatch.setattr(lock_desk, "LATE_NS_MIN", 0)

    world.desk._look()
    assert 0 < world.left_ns() <= lock_desk.GRACE_NS
    world.desk.renew(world.request(RenewLock("app", "k", token)))
    world.pass_deadline()
    world.desk.prepare(kv_write(Delete(key="k", token=token), ns="app"))
    assert 0 < world.left_ns() <= lock_desk.GRACE_NS
    world.pass_deadline()
    world.desk._look()

    assert world.kinds() == ["lock.grant", "lock.expire"]


def test_lock_that_found_no_room_is_lent_once_there_is_some(world: World) -> None:
    """Until then it is still held, as the book says, and nobody has lost his place."""
    world.ask()
    world.ask(wait_s=30, ttl_s=60)
    world.ask(wait_s=30, ttl_s=60)
    world.is_full = True
    world.pass_deadline()
    world.reactor.run_until(
        lambda: world.desk._timer_boot_ns > lock_desk._boot_ns() + lock_desk.RETRY_NS // 2,
        5,
        "look",
    )
    assert len(world.answers) == 1
    assert world.kinds() == ["lock.grant"]

    world.is_full = False
    world.reactor.run_until(lambda: len(world.answers) > 1, 5, "the next holder")

    assert world.kinds() == ["lock.grant", "lock.expire", "lock.grant"]
    assert world.desk.snapshot()["locks_waiting"] == 1


def test_wait_that_is_over_is_refused_and_the_rest_of_the_line_moves_up(world: World) -> None:
    """Named, counted, forgotten."""
    world.ask(ttl_s=60)
    world.ask(wait_s=0.05)
    world.ask(wait_s=30)

    world.reactor.run_until(lambda: len(world.answers) > 1, 5, "the refusal")

    assert isinstance(world.answers[1], errors.LockTimeout)
    assert world.desk.snapshot()["lock_timeouts_total"] == 1
    assert world.desk.snapshot()["locks_waiting"] == 1


def test_call_that_leaves_the_line_is_refused_and_one_that_does_not_wait_is_not(
    world: World,
) -> None:
    """What was granted, or is not known, is left alone."""
    world.ask(ttl_s=60)
    world.ask(wait_s=30)
    (call,) = world.desk.waiting("agent")

    answers = [
        world.desk.leave(world.request(LeaveLock("agent", nonce)))
        for nonce in (make_nonce(7, 1 << 20), call.nonce, call.nonce)
    ]

    assert [answer.waited for answer in answers] == [False, True, False]
    assert [type(answer) for answer in world.answers] == [msgspec.Raw, errors.LockTimeout]
    assert world.desk.waiting("agent") == []
