"""The bytes of a ZeroMQ connection, however they are cut, and whatever they are."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import errors, zmtp

FRAME = st.one_of(st.binary(max_size=40), st.sampled_from([bytes(255), bytes(256), bytes(70_000)]))
MESSAGES = st.lists(st.lists(FRAME, min_size=1, max_size=5), max_size=6)
FRAME_BYTES_MAX = 1 << 20


def taken(incoming: zmtp.Incoming, data: bytes, cuts: list[int]) -> list[tuple[bytes, int]]:
    """Give `data` in pieces that end at the cuts; return all frames that came of it."""
    ends = sorted(cut % (len(data) + 1) for cut in cuts)
    frames = []
    for begin, end in zip([0, *ends], [*ends, len(data)], strict=True):
        if begin < end:
            frames += incoming.take(data[begin:end])
    return frames


@pytest.mark.parametrize("hello", [zmtp.DEALER, zmtp.ROUTER], ids=["DEALER", "ROUTER"])
@given(messages=MESSAGES, cuts=st.lists(st.integers(0), max_size=20))
def test_what_was_sent_comes_in_however_it_is_cut(
    hello: bytes, messages: list[list[bytes]], cuts: list[int]
) -> None:
    """Every frame, in its order, with its index in its message."""
    data = hello + b"".join(map(zmtp.message_of, messages))

    frames = taken(zmtp.Incoming(FRAME_BYTES_MAX), data, cuts)

    assert frames == [(frame, i) for message in messages for i, frame in enumerate(message)]


@given(
    prefix=st.sampled_from([b"", zmtp.DEALER[:64], zmtp.DEALER]),
    data=st.binary(max_size=300),
    cuts=st.lists(st.integers(0), max_size=5),
)
def test_any_bytes_are_frames_or_refused(prefix: bytes, data: bytes, cuts: list[int]) -> None:
    """Nothing else comes of them, neither another error nor a frame beyond the limit."""
    incoming = zmtp.Incoming(100)
    frames = []

    with contextlib.suppress(errors.BadRequest, errors.FrameTooLarge):
        frames = taken(incoming, prefix + data, cuts)

    assert all(len(frame) <= 100 for frame, _ in frames)
    assert incoming.is_ready or not frames


@given(cut=st.integers(1, len(zmtp.DEALER)))
def test_peer_is_ready_once_it_has_said_so_and_not_before(cut: int) -> None:
    """The greeting alone is not enough: READY follows it."""
    incoming = zmtp.Incoming()

    incoming.take(zmtp.DEALER[:cut])

    assert incoming.is_ready == (cut == len(zmtp.DEALER))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\n", "greeting of ZMTP 3, got 474554202f20485454502f"),
        (b"\xff" + bytes(8) + b"\x7f\x01", "greeting of ZMTP 3"),
        (zmtp.DEALER[:12] + b"CURVE".ljust(20, b"\0") + bytes(32), "mechanism NULL, got b'CURVE"),
        (zmtp.DEALER[:64] + b"\x00\x01x", "READY of a ZeroMQ peer, got flags 0"),
        (zmtp.DEALER[:64] + b"\x04\x08\x05ERROR\x01x", r"READY of a ZeroMQ peer, got b'\x05ERROR"),
        (zmtp.DEALER + b"\x05\x00", "flags of a ZMTP frame, got 5"),
        (zmtp.DEALER + b"\x08\x00", "flags of a ZMTP frame, got 8"),
        (zmtp.DEALER + b"\x02" + (1025).to_bytes(8, "big"), "at most 1024 bytes, got 1025"),
        (zmtp.DEALER + b"\x02" + b"\xff" * 8, "at most 1024 bytes, got 18446744073709551615"),
    ],
    ids=["HTTP", "ZMTP 2", "CURVE", "early", "ERROR", "flags 5", "flags 8", "large", "2^64"],
)
def test_peer_that_speaks_otherwise_is_refused_at_once(data: bytes, words: str) -> None:
    """As soon as it shows, before what it announces is here."""
    incoming = zmtp.Incoming(1024)

    with pytest.raises((errors.BadRequest, errors.FrameTooLarge)) as refused:
        incoming.take(data)

    assert words in str(refused.value)


def test_heartbeat_is_answered_with_what_it_carries() -> None:
    """A PING of ZMTP 3.1 wants its context back; it is no frame, and changes no message."""
    incoming = zmtp.Incoming()
    ping = b"\x04\x0a\x04PING\x00\x64abc"

    frames = incoming.take(zmtp.DEALER + b"\x01\x01a" + ping + b"\x00\x01b")

    assert frames == [(b"a", 0), (b"b", 1)]
    assert incoming.owed == b"\x04\x08\x04PONGabc"


def test_heartbeat_brings_back_16_bytes_at_most() -> None:
    """More of it nobody may send, and we give back no more."""
    incoming = zmtp.Incoming()

    incoming.take(zmtp.DEALER + b"\x04\xff\x04PING\x00\x64" + bytes(248))

    assert incoming.owed == b"\x04\x15\x04PONG" + bytes(16)
