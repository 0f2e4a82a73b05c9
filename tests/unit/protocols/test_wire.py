"""The envelope: what is accepted, what is refused, and in which words."""

import random

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import errors, wire


def nested(depth: int) -> bytes:
    """Return `depth` arrays inside each other around a nil."""
    return b"\x91" * depth + b"\xc0"


class Echo(msgspec.Struct):
    """A body for these tests."""

    text: str
    numbers: list[int] = []


def test_envelope_of_plain_msgpack_is_decoded() -> None:
    """A message written with nothing but msgpack is an envelope with defaults."""
    frame = msgpack.packb({"v": 1, "kind": "echo", "id": 7, "body": {"text": "hi"}})

    envelope = wire.decode_envelope(frame)

    assert (envelope.kind, envelope.id, envelope.attempt, envelope.corr) == ("echo", 7, 1, None)
    assert wire.decode_body(envelope, Echo) == Echo("hi")


def test_reply_is_plain_msgpack_for_others() -> None:
    """A reply decodes with plain msgpack into string keys and names the request it answers."""
    frame = wire.encode_reply(41, {"seq": 3}, src="journal_writer", incarnation=2)

    assert msgpack.unpackb(frame) == {
        "kind": "ok", "id": 41, "corr": 41, "src": "journal_writer", "incarnation": 2,
        "body": {"seq": 3},
    }  # fmt: skip


def test_error_reply_becomes_the_same_exception_on_the_other_side() -> None:
    """An error travels with code, field, value and hint, and comes back as its class."""
    sent = errors.NonceExpired("Expected x, got y, at z", field="nonce", value="1", hint="do that")

    got = wire.error_of(wire.decode_envelope(wire.encode_error(5, sent, src="a")))

    assert isinstance(got, errors.NonceExpired)
    assert (got.message, got.field, got.value, got.hint) == (
        sent.message, sent.field, sent.value, sent.hint,
    )  # fmt: skip


def test_other_version_is_refused_by_name() -> None:
    """An envelope of another version is refused as such, whatever else is in it."""
    frame = msgpack.packb({"v": 2, "kind": 12, "new_field": [1, 2]})

    with pytest.raises(errors.UnsupportedVersion, match="version 1, got 2"):
        wire.decode_envelope(frame)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"text": 3}, "body.text"),
        ({"text": "x", "numbers": [1, "2"]}, "body.numbers[1]"),
        ({"text": b"x"}, "body.text"),
    ],
)
def test_wrong_body_names_the_path(body: object, field: str) -> None:
    """A body that does not fit is refused with the path of the offending field."""
    frame = msgpack.packb({"kind": "echo", "id": 1, "body": body})

    with pytest.raises(errors.BadRequest) as caught:
        wire.decode_body(wire.decode_envelope(frame), Echo)
    assert caught.value.field == field
    assert "echo" in str(caught.value)


def test_lone_surrogate_in_text_is_refused() -> None:
    """Bytes that are not UTF-8 in a text are a bad request, not a crash."""
    frame = b"\x83\xa4kind\xa4echo\xa2id\x01\xa4body\x81\xa4text\xa3\xed\xa0\x80"

    with pytest.raises(errors.BadRequest):
        wire.decode_body(wire.decode_envelope(frame), Echo)


@pytest.mark.parametrize("text", ["", "\0", "line\nline", "\N{OCTOPUS}", "a" * 1000])
def test_any_text_travels(text: str) -> None:
    """NUL, newline and emoji are ordinary text."""
    frame = msgpack.packb({"kind": "echo", "id": 1, "body": {"text": text}})
    wire.check_frame(frame)

    assert wire.decode_body(wire.decode_envelope(frame), Echo).text == text


def test_size_limit_names_limit_and_value() -> None:
    """A frame that is too large is refused with both figures, before it is decoded."""
    with pytest.raises(errors.FrameTooLarge, match="at most 10 bytes, got 11"):
        wire.check_frame(b"x" * 11, 10)


@pytest.mark.parametrize("depth", [1, 31, 32])
def test_depth_up_to_the_limit_is_accepted(depth: int) -> None:
    """Thirty-two levels are legal."""
    wire.check_frame(nested(depth) if depth > 1 else b"\x90")


