"""Keys and what was done to them, as lines for people."""

import pytest

from hourbook.book.store.past import KeyVersion
from hourbook.cli.kv_text import raw_value, value_text, version_line
from hourbook.words import text_width
from protocols.entry import Entry, encode_value


def make_version(value: object) -> KeyVersion:
    """Return a write of a key as a reader of the book gets it."""
    entry = Entry(
        seq=42,
        time_ns=1_795_224_932_123_456_789,
        bound_ns=-1,
        hlc=1,
        branch=0,
        writer="cli",
        session="",
        nonce=bytes(16),
        kind="kv.set",
        action="set",
        entity="app/k",
        tags=(),
        salt=bytes(16),
        details_raw=encode_value({"value": value}, "details"),
        details_hash=None,
        parent_hash=bytes(32),
        hash=bytes(32),
    )
    return KeyVersion("k", entry)


@pytest.mark.parametrize("width", [80, 81, 100])
@pytest.mark.parametrize("letter", ["x", "漢", "e\u0301"])
def test_version_line_ends_where_the_terminal_does(width: int, letter: str) -> None:
    """Whatever columns its letters take."""
    line = version_line(make_version(letter * 500), width)

    assert width - 1 <= text_width(line) <= width
    assert line.endswith(f"{letter}…")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1 << 53, "9007199254740992"),
        ((1 << 53) + 1, "9007199254740993"),
        (-(1 << 63), "-9223372036854775808"),
        (True, "true"),
        ([(1 << 53) + 1], '["9007199254740993"]'),
    ],
)
def test_integer_by_itself_has_its_digits_and_no_quotes(value: object, text: str) -> None:
    """`kv incr` prints it so, too; within JSON it is as everywhere."""
    assert value_text(value) == text
    assert raw_value(value) == text.encode()
