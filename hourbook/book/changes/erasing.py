"""Dropping details for good, wherever they are: in their entries, or in files of the archive.

An archive file is made anew without them, under another name, before the transaction is committed;
the old one goes after that. Deleted content is overwritten (``secure_delete``), and the writer cuts
its log back as soon as no reader needs it.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Collection
from typing import Any, Final

from hourbook.book.archive.frame_cache import open_archived
from hourbook.book.archive.frames import read_index, without
from hourbook.book.archive.shelf import ArchiveShelf
from hourbook.book.journal import Row
from hourbook.book.rows import FIND_ENTRY, INSERT_ENTRY
from protocols import errors
from protocols.entry import details_digest

__all__ = ["detach", "erase"]

_SALT: Final = 12
_DETAILS: Final = 13
_FIND_FILE: Final = "SELECT file, first_seq, last_seq FROM archive WHERE number = ?"


def detach(
    connection: sqlite3.Connection,
    rows: Collection[Row],
    by_seq: int,
    archive: int | None,
) -> None:
    """Take details out of their entries, leaving their hash, and note where they are.

    The rows are deleted and inserted anew, not updated: SQLite joins pages that have become empty
    when it deletes, and never when it updates; the book would stay as large as it was.

    Args:
        connection: inside the transaction.
        rows: of the entries, with their details.
        by_seq: the entry that says so.
        archive: number of the file that has them; None: they are gone.
    """
    connection.executemany("DELETE FROM entry WHERE seq = ?", [(row[0],) for row in rows])
    connection.executemany(INSERT_ENTRY, [_skeleton(row) for row in rows])
    connection.executemany(
        "INSERT INTO detached VALUES (?, ?, ?)", [(row[0], by_seq, archive) for row in rows]
    )


def _skeleton(row: Row) -> Row:
    """Return a row without details and salt, with their hash."""
    salt, details = row[_SALT], row[_DETAILS]
    return (*row[:_SALT], None, None, details_digest(salt, details), *row[_DETAILS + 2 :])


def erase(
    connection: sqlite3.Connection, shelf: ArchiveShelf, seqs: Collection[int], by_seq: int
) -> dict[str, Any]:
    """Drop the details of entries for good.

    Args:
        connection: inside the transaction.
        shelf: of the archive.
        seqs: entries whose details are in the book, or in its archive.
        by_seq: the entry that will say so.

    Returns:
        What the record must say: `size`, of the details in the entries (bytes), and `archives`,
        where files were made anew: old name, new name ("" for none), SHA-256 of the new one.

    Raises:
        ArchiveDamaged: a file cannot be read, so it cannot be known to be without them.
        DiskFull, HomeUnusable: a file cannot be made anew.
    """
    inside: list[Row] = []
    archived: defaultdict[int, set[int]] = defaultdict(set)
    for seq in seqs:
        row = _row(connection, FIND_ENTRY, seq)
        if row[_DETAILS] is not None:
            inside.append(row)
            continue
        (number,) = _row(connection, "SELECT archive FROM detached WHERE seq = ?", seq)
        archived[number].add(seq)
    detach(connection, inside, by_seq, None)
    shelf.note_erased()
    archives = [
        _rewrite(connection, shelf, number, frozenset(gone), by_seq)
        for number, gone in sorted(archived.items())
    ]
    said: dict[str, Any] = {"size": sum(len(row[_DETAILS]) for row in inside)}
    return said | ({"archives": archives} if archives else {})


def _rewrite(
    connection: sqlite3.Connection,
    shelf: ArchiveShelf,
    number: int,
    gone: frozenset[int],
    by_seq: int,
) -> dict[str, Any]:
    """Make an archive file anew without some of its details; return what to record of that."""
    file, first_seq, last_seq = _row(connection, _FIND_FILE, number)
    content = without(open_archived(shelf.directory / file), gone)
    connection.executemany(
        "UPDATE detached SET by_seq = ?, archive = NULL WHERE seq = ?",
        [(by_seq, seq) for seq in gone],
    )
    if content is None:
        connection.execute("DELETE FROM archive WHERE number = ?", (number,))
        return {"old": file, "new": "", "sha256": b""}
    name, sha256 = shelf.put(content, first_seq, last_seq)
    entries = sum(len(span.seqs) for span in read_index(content))
    connection.execute(
        "UPDATE archive SET file = ?, sha256 = ?, entries = ?, size_bytes = ? WHERE number = ?",
        (name, sha256, entries, len(content), number),
    )
    return {"old": file, "new": name, "sha256": sha256}


def _row(connection: sqlite3.Connection, sql: str, key: int) -> Any:  # noqa: ANN401 - a row
    row = connection.execute(sql, (key,)).fetchone()
    if row is None:
        raise errors.InternalError(f"Expected a row for {key}, got none: {sql}")
    return row
