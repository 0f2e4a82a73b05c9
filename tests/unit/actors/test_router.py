"""The socket of a mailbox, with peers of libzmq, and with some that misbehave."""

import os
import resource
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
import zmtp
from waiting import wait_until

from actors import router as router_module
from actors.router import Router


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the mailbox is."""
    return tmp_path / "mailbox.sock"


@pytest.fixture
def router(path: Path) -> Iterator[Router]:
    """Yield a mailbox that listens."""
    made = Router()
    made.bind(str(path))
    yield made
    made.close()


@pytest.fixture
def context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    """Yield what sockets of libzmq are made in."""
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield made
    made.destroy(linger=0)


def dealer(context: "zmq.Context[zmq.Socket[bytes]]", path: Path) -> "zmq.Socket[bytes]":
    """Return a DEALER of libzmq that connects."""
    made = context.socket(zmq.DEALER)
    made.set(zmq.LINGER, 0)
    made.set(zmq.RCVTIMEO, 10_000)
    made.connect(f"ipc://{path}")
    return made


def plain(path: Path) -> socket.socket:
    """Return a stream to the mailbox, greeted."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(10)
    made.connect(str(path))
    made.sendall(zmtp.DEALER)
    return made


def next_of(router: Router) -> tuple[bytes, bytes]:
    """Wait for the next frame."""
    received = wait_until(router.receive, 10, "a frame")
    assert received is not None
    return received


