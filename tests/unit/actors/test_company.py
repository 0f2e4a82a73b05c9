"""Whom a group waits for: by the rules alone, and in the loop of an actor."""

import select
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import pytest
import zmtp

from actors import company as module
from actors.base import Actor
from actors.company import WAIT_NS, Company
from actors.contract import ActorContext, Handler, Request
from actors.loop import Loop
from hourbook.home import Home
from hourbook.timebase import SystemTimebase
from protocols import wire

TURNS_NEW = 2
TURNS_SPARED = 8


def known(*peers: bytes) -> Company:
    """Return a company whose peers have come back often enough."""
    company = Company()
    for _ in range(TURNS_NEW):
        company.leave(peers, 0)
    return company


# -- the rules -----------------------------------------------------------------------------------


def test_who_asks_once_or_twice_is_expected_by_nobody() -> None:
    """Commands are such."""
    company = Company()
    for _ in range(TURNS_NEW):
        company.leave([b"a"], 0)
        assert not company.is_expected(1)

    company.leave([b"a"], 0)

    assert company.is_expected(1)


def test_who_was_answered_is_expected_until_it_asks() -> None:
    """All of them, and nobody else."""
    company = known(b"a", b"b")
    company.leave([b"a", b"b"], 0)

    company.arrive(b"a")
    company.arrive(b"stranger")
    is_one_missing = company.is_expected(1)
    company.arrive(b"b")

    assert is_one_missing
    assert not company.is_expected(1)


def test_who_does_not_come_in_time_is_spared_for_some_turns() -> None:
    """And then tried again: it may have been held up."""
    company = known(b"a")
    company.leave([b"a"], 0)
    was_expected = company.is_expected(WAIT_NS - 1), company.is_expected(WAIT_NS)

    expected = []
    for _ in range(TURNS_SPARED + 1):
        company.leave([b"a"], WAIT_NS)
        expected.append(company.is_expected(WAIT_NS))
        company.arrive(b"a")

    assert was_expected == (True, False)
    assert expected == [False] * TURNS_SPARED + [True]


def test_later_answers_end_the_wait_for_those_before() -> None:
    """Who has missed a whole group is in no hurry."""
    company = known(b"a", b"b")
    company.leave([b"a"], 0)

    company.leave([b"b"], 1)
    company.arrive(b"b")

    assert not company.is_expected(2)


