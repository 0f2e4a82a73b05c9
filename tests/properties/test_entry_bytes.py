"""Two entries that differ in anything have different bytes, and details are never touched."""

import math
import struct
from typing import Any

import msgspec
import pytest
from books import STAMP
from hypothesis import given
from hypothesis import strategies as st

from hourbook.book import journal
from hourbook.book.render import json_value
from protocols import _frames, entry, errors, wire
from protocols.book_messages import Append, NewEntry, check_append
from protocols.entry import Entry, canonical_bytes, entry_hash

# Few letters, so that neighbouring fields often hold the same text cut in another place.
texts = st.text("ab", max_size=3)
entries = st.builds(
    Entry,
    seq=st.integers(1, 3), time_ns=st.integers(-1, 1), bound_ns=st.integers(-1, 1),
    hlc=st.integers(0, 1), branch=st.integers(0, 1), writer=texts, session=texts,
    nonce=st.binary(min_size=16, max_size=16), kind=texts, action=texts, entity=texts,
    tags=st.lists(texts, max_size=3).map(tuple), salt=st.just(bytes(16)),
    details_raw=st.sampled_from([b"\xc0", b"\xa0", b"\x90", b"\x80", b"\xc4\x00"]),
    details_hash=st.none(), parent_hash=st.sampled_from([bytes(32), b"\1" * 32]),
    hash=st.just(b""),
)  # fmt: skip


@given(one=entries, other=entries)
def test_different_entries_have_different_bytes(one: Entry, other: Entry) -> None:
    """Canonical bytes are equal exactly when every field that they cover is."""
    assert (canonical_bytes(one) == canonical_bytes(other)) == (one == other)
    assert (entry_hash(canonical_bytes(one)) == entry_hash(canonical_bytes(other))) == (
        one == other
    )


@given(like=entries, text=st.text(min_size=1, max_size=20), data=st.data())
def test_text_cut_in_another_place_is_another_entry(like: Entry, text: str, data: Any) -> None:
    """("deploy", "edX") is not ("deployed", "X"), whichever two texts stand side by side."""
    places = st.integers(0, len(text))
    first, second = data.draw(places, "first"), data.draw(places, "second")
    pair = data.draw(st.sampled_from([("writer", "session"), ("kind", "action"),
                                      ("action", "entity")]))  # fmt: skip

    cuts = [
        msgspec.structs.replace(like, **{pair[0]: text[:place], pair[1]: text[place:]})
        for place in (first, second)
    ]

    assert (canonical_bytes(cuts[0]) == canonical_bytes(cuts[1])) == (first == second)


def sequenced(details: bytes) -> journal.Row:
    """Check a request as journal_writer does, and return the row that it becomes."""
    request = Append("agent", entry.make_nonce(1, 1), [NewEntry("a", "b", msgspec.Raw(details))])
    frame = wire.encode(
        wire.Envelope(
            kind="book.append", id=1, src="x", body=msgspec.Raw(msgspec.msgpack.encode(request))
        )
    )
    wire.check_frame(frame)
    received = wire.decode_body(wire.decode_envelope(frame), Append)
    check_append(received)
    return journal.sequence(journal.EMPTY_HEAD, [received], STAMP, bytes(16)).rows[0]


def shown(details: bytes) -> bytes:
    """Return details as `tail --json` prints them."""
    return msgspec.json.encode(json_value(entry.decode_value(details, "details")))


