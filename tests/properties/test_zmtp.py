"""The bytes of a ZeroMQ connection, however they are cut, and whatever they are."""

import errno
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmtp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hourbook.link._stream import Stream
from protocols import errors

FRAME = st.one_of(st.binary(max_size=40), st.sampled_from([bytes(255), bytes(256), bytes(70_000)]))
MESSAGES = st.lists(st.lists(FRAME, min_size=1, max_size=5), max_size=6)
CUTS = st.lists(st.integers(0), max_size=20)
FRAME_BYTES_MAX = 1 << 20
shared_mailbox = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Door:
    """Streams of a ROUTER, each with its peer, byte by byte."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._listener.bind(self.path)
        self._listener.listen()
        self.events = select.epoll()

    def pair(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> tuple[Stream, socket.socket]:
        """Return a stream, and its peer, which has read how it is greeted."""
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        peer.connect(self.path)
        stream = Stream.accept(self._listener.fileno(), self.events.fileno(), frame_bytes_max)
        assert peer.recv(1000) == zmtp.ROUTER
        return stream, peer

    def close(self) -> None:
        """Let nobody in."""
        self._listener.close()
        self.events.close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """Yield who makes streams."""
    made = Door(tmp_path / "mailbox.sock")
    yield made
    made.close()


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut some bytes."""
    ends = sorted(cut % (len(data) + 1) for cut in cuts)
    cut = [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]
    return [piece for piece in cut if piece]


def taken(stream: Stream, peer: socket.socket, piece: bytes) -> list[tuple[bytes, int]]:
    """Send a piece, in as many parts as the kernel wants; return what came of it."""
    frames: list[tuple[bytes, int]] = []
    while piece:
        try:
            piece = piece[peer.send(piece) :]
        except BlockingIOError:
            frames += stream.receive()
    while select.select([stream], [], [], 0)[0]:
        frames += stream.receive()
    return frames


@pytest.mark.parametrize("hello", [zmtp.DEALER, zmtp.ROUTER], ids=["DEALER", "ROUTER"])
@given(messages=MESSAGES, cuts=CUTS)
@shared_mailbox
def test_what_was_sent_comes_in_however_it_is_cut(
    door: Door, hello: bytes, messages: list[list[bytes]], cuts: list[int]
) -> None:
    """Every frame, in its order, with its index in its message."""
    stream, peer = door.pair()
    data = hello + b"".join(map(zmtp.message_of, messages))

    frames = [frame for piece in pieces(data, cuts) for frame in taken(stream, peer, piece)]

    assert frames == [(frame, i) for message in messages for i, frame in enumerate(message)]
    stream.close()
    peer.close()


@given(messages=MESSAGES)
@shared_mailbox
def test_what_we_send_is_what_another_reading_of_the_protocol_sends(
    door: Door, messages: list[list[bytes]]
) -> None:
    """Byte by byte; what there is no room for waits, and keeps its place."""
    stream, peer = door.pair()
    for message in messages:
        stream.send(message)
    expected, got = b"".join(map(zmtp.message_of, messages)), b""
    while len(got) < len(expected):
        got += peer.recv(1 << 20)
        assert stream.receive() == []

    assert got == expected
    assert stream.unsent_bytes == 0
    stream.close()
    peer.close()


@given(
    prefix=st.sampled_from([b"", zmtp.DEALER[:64], zmtp.DEALER]),
    data=st.binary(max_size=300),
    cuts=st.lists(st.integers(0), max_size=5),
)
@shared_mailbox
def test_any_bytes_are_taken_as_another_reading_of_the_protocol_takes_them(
    door: Door, prefix: bytes, data: bytes, cuts: list[int]
) -> None:
    """The same frames, the same refusals, and nothing beyond the limit."""
    stream, peer = door.pair(100)
    incoming = zmtp.Incoming(100)
    for piece in pieces(prefix + data, cuts):
        try:
            expected = incoming.take(piece)
        except (errors.BadRequest, errors.FrameTooLarge):
            with pytest.raises(OSError, match="Expected") as refused:
                taken(stream, peer, piece)
            assert refused.value.errno == errno.EPROTO
            with pytest.raises(ConnectionResetError):
                stream.receive()
            break
        assert taken(stream, peer, piece) == expected
        assert all(len(frame) <= 100 for frame, _ in expected)

    assert stream.is_ready == incoming.is_ready
    stream.close()
    peer.close()


@given(cut=st.integers(1, len(zmtp.DEALER)))
@shared_mailbox
def test_peer_is_ready_once_it_has_said_so_and_not_before(door: Door, cut: int) -> None:
    """The greeting alone is not enough: READY follows it."""
    stream, peer = door.pair()

    taken(stream, peer, zmtp.DEALER[:cut])

    assert stream.is_ready == (cut == len(zmtp.DEALER))
    stream.close()
    peer.close()


