"""Giving entries their archived details back, or saying why there are none: the one way across.

An entry whose details are no longer in the database keeps their hash, and has a row in `detached`:
it names the archive file that has them, or the entry that says why they were dropped.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from hourbook.book.archive.frame_cache import Archive
from protocols import errors
from protocols.entry import Entry, Missing, decode_value
from protocols.keep_messages import BOOK_REDACT

__all__ = ["attach", "attach_beside", "missing_of"]

_WHERE: Final = (
    "SELECT d.seq, d.by_seq, a.file FROM detached AS d LEFT JOIN archive AS a"
    " ON a.number = d.archive WHERE d.seq BETWEEN ? AND ?"
)
_REASON: Final = "SELECT kind, writer, details FROM entry WHERE seq = ?"


def attach(connection: sqlite3.Connection, archive: Archive, entries: list[Entry]) -> list[Entry]:
    """Return the entries with the details that were archived; the others say what became of them.

    Args:
        connection: to their book.
        archive: of the same home.
        entries: as their rows are, best near each other.
    """
    gone = [entry.seq for entry in entries if entry.details_raw is None]
    if not gone:
        return entries
    rows = connection.execute(_WHERE, (min(gone), max(gone))).fetchall()
    places = {seq: (by_seq, file) for seq, by_seq, file in rows}
    reasons: dict[int, Missing] = {}
    return [
        entry
        if entry.details_raw is not None
        else _attach_one(connection, archive, entry, places.get(entry.seq), reasons)
        for entry in entries
    ]


def attach_beside(connection: sqlite3.Connection, entries: list[Entry]) -> list[Entry]:
    """Do what :func:`attach` does, with the archive that lies beside the book."""
    if all(entry.details_raw is not None for entry in entries):
        return entries
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    return attach(connection, Archive(Path(path).parent / "archive"), entries)


def missing_of(connection: sqlite3.Connection, by_seq: int) -> Missing:
    """Return what the entry `by_seq` says of the details that it dropped."""
    row = connection.execute(_REASON, (by_seq,)).fetchone() if by_seq else None
    if row is None:
        return Missing("redacted", "what said so was cut off by a restore")
    kind, writer, details = row
    said: Any = None if details is None else decode_value(details, "details")
    if kind == BOOK_REDACT:
        return Missing("redacted", _text(said, "why"), writer, by_seq)
    return Missing("retained", _text(said, "rule"), writer, by_seq)


def _attach_one(
    connection: sqlite3.Connection,
    archive: Archive,
    entry: Entry,
    place: Sequence[Any] | None,
    reasons: dict[int, Missing],
) -> Entry:
    if place is None:
        missing = Missing("unreadable", "the book does not say where they are")
        return msgspec.structs.replace(entry, missing=missing)
    by_seq, file = place
    if file is None:
        if by_seq not in reasons:
            reasons[by_seq] = missing_of(connection, by_seq)
        return msgspec.structs.replace(entry, missing=reasons[by_seq])
    assert entry.details_hash is not None
    try:
        salt, details = archive.fetch(file, entry.seq, entry.details_hash)
    except errors.ArchiveDamaged as error:
        missing = Missing("unreadable", str(error), by_seq=by_seq)
        return msgspec.structs.replace(entry, missing=missing)
    return msgspec.structs.replace(entry, salt=salt, details_raw=details, details_hash=None)


def _text(said: Any, key: str) -> str:  # noqa: ANN401 - any MessagePack value
    return str(said.get(key, "")) if isinstance(said, dict) else ""