def test_messages_of_libzmq_are_read_and_answered(
    router: Router, path: Path, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    """Frame by frame, with their index; the answer goes to the one who asked, in one message."""
    first, second = dealer(context, path), dealer(context, path)
    first.send_multipart([b"one", b"", bytes(300_000)])
    received = []
    for _ in range(3):
        peer, frame = next_of(router)
        received.append((frame, router.index))
    second.send(b"two")
    other, frame = next_of(router)

    is_sent = router.send(peer, [b"a", bytes(1000)]), router.send(other, [b"b"])

    assert received == [(b"one", 0), (b"", 1), (bytes(300_000), 2)]
    assert (frame, router.index, is_sent) == (b"two", 0, (True, True))
    assert first.recv_multipart() == [b"a", bytes(1000)]
    assert second.recv_multipart() == [b"b"]
    first.close()
    second.close()


def test_peer_that_wants_heartbeats_has_them(
    router: Router, path: Path, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    """Its library sends PING to whoever is silent, and closes without an answer."""
    patient = context.socket(zmq.DEALER)
    patient.set(zmq.LINGER, 0)
    patient.set(zmq.HEARTBEAT_IVL, 20)
    patient.set(zmq.HEARTBEAT_TIMEOUT, 200)
    lost = patient.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    patient.connect(f"ipc://{path}")
    patient.send(b"hello")
    peer, _ = next_of(router)
    poll = select.poll()
    poll.register(router.fd, select.POLLIN)
    pings = 0
    while pings < 25 and not lost.poll(0):
        if poll.poll(1000):
            assert router.receive() is None
            pings += 1

    is_sent = router.send(peer, [b"still there"])

    assert not lost.poll(0)
    assert (is_sent, patient.recv()) == (True, b"still there")
    patient.disable_monitor()
    lost.close()
    patient.close()


def test_peer_that_has_gone_is_sent_nothing(router: Router, path: Path) -> None:
    """It is forgotten as soon as that shows, and its name is nobody else's."""
    gone = plain(path)
    gone.sendall(zmtp.message_of([b"hello"]))
    peer, _ = next_of(router)
    gone.close()
    wait_until(lambda: router.receive() is None and not router._streams, 10, "its end")
    successor = plain(path)
    successor.sendall(zmtp.message_of([b"hello"]))

    other, _ = next_of(router)

    assert not router.send(peer, [b"late"])
    assert router.send(other, [b"in time"])
    successor.close()


def test_peer_that_speaks_otherwise_is_dropped_alone(router: Router, path: Path) -> None:
    """Garbage ends a connection, before or after the greeting; others are served."""
    good, early, late = plain(path), socket.socket(socket.AF_UNIX), plain(path)
    early.settimeout(10)
    early.connect(str(path))
    early.sendall(b"GET / HTTP/1.1\r\n\r\n")
    late.sendall(b"\xff" * 100)
    good.sendall(zmtp.message_of([b"hello"]))

    assert next_of(router)[1] == b"hello"
    for dropped in (early, late):
        wait_until(lambda: router.receive() is None and len(router._peers) == 1, 10, "their end")
        while dropped.recv(100):
            pass
        dropped.close()
    good.close()


def test_answer_larger_than_the_kernel_keeps_leaves_while_we_receive(
    router: Router, path: Path
) -> None:
    """A slow reader gets all of it, in order, and holds up nobody."""
    slow, large = plain(path), os.urandom(10 << 20)
    slow.sendall(zmtp.message_of([b"hello"]))
    peer, _ = next_of(router)
    router.send(peer, [large])
    router.send(peer, [b"last"])
    incoming = zmtp.Incoming()
    frames: list[tuple[bytes, int]] = []
    poll = select.poll()
    poll.register(router.fd, select.POLLIN)
    while len(frames) < 2:
        frames += incoming.take(slow.recv(1 << 20))
        if poll.poll(0):
            assert router.receive() is None

    assert frames == [(large, 0), (b"last", 0)]
    assert not poll.poll(0)  # nobody is woken for nothing
    slow.close()


def test_peer_that_reads_nothing_loses_what_is_beyond_the_limit(
    router: Router, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it costs is bounded; what it was promised comes when it reads."""
    monkeypatch.setattr(router_module, "_UNSENT_BYTES_MAX", 1 << 20)
    stalled, other = plain(path), plain(path)
    for stream in (stalled, other):
        stream.sendall(zmtp.message_of([b"hello"]))
    peers = [next_of(router)[0] for _ in range(2)]
    sent = [router.send(peers[0], [bytes(100_000)]) for _ in range(40)]
    is_other_served = router.send(peers[1], [b"you"])

    incoming = zmtp.Incoming()
    frames: list[tuple[bytes, int]] = []
    while len(frames) < sum(sent):
        frames += incoming.take(stalled.recv(1 << 20))
        router.receive()

    assert 10 <= sum(sent) <= 15
    assert sent == sorted(sent, reverse=True)
    assert is_other_served
    assert router.send(peers[0], [b"once more"])
    stalled.close()
    other.close()


def test_heartbeats_of_a_peer_that_reads_nothing_cost_no_memory(router: Router, path: Path) -> None:
    """They are answered until the kernel has no room, and then no more."""
    stalled = plain(path)
    stalled.sendall(zmtp.message_of([b"hello"]))
    peer, _ = next_of(router)
    for _ in range(200):
        stalled.sendall((b"\x04\x17\x04PING\x00\x64" + bytes(16)) * 400)
        while router.receive() is None and select.select([router.fd], [], [], 0)[0]:
            pass

    assert router._streams[peer].unsent_bytes < 64 << 10
    stalled.close()


def test_flood_of_one_peer_holds_up_no_other(router: Router, path: Path) -> None:
    """Each is read in its turn, of as much as the kernel keeps."""
    flood, other = plain(path), plain(path)
    flood.settimeout(0)
    message, sent = zmtp.message_of([bytes(1000)]), 0
    while select.select([], [flood], [], 0)[1]:
        flood.send(message)
        sent += 1
    other.sendall(zmtp.message_of([b"me, too"]))
    count = 0
    while next_of(router)[1] != b"me, too":
        count += 1

    assert count <= sent + 1
    assert not router.waiting or len(router.waiting) <= sent
    flood.close()
    other.close()


@pytest.mark.parametrize("how", ["one has gone", "the next one knocks"])
def test_who_finds_no_descriptor_waits_until_there_is_one(
    router: Router, path: Path, how: str
) -> None:
    """A mailbox with too many peers serves them, and sleeps, until there is room."""
    known = plain(path)
    known.sendall(zmtp.message_of([b"hello"]))
    next_of(router)
    waiting = plain(path)
    waiting.sendall(zmtp.message_of([b"me, too"]))
    poll = select.poll()
    poll.register(router.fd, select.POLLIN)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(lowest := os.dup(router.fd))
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        refused = router.receive()
        is_asleep = not poll.poll(0)
        known.sendall(zmtp.message_of([b"again"]))
        served = next_of(router)[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    next_one = known if how == "one has gone" else plain(path)
    if how == "one has gone":
        known.close()

    assert (refused, is_asleep, served) == (None, True, b"again")
    assert next_of(router)[1] == b"me, too"
    for stream in (known, waiting, next_one):
        stream.close()


def test_mailbox_is_the_owners_replaces_what_was_left_and_leaves_nothing(path: Path) -> None:
    """The socket of an incarnation that was killed is in nobody's way."""
    killed = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    killed.bind(str(path))
    killed.close()
    router = Router()

    router.bind(str(path))
    mode = path.stat().st_mode & 0o777
    router.close()

    assert mode == 0o600
    assert not path.exists()


def test_peers_that_read_nothing_hold_up_the_end_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten of them cost what one does."""
    monkeypatch.setattr(router_module, "_LINGER_S", 0.5)
    router = Router()
    router.bind(str(path))
    streams = [plain(path) for _ in range(10)]
    for stream in streams:
        stream.sendall(zmtp.message_of([b"hello"]))
    for _ in streams:
        router.send(next_of(router)[0], [bytes(1 << 20)])
    began_s = time.monotonic()

    router.close()

    assert time.monotonic() - began_s < 10 * 0.5 / 2
    for stream in streams:
        stream.close()


def test_mailbox_that_cannot_be_bound_says_why(tmp_path: Path) -> None:
    """Nothing is left open, and nothing listens."""
    router = Router()

    with pytest.raises(FileNotFoundError):
        router.bind(str(tmp_path / "nowhere" / "mailbox.sock"))

    assert router.receive() is None
    router.close()