KEPT = {
    "nil": b"\xc0",
    "empty text": b"\xa0",
    "largest unsigned": b"\xcf" + b"\xff" * 8,
    "smallest signed": b"\xd3\x80" + bytes(7),
    "one, the long way": b"\xcf" + bytes(7) + b"\1",
    "text, the long way": b"\xdb\0\0\0\1x",
    "not a number": b"\xcb" + struct.pack(">d", math.nan),
    "not a number, with a payload": b"\xcb\x7f\xf8\0\0\0\0\0\1",
    "minus zero": b"\xcb\x80" + bytes(7),
    "single precision": b"\xca" + struct.pack(">f", -0.0),
    "infinity": b"\xcb" + struct.pack(">d", -math.inf),
    "extension": b"\xc7\x03\x2aabc",
    "fixed extension": b"\xd4\x7f\x00",
    "timestamp": b"\xd6\xff\0\0\0\1",
    "map with a key twice": b"\x82\xa1a\1\xa1a\2",
    "map with a number as key": b"\x81\1\2",
    "map with bytes as key": b"\x81\xc4\1\xff\2",
    "map with a list as key": b"\x81\x91\1\2",
}
REFUSED = {
    "map with a map as key": b"\x81\x80\1",
    "map with a map in a list as key": b"\x81\x91\x80\1",
    "nothing": b"",
    "cut short": b"\x92\1",
    "two values": b"\1\2",
    "reserved byte": b"\xc1",
    "text that is no UTF-8": b"\xa1\xff",
    "lone surrogate": b"\xa3\xed\xa0\x80",
    "timestamp out of range": b"\xc7\x0c\xff\xff\xff\xff\xff" + bytes(8),
    "depth 2000": b"\x91" * 2000 + b"\xc0",
}


@pytest.mark.parametrize("details", KEPT.values(), ids=KEPT)
def test_details_are_kept_byte_for_byte(details: bytes) -> None:
    """Whatever MessagePack allows is neither decoded and encoded again, nor made shorter."""
    row = sequenced(details)

    assert row[13] == details
    assert shown(details)


@pytest.mark.parametrize("details", REFUSED.values(), ids=REFUSED)
def test_details_that_no_reader_could_show_are_refused_first(details: bytes) -> None:
    """What would be refused on reading is refused before it is sequenced."""
    with pytest.raises(errors.CallerError):
        sequenced(details)


@given(details=st.binary(min_size=1, max_size=30))
def test_any_bytes_are_kept_as_they_are_or_refused(details: bytes) -> None:
    """There is no third way: what is accepted comes back exactly, and can be decoded."""
    try:
        row = sequenced(details)
    except errors.CallerError:
        return

    assert row[13] == details
    assert shown(details)


@given(number=st.integers(-(2**80), 2**80))
def test_integers_beyond_64_bits_are_refused_when_they_are_given(number: int) -> None:
    """Python's integers have no end, MessagePack's do: nothing is rounded."""
    if -(2**63) <= number < 2**64:
        assert entry.decode_value(entry.encode_value(number, "details"), "details") == number
    else:
        with pytest.raises(errors.BadRequest, match="details"):
            entry.encode_value(number, "details")


def encodable(value: object) -> bool:
    """Return whether MessagePack can carry a value."""
    try:
        msgspec.msgpack.encode(value)
    except (OverflowError, ValueError, TypeError):
        return False
    return True


def spoiled(raw: bytes) -> st.SearchStrategy[bytes]:
    """Return the bytes, and what is left of them when one is changed, lost or added."""
    places, letters = st.integers(0, max(0, len(raw) - 1)), st.binary(max_size=2)
    return st.just(raw) | st.builds(
        lambda place, letter: raw[:place] + letter + raw[place + 1 :], places, letters
    )


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary()
ascii_texts = st.text(st.characters(max_codepoint=127))
plain_values = st.recursive(
    scalars | ascii_texts,
    lambda inner: st.lists(inner) | st.dictionaries(ascii_texts, inner),
    max_leaves=20,
)
any_values = st.recursive(
    scalars | st.text() | st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.binary(), inner),
    max_leaves=20,
)


@given(value=plain_values)
def test_what_is_usual_is_seen_to_be_a_value_by_its_looks(value: object) -> None:
    """ASCII, keys of text, and no types of anybody's own: it is not decoded to be checked."""
    assert _frames.is_plain(msgspec.msgpack.encode(value))


@given(
    raw=st.binary(max_size=40)
    | any_values.filter(encodable).map(msgspec.msgpack.encode).flatmap(spoiled)
)
def test_what_looks_like_a_value_is_one(raw: bytes) -> None:
    """Whatever the bytes, whether a check refuses them is what decoding says."""
    try:
        msgspec.msgpack.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        assert not _frames.is_plain(raw)
        with pytest.raises(errors.BadRequest, match="in details"):
            entry.check_value(raw, "details")
    else:
        entry.check_value(raw, "details")
