"""Entries that were decoded one after the other, against msgspec, which decodes each by itself."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols._entries import Decoder
from protocols.entry import Entry
from protocols.entry_decoder import KINDS, decode_entry

decode_alone = msgspec.msgpack.Decoder(Entry).decode
encode = msgspec.msgpack.encode

few = st.integers(0, 3)
integers = st.one_of(few, st.integers(-(1 << 63), (1 << 64) - 1))
texts = st.one_of(st.sampled_from(["", "agent", "log", "é😀"]), st.text(max_size=300))
blobs = st.one_of(few.map(lambda n: bytes([n]) * 32), st.binary(max_size=300))
optional = st.none() | blobs
rows = st.tuples(
    *[integers] * 5, texts, texts, blobs, texts, texts, texts,
    st.lists(texts, max_size=20), *[optional] * 3, blobs, blobs,
)  # fmt: skip
anything = st.one_of(st.none(), st.booleans(), st.floats(), integers, texts, blobs, st.lists(texts))


def outcome(decode: Callable[[bytes], Entry], encoded: bytes) -> object:
    """Return what decoding comes to: an entry, or an error in its own words."""
    try:
        return decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return type(error), str(error)


@settings(max_examples=200, deadline=None)
@given(st.lists(rows, max_size=8))
def test_entries_are_what_msgspec_makes_of_them(drawn: list[tuple[object, ...]]) -> None:
    """Whatever they have in common; the types of what is in them too."""
    encoded = [encode(row) for row in drawn]

    ours = [decode_entry(each) for each in encoded]

    assert repr(ours) == repr([decode_alone(each) for each in encoded])


@settings(max_examples=300, deadline=None)
@given(rows, st.integers(0, 20), anything, st.data())
def test_what_is_no_such_entry_is_left_to_msgspec(
    row: tuple[object, ...], place: int, other: object, data: st.DataObject
) -> None:
    """A field of another type, one more or less, a byte changed, cut off or added: as it says."""
    whole = encode(row)
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    odd = [(*row[:place], other, *row[place + 1 :]), row[:place], (*row, None), (*row, *row)]
    decode_entry(whole)

    for encoded in (changed, whole[:at], whole + b"\xc0", *map(encode, odd)):
        assert repr(outcome(decode_entry, encoded)) == repr(outcome(decode_alone, encoded))


def test_every_form_of_a_number_and_of_a_length_is_read() -> None:
    """Shortest or not."""
    numbers = [
        *[bytes([first]) for first in (0x00, 0x7F, 0xE0, 0xFF)],
        *[bytes([0xCC + i]) + b"\xfe" * (1 << i) for i in range(4)],
        *[bytes([0xD0 + i]) + b"\xfe" * (1 << i) for i in range(4)],
        *[bytes([0xD0 + i]) + b"\x7f" * (1 << i) for i in range(4)],
    ]
    forms = [[b"\xa3", b"\xd9\x03", b"\xda\0\x03", b"\xdb\0\0\0\x03"], [b"\xc4\x03", b"\xc5\0\x03"]]
    values = [*numbers, *[form + b"abc" for of_kind in forms for form in of_kind]]
    values += [b"\xc6\0\0\0\x03abc", b"\x92\xa1a\xa1b", b"\xdc\0\x02\xa1a\xa1b", b"\xc0"]
    kinds = "i" * len(numbers) + "ssss" + "bbb" + "tt" + "o"
    decode = Decoder(lambda *fields: fields, kinds, _refuse).decode
    encoded = bytes([0xDC, 0, len(values)]) + b"".join(values)

    assert decode(encoded) == decode(encoded) == tuple(map(_as_entry_has_it, values))


def _refuse(encoded: bytes) -> tuple[object, ...]:
    pytest.fail(f"Expected to know all of it, got {encoded!r}")


def _as_entry_has_it(value: bytes) -> object:
    decoded = msgspec.msgpack.decode(value)
    return tuple(decoded) if isinstance(decoded, list) else decoded


def test_what_two_entries_have_in_common_is_one_object() -> None:
    """Texts, tags, times; and the hash of one is what the next has for its parent's."""

    def row(seq: int, *, parent: bytes, own: bytes) -> bytes:
        head = (
            seq,
            1 << 60,
            5,
            1 << 60,
            0,
            "agent",
            "",
            b"n",
            "log",
            "deployed",
            "api",
            ["a", "b"],
        )
        return encode((*head, b"s", b"\xc0", None, parent, own))

    first = decode_entry(row(1, parent=b"0" * 32, own=b"1" * 32))
    second = decode_entry(row(2, parent=b"1" * 32, own=b"2" * 32))

    assert second.parent_hash is first.hash
    for name in ("time_ns", "hlc", "writer", "kind", "action", "entity", "tags"):
        assert getattr(second, name) is getattr(first, name)
    assert (second.seq, second.hash) == (2, b"2" * 32)


def test_kinds_are_those_of_the_fields() -> None:
    """In their order; `missing` is not in the book."""
    letters = {
        int: "i", str: "s", bytes: "bph", bytes | None: "o", tuple[str, ...]: "t"
    }  # fmt: skip
    fields = msgspec.structs.fields(Entry)

    assert fields[-1].name == "missing"
    assert all(kind in letters[field.type] for kind, field in zip(KINDS, fields, strict=False))
    assert len(KINDS) == len(fields) - 1
    assert [field.name for field in fields[-3:-1]] == ["parent_hash", "hash"]


@pytest.mark.parametrize("kinds", ["x", "h", "sh", "phh", "phph", "i" * 33, "é"])
def test_unknown_kinds_are_refused(kinds: str) -> None:
    """Ours alone to get wrong: said at once."""
    with pytest.raises(ValueError, match="Expected at most 32 of"):
        Decoder(Entry, kinds, decode_alone)
