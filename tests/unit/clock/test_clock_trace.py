"""Recordings: what is read, and what is refused with the line that is wrong."""

import pytest

from hourbook.clock.trace import LINE_BYTES_MAX, Row, read_rows
from protocols.errors import BadRequest


def read(text: str) -> list[Row]:
    """Return the rows of a file of this text."""
    return list(read_rows(text.splitlines(keepends=True), "x.csv"))


def test_values_are_exact_and_delays_may_be_missing() -> None:
    """Nanoseconds, not the floats nearest to them; further columns and empty lines are ignored."""
    text = "delay_ms,t_s,note,offset_ms\n1.5,1700000000.000000001,a,-0.000001\n\n,1700000001,b,2\n"

    assert read(text) == [
        Row(1_700_000_000_000_000_001, -1, 1_500_000),
        Row(1_700_000_001_000_000_000, 2_000_000, None),
    ]


def test_quotes_blanks_and_exponents_are_read() -> None:
    """As spreadsheets write them; a line end within quotes ends no row."""
    text = '"t_s","offset_ms", note\r\n"0"," +1.5e0","a,\n""b"""\r\n1,-.5,\r\n'

    assert read(text) == [
        Row(0, 1_500_000, None),
        Row(1_000_000_000, -500_000, None),
    ]


def test_lone_carriage_returns_are_no_line_ends() -> None:
    """As old Macintoshes wrote them: one line says so."""
    with pytest.raises(BadRequest, match=r"got new-line character .*field, at x.csv, line 1$"):
        list(read_rows(["t_s,offset_ms\r0,1\r"], "x.csv"))


def test_delay_column_may_be_missing() -> None:
    """Two columns are enough."""
    assert read("t_s,offset_ms\n-5,1\n") == [Row(-5_000_000_000, 1_000_000, None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expected a header line with t_s and offset_ms, got an empty file, at x.csv"),
        ("t_s,offset_ms\n", "Expected at least one row, got a header alone, at x.csv"),
        ("t_s,delay_ms\n1,2\n", "Expected the columns t_s and offset_ms, got t_s, delay_ms, at"),
        ("1,2\n", "Expected the columns t_s and offset_ms, got 1, 2, at x.csv, line 1"),
        ("t_s,offset_ms\n1,2\n2\n", "Expected at least 2 values, got 1, at x.csv, line 3"),
        ("t_s,offset_ms\n1,nan\n", "Expected a number in `offset_ms`, got 'nan', at x.csv, line 2"),
        ("t_s,offset_ms\n1,\n", "Expected a number in `offset_ms`, got '', at x.csv, line 2"),
        ("t_s,offset_ms\ninf,1\n", "Expected a number in `t_s`, got 'inf', at x.csv, line 2"),
        ("t_s,offset_ms\n1,1e999\n", "Expected a number in `offset_ms`, got '1e999', at"),
        ("t_s,offset_ms\n1,1e12\n", "Expected `offset_ms` in -1e+11..1e+11, got 1e12, at x.csv"),
        ("t_s,offset_ms,delay_ms\n1,1,-2\n", "Expected `delay_ms` in 0..1e+06, got -2, at x.csv"),
        ("t_s,offset_ms\n1,1_000\n", "Expected a number in `offset_ms`, got '1_000', at x.csv"),
        ("t_s,offset_ms\n1,٣\n", "Expected a number in `offset_ms`, got '٣', at x.csv, line 2"),
        ("t_s,offset_ms\n1,0x1\n", "Expected a number in `offset_ms`, got '0x1', at x.csv"),
        ("t_s,t_s,offset_ms\n1,1,1\n", "Expected the column t_s once, got 2, at x.csv, line 1"),
        ("t_s;offset_ms\n1;1\n", "Expected the columns t_s and offset_ms, got t_s;offset_ms, at"),
        ('t_s,offset_ms\n1,"2\n', "Expected a CSV file, got unexpected end of data, at x.csv"),
        ("t_s,offset_ms\n5,1\n3,1\n", "Expected `t_s` above 5.0, got 3.0, at x.csv, line 3"),
        ("t_s,offset_ms\n5,1\n5,1\n", "Expected `t_s` above 5.0, got 5.0, at x.csv, line 3"),
        ("t_s,offset_ms\n0,1\n2e9,1\n", "Expected `t_s` within 1000000000 s of the first row"),
        ("t_s,offset_ms\n" + "1" * (LINE_BYTES_MAX + 1), "Expected lines of at most 65536"),
        ('t_s,offset_ms\n"' + "1" * 60000 + "\n" + "1" * 60000 * 2, "Expected lines of at most"),
    ],
)
def test_broken_recordings_are_refused_where_they_break(text: str, message: str) -> None:
    """Expected, got, where; in one line."""
    with pytest.raises(BadRequest) as caught:
        read(text)

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_field_beyond_the_limit_of_csv_is_refused() -> None:
    """A quote that is never closed swallows the rest of the file."""
    text = 't_s,offset_ms\n"' + "1,1\n" * 60_000

    with pytest.raises(BadRequest, match="Expected a CSV file"):
        read(text)
