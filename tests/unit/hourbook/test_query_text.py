"""Results of a query for people: aligned, whole in a pipe, cut to fit a terminal."""

import shutil
from collections.abc import Iterator

import pytest
from books import write_book

from hourbook.book.sql.query import QueryResult, run_query
from hourbook.cli.query_text import csv_text, result_json, table_lines
from hourbook.home import Home, find_home, prepare_home


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A book of one entry that no test changes."""
    made = find_home(tmp_path_factory.mktemp("book"))
    prepare_home(made)
    write_book(made, [1])
    yield made
    shutil.rmtree(made.run_dir)


def ask(book: Home, values: str) -> QueryResult:
    """Return a result of one row or more."""
    return run_query(book, f"SELECT {values}")


def test_wide_letters_take_two_columns_and_marks_none(book: Home) -> None:
    """What a terminal shows stands in columns."""
    result = ask(book, "'漢字' AS a, 1 AS b UNION ALL SELECT 'ae', 2 UNION ALL SELECT 'e\u0301', 3")

    assert table_lines(result) == ["a     b", "----  -", "漢字  1", "ae    2", "e\u0301     3"]


@pytest.mark.parametrize("width", [45, 60, 200])
def test_texts_give_way_to_a_narrow_terminal_and_numbers_do_not(book: Home, width: int) -> None:
    """The widest first, with an ellipsis; a number is never cut."""
    result = ask(
        book, "1 << 60 AS n, hex(zeroblob(30)) AS long, '漢漢漢漢漢漢漢漢漢' AS w, 'x' AS y"
    )

    lines = table_lines(result, width)

    assert all(len(line) <= width for line in lines)
    assert lines[2].startswith(f"{1 << 60}  0000")
    assert ("…" in lines[2]) == (width < 200)
    assert lines[2].endswith("  x")


def test_terminal_too_narrow_for_anything_gets_a_few_letters_of_each(book: Home) -> None:
    """Eight of each text are left, and lines are longer than it is wide."""
    lines = table_lines(ask(book, "hex(zeroblob(30)) AS a, hex(zeroblob(30)) AS b"), 5)

    assert lines[1:] == ["a  0000000…", "b  0000000…"]


def test_infinities_and_large_integers_survive_every_form(book: Home) -> None:
    """JSON has none of them: they are texts there, and read as such."""
    result = ask(book, "9e999 AS i, 1 << 62 AS n, NULL AS z, x'00' AS b, '=1+1' AS f")

    assert result_json(result)["rows"] == [
        {"i": "inf", "n": str(1 << 62), "z": None, "b": {"base64": "AA=="}, "f": "=1+1"}
    ]
    assert csv_text(result) == f"i,n,z,b,f\ninf,{1 << 62},,00,=1+1\n"


def test_row_that_fits_no_line_is_shown_by_itself(book: Home) -> None:
    """A line for a column, each within the terminal; in a pipe it stays a table."""
    result = run_query(book, "SELECT * FROM entries")

    lines = table_lines(result, 60)

    assert lines[0] == "-- 1 ".ljust(60, "-")
    assert [line.split()[0] for line in lines[1:]] == list(result.columns)
    assert max(map(len, lines)) == 60
    assert len(table_lines(result)) == 3
