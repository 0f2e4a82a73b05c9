"""Rows of the two tables as protocol structs and back: the only place that knows their columns."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hourbook.book.packed_rows import insert, insertion
from protocols.entry import Commit, Entry

__all__ = [
    "COMMIT_COLUMNS",
    "ENTRY_COLUMNS",
    "FIND_ENTRY",
    "INSERT_ENTRY",
    "commit_from_row",
    "entry_from_row",
    "find_commit",
    "insert_group",
]

ENTRY_COLUMNS: Final = (
    "seq, time_ns, bound_ns, hlc, branch, writer, session, nonce, kind, action, entity,"
    " tags, salt, details, details_hash, parent_hash, hash"
)
COMMIT_COLUMNS: Final = (
    "commit_no, first_seq, last_seq, head_hash, prev_commit, parents, hlc, key, signature"
)
FIND_ENTRY: Final = f"SELECT {ENTRY_COLUMNS} FROM entry WHERE seq = ?"  # noqa: S608 - constants
INSERT_ENTRY: Final = f"INSERT INTO entry ({ENTRY_COLUMNS}) VALUES ({'?,' * 16}?)"  # noqa: S608 - constants
_INSERT_NEW: Final = insertion("entry", ENTRY_COLUMNS)
_INSERT_COMMIT: Final = f"INSERT INTO signed_commit ({COMMIT_COLUMNS}) VALUES ({'?,' * 8}?)"  # noqa: S608 - constants

_TAGS: Final = 11
_NO_TAGS: Final = b"\x90"
_decode_tags = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_decode_parents = msgspec.msgpack.Decoder(tuple[bytes, ...]).decode
_encode = msgspec.msgpack.Encoder().encode


def entry_from_row(row: Sequence[Any]) -> Entry:
    """Return the entry of a row in the order of ENTRY_COLUMNS."""
    tags = row[_TAGS]
    decoded = () if tags == _NO_TAGS else _decode_tags(tags)
    values: list[Any] = [*row[:_TAGS], decoded, *row[_TAGS + 1 :]]
    return Entry(*values)


def commit_from_row(row: Sequence[Any]) -> Commit:
    """Return the commit of a row in the order of COMMIT_COLUMNS."""
    values: list[Any] = [*row[:5], _decode_parents(row[5]), *row[6:]]
    return Commit(*values)


def find_commit(connection: sqlite3.Connection, commit_no: int) -> Commit | None:
    """Return a commit by its number, by bisection: numbers rise with last_seq, their key."""
    low = 0
    high = connection.execute("SELECT coalesce(max(last_seq), 0) FROM signed_commit").fetchone()[0]
    while low <= high:
        middle = (low + high) // 2
        row = connection.execute(
            f"SELECT {COMMIT_COLUMNS} FROM signed_commit WHERE last_seq >= ?"  # noqa: S608 - constants
            " ORDER BY last_seq LIMIT 1",
            (middle,),
        ).fetchone()
        if row is None or row[0] > commit_no:
            high = middle - 1
        elif row[0] < commit_no:
            low = row[2] + 1
        else:
            return commit_from_row(row)
    return None


def insert_group(connection: sqlite3.Connection, records: Sequence[bytes], commit: Commit) -> None:
    """Insert new entries, as the records of the feed have them, and their commit."""
    insert(connection, _INSERT_NEW, records)
    connection.execute(_INSERT_COMMIT, _commit_row(commit))


def _commit_row(commit: Commit) -> tuple[Any, ...]:
    return (
        commit.commit_no,
        commit.first_seq,
        commit.last_seq,
        commit.head_hash,
        commit.prev_commit,
        _encode(commit.parents),
        commit.hlc,
        commit.key,
        commit.signature,
    )
