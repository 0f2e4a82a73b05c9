"""A link of the chain is what the entry's own rules make of it, byte for byte."""

import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgpack_edges import INTEGERS, SIZES

from protocols import _chain
from protocols.entry import Entry, canonical_bytes, entry_hash

texts = st.text(max_size=40) | SIZES.map("x".__mul__) | st.just("\0é\U0001f600" * 90)
FIELDS: dict[str, Any] = dict.fromkeys(("seq", "time_ns", "bound_ns", "hlc", "branch"), INTEGERS)
FIELDS |= dict.fromkeys(("writer", "session", "kind", "action", "entity"), texts)
FIELDS |= dict.fromkeys(("nonce", "salt", "parent_hash"), st.binary(max_size=40))
FIELDS["tags"] = st.lists(texts, max_size=3).map(tuple) | st.just(("t",) * 64)
FIELDS["details_raw"] = st.binary(max_size=300) | SIZES.map(bytes)
entries = st.builds(Entry, **FIELDS, details_hash=st.none(), hash=st.just(b""))


def link(said: Entry, details: Any = None) -> tuple[Any, ...]:
    """Return what the core makes of an entry without a hash."""
    fields: list[Any] = list(msgspec.structs.astuple(said)[:14])
    if details is not None:
        fields[13] = details
    fields.append(said.parent_hash)
    return _chain.link(*fields)


@given(said=entries)
def test_link_is_what_the_rules_say(said: Entry) -> None:
    """Hash, row and record are those that msgspec and hashlib make."""
    row, record = link(said)

    whole = msgspec.structs.replace(said, hash=entry_hash(canonical_bytes(said)))
    encoded_tags = msgspec.msgpack.encode(said.tags)
    columns = list(msgspec.structs.astuple(whole)[:17])
    columns[11] = encoded_tags
    assert row == tuple(columns)
    assert record == msgspec.msgpack.encode(msgspec.structs.astuple(whole)[:17])


@given(said=entries)
def test_details_may_lie_in_any_buffer(said: Entry) -> None:
    """A message's own bytes are looked at where they are, and copied once."""
    raw = said.details_raw or b""
    padded = memoryview(b"?" + raw + b"?")[1 : 1 + len(raw)]

    for details in (bytearray(raw), padded, msgspec.Raw(raw)):
        row, record = link(said, details)
        assert type(row[13]) is bytes
        assert (row, record) == link(said)


@pytest.mark.parametrize(
    ("index", "value", "error"),
    [
        (0, 1 << 63, OverflowError),
        (3, -(1 << 63) - 1, OverflowError),
        (1, 1.5, TypeError),
        (5, "\ud800", UnicodeEncodeError),
        (5, b"bytes", TypeError),
        (7, "text", TypeError),
        (11, ["list"], TypeError),
        (11, ("\ud800",), UnicodeEncodeError),
        (11, ("t",) * 65536, TypeError),
        (12, None, TypeError),
        (13, "text", TypeError),
        (14, 7, TypeError),
    ],
)
def test_what_is_no_entry_is_refused_and_nothing_is_kept(
    index: int, value: object, error: type[Exception]
) -> None:
    """Each is a mistake of ours: the caller has checked the request; no reference leaks."""
    fields: list[Any] = [1, 2, 3, 4, 0, "w", "s", bytearray(16), "log", "a", "e", ("t",)]
    fields += [bytearray(16), bytearray(b"\xc0"), bytearray(32)]
    buffers = [fields[number] for number in (7, 12, 13, 14)]
    fields[index] = value
    before = [sys.getrefcount(buffer) for buffer in buffers]

    for _ in range(50):
        with pytest.raises(error):
            _chain.link(*fields)

    assert [sys.getrefcount(buffer) for buffer in buffers] == before
    for buffer in buffers:
        buffer.append(0)  # BufferError, were it still exported


def test_number_of_fields_is_checked() -> None:
    """Too few or too many end in a TypeError."""
    fields: list[Any] = [1] * 16
    for count in (0, 14, 16):
        with pytest.raises(TypeError, match=f"Expected 15 fields, got {count}"):
            _chain.link(*fields[:count])