@pytest.mark.parametrize("depth", [33, 1000, 100_000])
def test_deeper_than_the_limit_is_refused(depth: int) -> None:
    """Thirty-three levels are not, and a hundred thousand cost no recursion."""
    with pytest.raises(errors.FrameTooDeep, match="32 levels"):
        wire.check_frame(nested(depth))


def test_too_many_values_are_refused() -> None:
    """A message of two million small values is refused, although it is small in bytes."""
    frame = b"\xdd\x00\x20\x00\x00" + b"\xa0" * (1 << 21)

    with pytest.raises(errors.FrameTooDeep, match="values"):
        wire.check_frame(frame, 1 << 24)


def test_walk_agrees_with_the_fast_path_on_flat_text() -> None:
    """Text whose bytes look like containers passes: only real containers count."""
    frame = msgpack.packb({"text": "\u0400" * 500 + "\u00df" * 500})

    wire.check_frame(frame)


def test_frame_that_ends_inside_a_value_is_refused() -> None:
    """A torn frame that looks deep is refused as torn."""
    with pytest.raises(errors.BadRequest, match="end inside one"):
        wire.check_frame(b"\xdc\x00\x40" + b"\x90" * 40)


@pytest.mark.parametrize(
    "first", ["c4", "c5", "c6", "c7", "c8", "c9", "d9", "da", "db", "dd", "df"]
)
def test_no_length_is_believed_beyond_the_end_of_the_frame(first: str) -> None:
    """A value that says it goes on, and does not, is torn, wherever it is cut."""
    whole = bytes.fromhex(first + "ffffffff")

    for size in range(1, len(whole)):
        with pytest.raises(errors.BadRequest, match="end inside one"):
            wire.check_frame(whole[:size])


def test_the_byte_that_begins_no_value_is_refused() -> None:
    """0xc1 is the one that MessagePack never uses."""
    with pytest.raises(errors.BadRequest, match="0xc1"):
        wire.check_frame(b"\x91\xc1")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
    | st.text(max_size=40) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner,
                                                                max_size=5),
    max_leaves=60,
)  # fmt: skip


def depth_of(value: object) -> int:
    """Return how deep lists and maps nest."""
    match value:
        case list():
            return 1 + max((depth_of(v) for v in value), default=0)
        case dict():
            return 1 + max((depth_of(v) for v in value.values()), default=0)
        case _:
            return 0


@given(values, st.integers(0, 40))
def test_walk_measures_depth_as_a_recursive_reader_does(value: object, wraps: int) -> None:
    """The walk without recursion refuses exactly what nests deeper than the limit."""
    for _ in range(wraps):
        value = [value]
    frame = msgpack.packb(value)

    try:
        wire.check_frame(frame, 1 << 24)
        refused = False
    except errors.FrameTooDeep:
        refused = True
    assert refused == (depth_of(value) > wire.DEPTH_MAX)


@given(st.binary(max_size=300))
def test_random_bytes_never_escape_as_another_error(frame: bytes) -> None:
    """Whatever the bytes, the answer is an envelope or one of our errors."""
    try:
        wire.check_frame(frame)
        wire.decode_envelope(frame)
    except errors.HourbookError:
        refused = True
    else:
        refused = False
    assert refused or wire.decode_envelope(frame).id == wire.salvage_id(frame)


def test_mutated_messages_never_escape_as_another_error(rng: random.Random) -> None:
    """A valid message with flipped bytes is an envelope or one of our errors."""
    good = msgpack.packb({"v": 1, "kind": "echo", "id": 7, "body": {"text": "hi", "numbers": [1]}})
    survived = 0

    for _ in range(2000):
        frame = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        try:
            wire.check_frame(bytes(frame))
            wire.decode_body(wire.decode_envelope(bytes(frame)), Echo)
            survived += 1
        except errors.HourbookError:
            pass
    assert 0 < survived < 2000


def test_printable_is_one_short_safe_line() -> None:
    """Whatever it shows, a value in a message is one line of ASCII of bounded length."""
    text = wire.printable("a\nb\x1b[31m\ud800" + "x" * 500)

    assert text.isascii()
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) <= 80