def test_dealer_greets_as_another_reading_of_the_protocol_greets(door: Door) -> None:
    """As soon as it is connected, and before it has heard anything."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{door.path}2")
    listener.listen()

    stream = Stream.connect(f"{door.path}2", door.events.fileno(), FRAME_BYTES_MAX)
    accepted, _ = listener.accept()

    assert accepted.recv(1000) == zmtp.DEALER
    for end in (stream, accepted, listener):
        end.close()


@pytest.mark.parametrize(
    ("path", "error"), [("nowhere.sock", FileNotFoundError), ("x" * 108, OSError)]
)
def test_nobody_at_the_path_is_an_error_of_the_system(
    door: Door, path: str, error: type[OSError]
) -> None:
    """And no path is cut to what fits."""
    with pytest.raises(error):
        Stream.connect(path, door.events.fileno(), FRAME_BYTES_MAX)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\n", "greeting of ZMTP 3, got b'GET / HTTP/1.1"),
        (b"\xff" + bytes(8) + b"\x7f\x01", "greeting of ZMTP 3"),
        (zmtp.DEALER[:12] + b"CURVE".ljust(20, b"\0") + bytes(32), "mechanism NULL"),
        (zmtp.DEALER[:64] + b"\x00\x01x", r"READY of a ZeroMQ peer, got b'\x00\x01x'"),
        (zmtp.DEALER[:64] + b"\x04\x08\x05ERROR\x01x", "READY of a ZeroMQ peer"),
        (zmtp.DEALER + b"\x05\x00", r"flags of a ZMTP frame, got b'\x05\x00'"),
        (zmtp.DEALER + b"\x08\x00", "flags of a ZMTP frame"),
        (zmtp.DEALER + b"\x02" + (1025).to_bytes(8, "big"), "at most 1024 bytes"),
        (zmtp.DEALER + b"\x02" + b"\xff" * 8, "at most 1024 bytes"),
    ],
    ids=["HTTP", "ZMTP 2", "CURVE", "early", "ERROR", "flags 5", "flags 8", "large", "2^64"],
)
def test_peer_that_speaks_otherwise_is_refused_at_once(door: Door, data: bytes, words: str) -> None:
    """As soon as it shows, before what it announces is here."""
    stream, peer = door.pair(1024)

    with pytest.raises(OSError, match="Expected") as refused:
        taken(stream, peer, data)

    assert words in str(refused.value)
    stream.close()
    peer.close()


def test_heartbeat_is_answered_with_what_it_carries(door: Door) -> None:
    """A PING of ZMTP 3.1 wants its context back; it is no frame, and changes no message."""
    stream, peer = door.pair()
    ping = b"\x04\x0a\x04PING\x00\x64abc"

    frames = taken(stream, peer, zmtp.DEALER + b"\x01\x01a" + ping + b"\x00\x01b")

    assert frames == [(b"a", 0), (b"b", 1)]
    assert peer.recv(1000) == b"\x04\x08\x04PONGabc"
    stream.close()
    peer.close()


def test_heartbeat_brings_back_16_bytes_at_most(door: Door) -> None:
    """More of it nobody may send, and we give back no more."""
    stream, peer = door.pair()

    taken(stream, peer, zmtp.DEALER + b"\x04\xff\x04PING\x00\x64" + bytes(248))

    assert peer.recv(1000) == b"\x04\x15\x04PONG" + bytes(16)
    stream.close()
    peer.close()


@pytest.mark.parametrize("frames", [["text"], [b"one", 2], 3, [bytearray(b"x")]])
def test_what_is_no_message_is_refused_whole(door: Door, frames: object) -> None:
    """Nothing of it leaves."""
    stream, peer = door.pair()

    with pytest.raises(TypeError):
        stream.send(frames)  # type: ignore[arg-type] # what is tested

    assert stream.unsent_bytes == 0
    with pytest.raises(BlockingIOError):
        peer.recv(1)
    stream.close()
    peer.close()


def test_closed_stream_says_so_and_is_closed_once(door: Door) -> None:
    """Its descriptor may be somebody else's by then."""
    stream, peer = door.pair()
    stream.close()
    other = socket.socket()

    for use in (stream.receive, lambda: stream.send([b"x"])):
        with pytest.raises(OSError, match="Bad file descriptor"):
            use()
    stream.close()

    assert stream.fileno() == -1
    assert other.fileno() >= 0
    other.getsockname()
    assert peer.recv(1) == b""
    other.close()
    peer.close()
