"""The store's tables made anew from the entries, and held against them. For copies, and ``verify``.

Entries are what happened; `kv_log` says which were about a key, and `kv` what the last of each
means. So the tables follow from the entries alone, whatever became of them.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import astuple

from hourbook.book.proof.verify import Verdict
from hourbook.book.store.branch_rows import row_of_entry
from hourbook.book.store.rows import (
    KEY_OF_ENTITY,
    KV_COLUMNS,
    NS_OF_ENTITY,
    PUT_ROW,
    KvRow,
    unpack_value,
)
from protocols import errors

__all__ = ["StoreFault", "find_fault", "judge_store", "rebuild_log", "rebuild_rows"]

PAGE_ROWS: Final = 1000
"""Of one short read transaction."""
_ABOUT: Final = (
    f"SELECT branch, {NS_OF_ENTITY}, {KEY_OF_ENTITY}, seq FROM entry"  # noqa: S608 - constants
    " WHERE kind IN ('kv.set', 'kv.delete', 'kv.expire')"
)
_LASTS: Final = (
    "SELECT ns, key, max(seq) FROM kv_log WHERE branch = 0 AND (ns, key) > (?, ?)"
    " GROUP BY ns, key ORDER BY ns, key LIMIT ?"
)
_ROWS: Final = (
    f"SELECT id, {KV_COLUMNS}, (SELECT max(seq) FROM kv_log WHERE branch = 0 AND kv_log.ns = kv.ns"  # noqa: S608 - constants
    " AND kv_log.key = kv.key) FROM kv WHERE id > ? ORDER BY id LIMIT ?"
)
_FIND: Final = "SELECT 1 FROM kv WHERE ns = ? AND key = ? AND version = ?"
_LATER: Final = "SELECT max(seq) FROM kv_log WHERE branch = ? AND ns = ? AND key = ? AND seq >= ?"


class StoreFault(NamedTuple):
    """A table that does not say what the entries say.

    Attributes:
        seq: of the entry in question.
        problem: what is wrong.
    """

    seq: int
    problem: str


def rebuild_log(connection: sqlite3.Connection) -> None:
    """Make `kv_log` anew, inside the open transaction: all of the past is known again."""
    connection.execute("DELETE FROM kv_log")
    connection.execute("DELETE FROM kv_floor")
    connection.execute(f"INSERT INTO kv_log {_ABOUT}")


def rebuild_rows(connection: sqlite3.Connection) -> None:
    """Bring `kv` back to what `kv_log` and the entries say, inside the open transaction.

    A row of the right version is right; only the others are looked up.

    Raises:
        ArchiveDamaged: what a key holds is in a file that cannot be read.
    """
    connection.execute(
        "DELETE FROM kv WHERE version IS NOT (SELECT max(seq) FROM kv_log"
        " WHERE branch = 0 AND kv_log.ns = kv.ns AND kv_log.key = kv.key)"
    )
    after: tuple[str, str] = ("", "")
    while lasts := connection.execute(_LASTS, (*after, PAGE_ROWS)).fetchall():
        after = lasts[-1][:2]
        missing = [last for last in lasts if connection.execute(_FIND, last).fetchone() is None]
        found = [row_of_entry(connection, (ns, key), seq) for ns, key, seq in missing]
        rows = [(None, *astuple(row)) for row in found if row is not None]
        connection.executemany(PUT_ROW.single, rows)


def find_fault(connection: sqlite3.Connection) -> StoreFault | None:
    """Return the first way in which the tables differ from the entries, as they are now.

    Each page is one read transaction, so that a check of a book in use holds nothing up. A book of
    before the store has none to differ.
    """
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'kv_log'").fetchone() is None:
        return None
    for pages in (_rows_that_lie, _keys_that_miss, _entries_that_miss):
        for fault in pages(connection):
            return fault
    return None


def judge_store(verdict: Verdict, connection: sqlite3.Connection) -> Verdict:
    """Return what the verification of a whole chain says once the store was checked too."""
    if not verdict.ok:
        return verdict
    started_ns = time.monotonic_ns()
    fault = find_fault(connection)
    seconds = round(verdict.seconds + (time.monotonic_ns() - started_ns) / 1e9, 6)
    if fault is None:
        return msgspec.structs.replace(verdict, seconds=seconds)
    return msgspec.structs.replace(
        verdict,
        ok=False,
        first_bad_seq=fault.seq,
        problem=fault.problem,
        finding="store",
        seconds=seconds,
    )


def _rows_that_lie(connection: sqlite3.Connection) -> Iterator[StoreFault]:
    """Find rows of `kv` that no entry, or another, means."""
    after = 0
    while True:
        with _Moment(connection):
            found = connection.execute(_ROWS, (after, PAGE_ROWS)).fetchall()
            for columns in found:
                row, last_seq = KvRow(*columns[1:-1]), columns[-1]
                if (problem := _difference(connection, row, last_seq)) is not None:
                    yield StoreFault(row.version, f"{problem}, of key {row.ns}/{row.key}")
        if len(found) < PAGE_ROWS:
            return
        after = found[-1][0]


def _difference(connection: sqlite3.Connection, row: KvRow, last_seq: int | None) -> str | None:
    if last_seq != row.version:
        return f"Expected version {last_seq or 'none'} in the store, got {row.version}"
    try:
        meant = row_of_entry(connection, (row.ns, row.key), row.version)
    except errors.ArchiveDamaged:
        return None  # the check of the archive tells
    except (errors.NotInBook, msgspec.MsgspecError) as error:
        return f"Expected an entry that says so: {error}"
    with contextlib.suppress(errors.BookCorrupt):  # nobody has written such a value
        if meant is not None and (_said(row) == _said(meant) or meant.value is row.value is None):
            return None
    return "Expected in the store what its entry says, got something else"


def _said(row: KvRow) -> tuple[Any, ...]:
    value = None if row.value is None else unpack_value(row.encoding, row.value, row.key)
    return row.version, row.created, row.type, row.expires_ns, value, row.metadata


def _keys_that_miss(connection: sqlite3.Connection) -> Iterator[StoreFault]:
    """Find keys whose last entry set them, and which `kv` does not have."""
    after: tuple[str, str] = ("", "")
    while True:
        with _Moment(connection):
            found = connection.execute(_LASTS, (*after, PAGE_ROWS)).fetchall()
            for ns, key, seq in found:
                if connection.execute(_FIND, (ns, key, seq)).fetchone() is not None:
                    continue
                row = connection.execute("SELECT kind FROM entry WHERE seq = ?", (seq,)).fetchone()
                if row is None or row[0] == "kv.set":
                    yield StoreFault(seq, f"Expected key {ns}/{key} in the store, got none")
        if len(found) < PAGE_ROWS:
            return
        after = found[-1][:2]


def _entries_that_miss(connection: sqlite3.Connection) -> Iterator[StoreFault]:
    """Find entries about keys that `kv_log` does not know, nor a later one of their key."""
    after = 0
    sql = f"{_ABOUT} AND seq > ? ORDER BY seq LIMIT ?"
    while True:
        with _Moment(connection):
            found = connection.execute(sql, (after, PAGE_ROWS)).fetchall()
            for branch, ns, key, seq in found:
                (later,) = connection.execute(_LATER, (branch, ns, key, seq)).fetchone()
                if later is None:
                    yield StoreFault(seq, f"Expected seq {seq} in the log of {ns}/{key}, got none")
        if len(found) < PAGE_ROWS:
            return
        after = found[-1][3]


class _Moment:
    """One read transaction; none of its own inside another."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._end: Callable[[], object] | None = None

    def __enter__(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")
            self._end = self._connection.rollback

    def __exit__(self, *_: object) -> None:
        if self._end is not None:
            self._end()
