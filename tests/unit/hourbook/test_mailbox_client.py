"""Which requests a client sends again while its actor says nothing, and when it gives one up."""

import contextlib
import time
from collections.abc import Iterator

import msgspec
import pytest
import zmq
from waiting import wait_until

from hourbook.home import Home
from hourbook.link.client import MailboxClient
from hourbook.link.reply import Reply
from hourbook.link.room import IN_FLIGHT_BYTES_MAX, LARGE_BYTES
from protocols import errors, wire


class Note(msgspec.Struct):
    """A request of any size."""

    data: bytes


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """Return what mailboxes are made in."""
    with zmq.Context() as made:
        yield made


def silent_actor(context: zmq.Context[zmq.Socket[bytes]], home: Home) -> zmq.Socket[bytes]:
    """Return a mailbox that nobody answers."""
    mailbox = context.socket(zmq.ROUTER)
    mailbox.set(zmq.LINGER, 0)
    mailbox.set(zmq.RCVTIMEO, 5000)
    mailbox.bind(home.mailbox_uri("journal_writer"))
    return mailbox


def kind_of(mailbox: zmq.Socket[bytes]) -> str:
    """Return the kind of the request that comes next."""
    return wire.decode_envelope(mailbox.recv_multipart()[-1]).kind


def test_large_request_is_sent_again_to_a_successor_only(
    context: zmq.Context[zmq.Socket[bytes]], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of a small one cost nothing; of a large one they would fill a busy actor's memory.

    The first connection is nobody's successor.
    """
    monkeypatch.setattr("hourbook.link.outbox._RESEND_NS", 10_000_000)
    mailbox = silent_actor(context, home)
    client = MailboxClient(home, "journal_writer", "test", timeout_s=10)
    client.send("large", Note(bytes(LARGE_BYTES)), attended=False)
    client.send("small", Note(b""), attended=False)

    first = [kind_of(mailbox) for _ in range(12)]
    mailbox.close()
    mailbox = silent_actor(context, home)
    second = {kind_of(mailbox) for _ in range(2)}

    assert first.count("large") == 1
    assert second == {"large", "small"}
    client.close()
    mailbox.close()


def test_large_requests_wait_for_each_other(
    context: zmq.Context[zmq.Socket[bytes]], home: Home
) -> None:
    """What one process may have in the memory of an actor is bounded, however fast it sends."""
    mailbox = silent_actor(context, home)
    client = MailboxClient(home, "journal_writer", "test", timeout_s=0.3)
    size = IN_FLIGHT_BYTES_MAX // 4

    replies = [client.send("large", Note(bytes(size))) for _ in range(5)]

    assert replies[0].is_settled
    assert not replies[-1].is_settled
    client.close()
    mailbox.close()


@contextlib.contextmanager
def answered(
    context: zmq.Context[zmq.Socket[bytes]], home: Home, timeout_s: float
) -> Iterator[Reply]:
    """Yield a request that was answered while nobody looked."""
    mailbox = silent_actor(context, home)
    client = MailboxClient(home, "journal_writer", "test", timeout_s=timeout_s)
    while not mailbox.poll(20):
        client.post("hello", Note(b""))  # dropped until there is a connection
    reply = client.send("asked", Note(b""))
    peer, frame = mailbox.recv_multipart()
    while wire.decode_envelope(frame).kind == "hello":
        peer, frame = mailbox.recv_multipart()
    answer = wire.encode_reply(wire.decode_envelope(frame).id, {"said": "yes"}, src="test")
    mailbox.send_multipart([peer, answer])
    yield reply
    client.close()
    mailbox.close()


def test_answer_that_came_in_time_is_heard_after_it(
    context: zmq.Context[zmq.Socket[bytes]], home: Home
) -> None:
    """Where a computation kept the interpreter to itself, nobody could look any sooner."""
    with answered(context, home, timeout_s=0.3) as reply:
        wait_until(lambda: time.monotonic_ns() > reply.deadline_ns, 5, "the time-out")

        envelope = reply.wait()

    assert msgspec.msgpack.decode(envelope.body) == {"said": "yes"}


def test_wait_of_no_time_finds_what_is_there(
    context: zmq.Context[zmq.Socket[bytes]], home: Home
) -> None:
    """Asking now and then is a way to wait, too."""

    def ask() -> bool:
        with contextlib.suppress(errors.WaitTimeout):
            reply.wait(0)
        return reply.is_settled

    with answered(context, home, timeout_s=10) as reply:
        wait_until(ask, 5, "the answer")

    assert reply.envelope is not None
