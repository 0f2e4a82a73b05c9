"""Rows that are inserted out of one blob are those that are inserted one by one."""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.control import note
from msgpack_edges import INTEGERS, SIZES

from hourbook.book import packed_rows
from hourbook.book.packed_rows import insert, insertion, offer, pack
from hourbook.book.sqlite_library import open_sqlite_library

COLUMNS = [f"v{number}" for number in range(17)]
texts = st.text(max_size=20) | SIZES.map("x".__mul__) | st.just("a\0é\U0001f600")
values = (
    st.none()
    | INTEGERS
    | texts
    | st.binary(max_size=20)
    | SIZES.map(bytes)
    | st.lists(texts, max_size=3).map(tuple)
    | st.just(("t",) * 70)
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, list[tuple[Any, ...]]]:
    """Draw a number of columns, and rows of them."""
    count = draw(st.integers(1, 17))
    return count, draw(st.lists(st.tuples(*[values] * count), max_size=6))


@contextlib.contextmanager
def table(columns: int = 17) -> Iterator[sqlite3.Connection]:
    """Open a database in memory that can, with an empty table `t`."""
    offer()
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(f"CREATE TABLE t ({', '.join(COLUMNS[:columns])})")
        yield connection


def found(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Return what the table holds, in the order of its insertion."""
    return connection.execute("SELECT * FROM t ORDER BY rowid").fetchall()


@given(drawn=tables())
@pytest.mark.parametrize("can_read", [True, False])
def test_rows_are_what_they_were(
    drawn: tuple[int, list[tuple[Any, ...]]], *, can_read: bool
) -> None:
    """Each value comes out as it went in, a tuple of text as its encoding; by either way."""
    count, rows = drawn
    kept = [tuple(pack(v) if isinstance(v, tuple) else v for v in row) for row in rows]
    statement = insertion("t", ", ".join(COLUMNS[:count]))

    with pytest.MonkeyPatch.context() as patch, table(count) as connection:
        patch.setattr(packed_rows, "_can_read", lambda: can_read)
        insert(connection, statement, [pack(row) for row in rows])

        assert found(connection) == kept


@given(packed=st.binary(max_size=60) | st.lists(values).map(pack).map(lambda row: row[:-1]))
def test_no_bytes_do_harm(packed: bytes) -> None:
    """What is no row is refused, by an error that blames the statement and not the disk."""
    note(packed.hex())
    with table() as connection:
        sql = "SELECT * FROM packed_rows(?)"
        try:
            rows = connection.execute(sql, (packed,)).fetchall()
        except sqlite3.IntegrityError as error:
            assert error.sqlite_errorcode == sqlite3.SQLITE_MISMATCH  # noqa: PT017 - or none
        else:
            assert all(len(row) == 17 for row in rows)


@pytest.mark.parametrize(
    "row",
    [
        pack([1 << 63]),
        pack([1.5]),
        pack([True]),
        pack([{}]),
        pack([[1]]),
        pack([[["t"]]]),
        pack([0] * 18),
        pack(7),
        pack([1, "text"])[:-1],
        pack([b"bytes"])[:-1],
        b"\xc1",
        b"\x92\x01",
        b"\xdd\x00\x00\x00\x01\x01",
    ],
)
def test_what_is_no_row_is_refused(row: bytes) -> None:
    """Numbers that SQLite has not got, values of other types, too many of them, and torn ones."""
    with table() as connection:
        statement = insertion("t", "v0")
        with pytest.raises(sqlite3.IntegrityError):
            insert(connection, statement, [pack([1]), row, pack([2])])

        assert found(connection) == []


def test_short_rows_end_in_null() -> None:
    """And there may be rows of no value at all."""
    with table(2) as connection:
        rows = [pack([1]), pack([]), pack([2, 3])]
        insert(connection, insertion("t", "v0, v1"), rows)

        assert found(connection) == [(1, None), (None, None), (2, 3)]


@pytest.mark.parametrize("can_read", [True, False])
def test_failing_row_leaves_those_before_it_to_whoever_asked(
    monkeypatch: pytest.MonkeyPatch, *, can_read: bool
) -> None:
    """The transaction stays open, and can be undone as a whole."""
    monkeypatch.setattr(packed_rows, "_can_read", lambda: can_read)
    with table(2) as connection:
        connection.execute("CREATE UNIQUE INDEX once ON t (v0)")
        statement = insertion("t", "v0, v1")
        connection.execute("BEGIN")
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            insert(connection, statement, [pack((n, "x")) for n in (1, 2, 1, 3)])

        assert connection.in_transaction
        assert found(connection) == [(1, "x"), (2, "x")]
        connection.rollback()
        assert found(connection) == []


@pytest.mark.parametrize("can_read", [True, False])
def test_row_that_is_there_may_be_changed(
    monkeypatch: pytest.MonkeyPatch, *, can_read: bool
) -> None:
    """An insertion may say what a conflict means; NULL is an id that nobody has."""
    monkeypatch.setattr(packed_rows, "_can_read", lambda: can_read)
    offer()
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT")
        statement = insertion("t", "id, v", "ON CONFLICT (id) DO UPDATE SET v = excluded.v || '!'")
        insert(connection, statement, [pack(row) for row in ((1, "a"), (None, "b"), (1, "c"))])

        assert found(connection) == [(1, "c!"), (2, "b")]


def test_many_bytes_go_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a row that is more than a piece alone."""
    monkeypatch.setattr(packed_rows, "PACKED_BYTES_MAX", 100)
    rows = [(number, bytes(size)) for number, size in enumerate((10, 40, 60, 5, 500, 1, 99))]
    with table(2) as connection:
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        insert(connection, insertion("t", "v0, v1"), [pack(row) for row in rows])
        connection.set_trace_callback(None)

        assert found(connection) == rows
        assert len(asked) == 5


def test_two_blobs_are_read_beside_each_other() -> None:
    """Each use in a statement has its own place, and may begin anew for each row of the other."""
    with table() as connection:
        sql = "SELECT a.c0, b.c0 FROM packed_rows(?) AS a, packed_rows(?) AS b ORDER BY 1, 2"
        blobs = [b"".join(pack([n]) for n in numbers) for numbers in ((1, 2), (3, 4))]

        assert connection.execute(sql, blobs).fetchall() == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_without_a_blob_there_are_no_rows() -> None:
    """A name alone is a mistake; NULL is no blob, and has none."""
    with table() as connection:
        with pytest.raises(sqlite3.OperationalError, match="no query solution"):
            connection.execute("SELECT * FROM packed_rows")

        assert connection.execute("SELECT * FROM packed_rows(NULL)").fetchall() == []


def test_python_that_the_suite_runs_in_packs_rows() -> None:
    """Else it would be shown for the slow way alone."""
    if open_sqlite_library() is None:
        pytest.skip("SQLite is part of this interpreter's own file, and takes no extension of ours")
    assert packed_rows._can_read()


def test_sqlite_that_is_not_found_takes_rows_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an interpreter that has SQLite in its own file: nothing fails for it."""
    monkeypatch.setattr(packed_rows, "open_sqlite_library", lambda: None)
    packed_rows.offer()
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (v0)")
        monkeypatch.setattr(packed_rows, "_can_read", lambda: False)

        insert(connection, insertion("t", "v0"), [pack((1,)), pack((("a",),))])

        assert found(connection) == [(1,), (pack(("a",)),)]
