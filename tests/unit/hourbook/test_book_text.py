"""Entries as lines for people, and what DETAILS on the command line means."""

import pytest

from hourbook.cli.book_text import (
    details_text,
    entry_line,
    entry_lines,
    parse_details,
)
from hourbook.words import text_width
from protocols import errors
from protocols.entry import Entry, encode_value


def make_entry(details: object = "FastAPI on 8080", *, action: str = "deployed") -> Entry:
    """Return an entry as a reader of the book gets it."""
    return Entry(
        seq=42,
        time_ns=1_795_224_932_123_456_789,
        bound_ns=1_200_000,
        hlc=1,
        branch=0,
        writer="cli",
        session="",
        nonce=bytes(16),
        kind="log",
        action=action,
        entity="api.example",
        tags=("prod",),
        salt=bytes(16),
        details_raw=encode_value(details, "details"),
        details_hash=None,
        parent_hash=b"\x11" * 32,
        hash=b"\x22" * 32,
    )


def test_entry_lines_show_hash_and_parent() -> None:
    """What `log` prints ends with the two hashes that chain it."""
    assert entry_lines(make_entry()) == [
        "entry 42  deployed  api.example",
        "  details  FastAPI on 8080",
        "  tags     #prod",
        "  time     2026-11-21T01:35:32.123456789Z  ±1.2 ms",
        "  writer   cli",
        "  hash     " + "22" * 32,
        "  parent   " + "11" * 32,
    ]


def test_entry_line_is_one_line_whatever_the_entry_holds() -> None:
    """Escape sequences and newlines of a stranger's entry are shown, not obeyed."""
    line = entry_line(make_entry("a\nb\x1b[31m" + "x" * 500, action="de\rploy"))

    assert line.startswith(
        r"    42  2026-11-21T01:35:32.123Z  cli           de\rploy    api.example  a\nb\x1b["
    )
    assert line.endswith("…  #prod")


@pytest.mark.parametrize(("width", "lines"), [(60, 2), (80, 2), (140, 1), (300, 1)])
def test_entry_line_fills_the_terminal(width: int, lines: int) -> None:
    """Details are cut where the line ends, or the second one where the first has no room."""
    line = entry_line(make_entry("x" * 500), width)

    assert len(line) == width * lines
    assert line.endswith("x…  #prod")
    assert entry_line(make_entry("short"), width) == entry_line(make_entry("short"))


@pytest.mark.parametrize("width", [60, 80, 81, 140])
def test_entry_line_counts_columns_and_not_letters(width: int) -> None:
    """Wide letters do not run on into a further line, wherever in the entry they are."""
    line = entry_line(make_entry("漢" * 500, action="配備する"), width)

    assert 0 <= -text_width(line) % width <= 1
    assert text_width(line) <= 2 * width
    assert "  配備する    api.example" in line


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        ("", ""),
        ({"port": 8080}, '{"port":8080}'),
        (1 << 60, '"1152921504606846976"'),
        (b"\x00", '{"base64":"AA=="}'),
        (["🎉"], '["🎉"]'),
    ],
)
def test_details_text_is_compact_json(value: object, expected: str) -> None:
    """Anything that is no text reads as the JSON that `--json` would print."""
    assert details_text(value) == expected


def test_parse_details_takes_text_as_it_is() -> None:
    """Text that looks like JSON stays text, unless it is asked to be JSON."""
    assert parse_details('{"a": 1}', is_json=False) == '{"a": 1}'
    assert parse_details('{"a": 1}', is_json=True) == {"a": 1}
    assert parse_details(None, is_json=True) is None


@pytest.mark.parametrize("text", ["", "{", "NaN", '"\\ud800"', "[" * 5000, "{'a': 1}"])
def test_parse_details_refuses_what_is_no_json(text: str) -> None:
    """One line says so."""
    with pytest.raises(errors.BadRequest, match="Expected DETAILS in JSON") as caught:
        parse_details(text, is_json=True)
    assert "\n" not in str(caught.value)


def test_parse_details_refuses_bytes_that_are_no_utf_8() -> None:
    """A lone surrogate is how Python hands over such a byte of the command line."""
    with pytest.raises(errors.BadRequest, match=r"Expected DETAILS in UTF-8.*character 1"):
        parse_details("a\udcff", is_json=False)
