"""How one actor writes to another that may be slow, dead or reborn: real sockets, a fake clock."""

from collections.abc import Callable, Iterator

import msgpack
import msgspec
import pytest
import zmq
from fakes.timebase import FakeTimebase

from actors.peers import QUEUE_MAX, Peers
from actors.timers import Timers
from hourbook.home import Home
from protocols import errors, wire

pytestmark = pytest.mark.live

Answer = wire.Envelope | errors.HourbookError


class Ping(msgspec.Struct):
    """A body."""

    number: int


class Bench:
    """Peers of an actor ``a`` with its poller, and the mailbox of an actor ``b``."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.timebase = FakeTimebase()
        self.timers = Timers()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.callbacks: dict[zmq.Socket[bytes], Callable[[], None]] = {}
        self.peers = Peers(self.context, home, "a", 1, self.timers, self.callbacks.__setitem__)
        self.answers: list[Answer] = []
        self.mailboxes: list[zmq.Socket[bytes]] = []

    def bind(self) -> zmq.Socket[bytes]:
        socket = self.context.socket(zmq.ROUTER)
        socket.set(zmq.RCVTIMEO, 5000)
        socket.set(zmq.LINGER, 0)
        socket.bind(self.home.mailbox_uri("b"))
        self.mailboxes.append(socket)
        return socket

    def ask(self, number: int) -> None:
        deadline_ns = self.timebase.mono_ns() + 1_000_000_000
        self.peers.ask("b", "ping", Ping(number), self.answers.append, deadline_ns)

    def turn(self) -> None:
        """Deliver what has arrived at ``a``."""
        for socket, callback in self.callbacks.items():
            if socket.poll(5000):
                callback()


@pytest.fixture
def bench(home: Home) -> Iterator[Bench]:
    """Return both ends; all sockets are closed afterwards."""
    made = Bench(home)
    yield made
    made.peers.close()
    made.context.destroy(linger=0)


def test_ask_is_answered_once(bench: Bench) -> None:
    """An answer reaches the one who asked; a second answer to the same request is ignored."""
    mailbox = bench.bind()
    bench.ask(7)
    identity, frame = mailbox.recv_multipart()
    request = msgpack.unpackb(frame)
    for _ in range(2):
        mailbox.send_multipart([identity, wire.encode_reply(request["id"], {}, src="b")])

    bench.turn()

    assert (request["kind"], request["src"], request["body"]) == ("ping", "a", {"number": 7})
    assert [type(a) for a in bench.answers] == [wire.Envelope]


def test_silence_becomes_actor_unreachable(bench: Bench) -> None:
    """At its deadline a question is answered with ActorUnreachable, and a late reply is ignored."""
    mailbox = bench.bind()
    bench.ask(1)
    identity, frame = mailbox.recv_multipart()

    bench.timebase.advance_ns(1_000_000_001)
    bench.timers.fire(bench.timebase.mono_ns())
    mailbox.send_multipart([identity, wire.encode_reply(msgpack.unpackb(frame)["id"], {}, src="b")])
    bench.turn()

    assert [type(a) for a in bench.answers] == [errors.ActorUnreachable]


def test_error_reply_is_that_error(bench: Bench) -> None:
    """A refusal arrives as its class, and is counted."""
    mailbox = bench.bind()
    bench.ask(1)
    identity, frame = mailbox.recv_multipart()
    refusal = wire.encode_error(msgpack.unpackb(frame)["id"], errors.DiskFull("no room"), src="b")

    mailbox.send_multipart([identity, refusal])
    bench.turn()

    assert [type(a) for a in bench.answers] == [errors.DiskFull]
    assert bench.peers.snapshot() == {'peer_errors_total{code="disk_full"}': 1.0}


def test_dead_peer_costs_a_bounded_queue(bench: Bench) -> None:
    """What does not fit the queue of an absent peer is dropped and counted; the rest arrives."""
    sent = sum(bench.peers.tell("b", "ping", Ping(n)) for n in range(10 * QUEUE_MAX))

    mailbox = bench.bind()
    first = msgpack.unpackb(mailbox.recv_multipart()[1])

    assert QUEUE_MAX <= sent <= 2 * QUEUE_MAX
    assert bench.peers.snapshot() == {'peer_dropped_total{peer="b"}': float(10 * QUEUE_MAX - sent)}
    assert first["body"] == {"number": 0}


def test_garbage_from_a_peer_is_counted(bench: Bench) -> None:
    """A reply that cannot be read harms nobody."""
    mailbox = bench.bind()
    bench.ask(1)
    identity, _ = mailbox.recv_multipart()

    mailbox.send_multipart([identity, b"\xc1garbage"])
    bench.turn()

    assert bench.answers == []
    assert bench.peers.snapshot() == {'peer_errors_total{code="bad_request"}': 1.0}