def test_peers_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are forgotten are learnt anew."""
    monkeypatch.setattr(module, "_PEERS_MAX", 10)
    company = known(b"a")

    company.leave([b"%d" % number for number in range(20)], 0)
    company.leave([b"a"], 0)

    assert not company.is_expected(1)
    assert len(company._turns) <= 20


# -- in a loop -----------------------------------------------------------------------------------


class Empty(msgspec.Struct):
    """A body that says nothing."""


class NoConfig(msgspec.Struct, frozen=True):
    """Nothing to configure."""


class Gatherer(Actor[NoConfig]):
    """Answers all that it was asked at the end of a drain, which wants company."""

    config_type = NoConfig
    gathered: list[Request[Any]]
    groups: list[int]

    def handlers(self) -> Mapping[str, Handler]:
        return {"gather": Handler(Empty, self.gathered.append)}

    def wants_company(self) -> bool:
        return bool(self.gathered)

    def after_drain(self) -> None:
        self.groups.append(len(self.gathered))
        for request in self.gathered:
            request.reply({})
        self.gathered.clear()


class Clock(SystemTimebase):
    """CLOCK_MONOTONIC as a test says; it is told when somebody reads it."""

    def __init__(self) -> None:
        self.now_ns = 1
        self.on_read: Callable[[], object] = lambda: None

    def mono_ns(self) -> int:
        self.on_read()
        return self.now_ns


class Poll:
    """Polls as another, for no time at all; keeps for how long (ms) it was to."""

    def __init__(self, poll: select.poll) -> None:
        self._poll = poll
        self.waits_ms: list[int] = []

    def poll(self, timeout_ms: int) -> list[tuple[int, int]]:
        self.waits_ms.append(timeout_ms)
        return self._poll.poll(0)


class Bench:
    """An actor, its loop, turn by turn, and two peers."""

    def __init__(self, home: Home) -> None:
        self.clock = Clock()
        context = ActorContext("gatherer", 1, str(home.path), str(home.run_dir))
        self.loop = Loop(context, home, self.clock)
        self.actor = Gatherer(NoConfig(), context, home, self.clock, self.loop)
        self.actor.gathered, self.actor.groups = [], []
        self.loop._open_mailbox(self.actor)
        self.peers = [self._connect(home.mailbox("gatherer")) for _ in range(2)]

    def _connect(self, path: str) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(10)
        made.connect(path)
        made.sendall(zmtp.DEALER)
        return made

    def ask(self, peer: int) -> None:
        """Let a peer ask."""
        envelope = wire.Envelope(kind="gather", id=1, src=f"peer-{peer}")
        self.peers[peer].sendall(zmtp.message_of([wire.encode(envelope)]))

    def drain(self) -> int:
        """Serve all that waits; return how many requests became a group."""
        self.loop._callbacks[self.loop._router.fd]()
        return self.actor.groups[-1]

    def close(self) -> None:
        """End."""
        for peer in self.peers:
            peer.close()
        self.loop._close()


@pytest.fixture
def bench(home: Home) -> Iterator[Bench]:
    """Yield an actor both of whose peers have come back often enough."""
    made = Bench(home)
    try:
        made.drain()  # lets both in
        made.drain()  # hears their greetings
        for _ in range(TURNS_NEW + 1):
            made.ask(0)
            made.ask(1)
            assert made.drain() == 2
        yield made
    finally:
        made.close()


def test_group_waits_for_a_peer_that_comes_back(bench: Bench) -> None:
    """Which asks while the loop looks at the clock, having served the other."""
    asked: list[bool] = []

    def on_read() -> None:
        if bench.actor.gathered and not asked:
            asked.append(True)
            bench.ask(1)

    bench.clock.on_read = on_read
    bench.ask(0)

    assert bench.drain() == 2


def test_group_waits_for_no_longer_than_a_moment(bench: Bench) -> None:
    """And not at all for who was late, until some turns later."""

    def pass_by() -> None:
        bench.clock.now_ns += WAIT_NS // 4 if bench.actor.gathered else 0

    bench.clock.on_read = pass_by
    bench.ask(0)
    alone = bench.drain()
    waited_ns = bench.clock.now_ns

    bench.ask(1)
    bench.drain()
    bench.ask(0)
    is_spared = bench.drain() == 1

    assert (alone, is_spared) == (1, True)
    assert WAIT_NS <= waited_ns < 2 * WAIT_NS


def test_actor_that_wants_none_waits_for_nobody(bench: Bench) -> None:
    """What it was asked alone is served at once."""
    bench.clock.on_read = lambda: bench.ask(1) if bench.actor.gathered else None
    bench.actor.wants_company = lambda: False  # type: ignore[method-assign] # as most actors
    bench.ask(0)

    assert bench.drain() == 1


def test_loop_stays_awake_until_a_peer_comes_back(bench: Bench) -> None:
    """To be woken would cost more than that."""
    left: list[int] = [3]

    def on_read() -> None:
        left[0] -= 1
        if not left[0]:
            bench.ask(1)

    bench.clock.on_read = on_read
    poll = bench.loop._poll = Poll(bench.loop._poll)  # type: ignore[assignment]

    ready = bench.loop._await_events()

    assert [descriptor for descriptor, _ in ready] == [bench.loop._router.fd]
    assert poll.waits_ms == [0, 0, 0]


def test_loop_sleeps_once_nobody_is_expected_any_more(bench: Bench) -> None:
    """Who has not come by then may never come."""

    def pass_by() -> None:
        bench.clock.now_ns += WAIT_NS // 4

    bench.clock.on_read = pass_by
    poll = bench.loop._poll = Poll(bench.loop._poll)  # type: ignore[assignment]

    ready = bench.loop._await_events()
    *awake_ms, last_ms = poll.waits_ms

    assert ready == []
    assert awake_ms == [0] * 3
    assert last_ms > 0
