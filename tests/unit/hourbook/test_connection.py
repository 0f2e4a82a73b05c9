"""The connection of a client to a mailbox that comes, goes, stalls, or is something else."""

import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmtp
from waiting import wait_until

from hourbook.home import Home
from hourbook.link.client import MailboxClient
from hourbook.link.connection import Connection
from protocols import errors, wire


class Actor:
    """The other side, byte by byte."""

    def __init__(self, home: Home) -> None:
        self.path = Path(home.mailbox("journal_writer"))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.settimeout(10)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._accepted: list[socket.socket] = []

    def accept(self, greeting: bytes = zmtp.ROUTER) -> socket.socket:
        """Return the next connection, greeted."""
        accepted, _ = self._listener.accept()
        accepted.settimeout(10)
        accepted.sendall(greeting)
        self._accepted.append(accepted)
        return accepted

    def is_asked(self) -> bool:
        """Return whether somebody connects within a moment."""
        return bool(select.select([self._listener], [], [], 0.01)[0])

    def end(self) -> None:
        """Be gone, with all connections."""
        for accepted in [self._listener, *self._accepted]:
            accepted.close()
        self.path.unlink()


@pytest.fixture
def connection(home: Home) -> Iterator[Connection]:
    """Yield a connection to an actor that is not there yet."""
    made = Connection(home, "journal_writer")
    yield made
    made.close()


def connected(connection: Connection, actor: Actor) -> socket.socket:
    """Connect; return the actor's side."""
    connection.connect()
    theirs = actor.accept()
    wait_until(lambda: connection.receive() == [] and connection.is_there, 10, "a connection")
    return theirs


def heard(theirs: socket.socket, count: int) -> list[bytes]:
    """Return as many frames as we have sent."""
    incoming = zmtp.Incoming()
    frames: list[bytes] = []
    while len(frames) < count:
        frames += [frame for frame, _ in incoming.take(theirs.recv(1 << 20))]
    return frames


def test_nothing_is_taken_for_an_actor_that_is_not_there(
    connection: Connection, home: Home
) -> None:
    """Neither before it listens, nor before it has greeted us, nor once it has gone."""
    before = connection.try_send([b"early"])
    actor = Actor(home)
    connection.connect()
    ungreeted = connection.try_send([b"early"])
    theirs = connected(connection, actor)
    taken = connection.try_send([b"in time"])
    frames = heard(theirs, 1)
    theirs.close()
    actor.end()
    after = connection.try_send([b"late"])

    assert (before, ungreeted, taken, after) == (False, False, True, False)
    assert frames == [b"in time"]
    assert not connection.is_there


def test_what_an_actor_had_begun_to_say_dies_with_it(connection: Connection, home: Home) -> None:
    """What was whole is had; half a frame is not, and spoils nothing of its successor's."""
    actor = Actor(home)
    theirs = connected(connection, actor)
    theirs.sendall(zmtp.message_of([b"whole", b"half of it"])[:-3])
    first = wait_until(connection.receive, 10, "what is whole")
    theirs.close()
    wait_until(lambda: connection.receive() == [] and not connection.is_there, 10, "the end")
    successor = connected(connection, actor)
    successor.sendall(zmtp.message_of([b"new"]))

    assert first == [(b"whole", 0)]
    assert wait_until(connection.receive, 10, "a frame") == [(b"new", 0)]
    assert connection.made == 2
    actor.end()


def test_message_larger_than_the_kernel_keeps_leaves_while_we_receive(
    connection: Connection, home: Home
) -> None:
    """The descriptor says when there is room; what follows keeps its place behind it."""
    actor = Actor(home)
    theirs = connected(connection, actor)
    large = os.urandom(8 << 20)
    is_taken = connection.try_send([b"first", large]) and connection.try_send([b"last"])
    ours = select.poll()
    ours.register(connection.fd, select.POLLIN)
    is_blocked = not ours.poll(0)
    incoming = zmtp.Incoming()
    frames: list[tuple[bytes, int]] = []
    while len(frames) < 3:
        frames += incoming.take(theirs.recv(1 << 20))
        if ours.poll(0):
            connection.receive()

    assert (is_taken, is_blocked) == (True, True)
    assert frames == [(b"first", 0), (large, 1), (b"last", 0)]
    assert not ours.poll(0)  # nobody is woken for nothing
    actor.end()


def test_what_was_handed_over_before_the_end_leaves(home: Home) -> None:
    """Who closes has waited for nothing; the actor hears it all the same."""
    actor = Actor(home)
    connection = Connection(home, "journal_writer")
    theirs = connected(connection, actor)

    connection.try_send([b"the last word"])
    connection.close()

    assert heard(theirs, 1) == [b"the last word"]
    assert theirs.recv(1) == b""
    actor.end()


def test_child_that_was_forked_keeps_nobody_awake(connection: Connection, home: Home) -> None:
    """It has a copy of the socket, which the kernel would watch after ours was closed."""
    actor = Actor(home)
    theirs = connected(connection, actor)
    ours, end = os.pipe()
    if not (child := os.fork()):
        os.close(end)
        theirs.close()
        os.read(ours, 1)
        os._exit(0)
    theirs.close()
    wait_until(lambda: connection.receive() == [] and not connection.is_there, 10, "the end")
    poll = select.poll()
    poll.register(connection.fd, select.POLLIN)

    woken = poll.poll(0)

    os.close(end)
    os.waitpid(child, 0)
    os.close(ours)
    assert woken == []
    actor.end()


def test_stranger_at_the_path_is_asked_at_most_every_5_ms(home: Home) -> None:
    """Whoever listens there and closes, or speaks otherwise, costs us no processor."""
    actor = Actor(home)
    client = MailboxClient(home, "journal_writer", "test", timeout_s=0.3)
    reply = client.send("hello", {}, attended=False)
    connections = 0
    while not reply.is_settled:
        if actor.is_asked():
            actor.accept(b"HTTP/1.1 400 Bad Request\r\n\r\n").close()
            connections += 1

    with pytest.raises(errors.ActorUnreachable, match="nothing was sent"):
        reply.wait()
    assert 2 <= connections <= 100
    client.close()
    actor.end()


def test_answer_beyond_the_limit_ends_the_connection_before_it_is_here(
    connection: Connection, home: Home
) -> None:
    """No peer has us keep more than the largest message."""
    actor = Actor(home)
    theirs = connected(connection, actor)

    theirs.sendall(b"\x02" + (wire.FRAME_BYTES_MAX_WIRE + 1).to_bytes(8, "big"))

    wait_until(lambda: connection.receive() == [] and not connection.is_there, 10, "the end")
    actor.end()
