"""Details that leave the database as they grow old: ``book.archive`` and ``book.retain``.

Compactor decides what, and has written the archive file; here it is believed nothing: the file is
read back and compared with the entries, byte by byte, before they are cleared.
"""

import hashlib
from typing import Any, Final

from hourbook.book.archive.frame_cache import file_name, is_file_name, open_archived
from hourbook.book.archive.frames import Detail, read_frame, read_index
from hourbook.book.archive.retention import spans, unfold
from hourbook.book.changes.erasing import detach, erase
from hourbook.book.changes.redaction import check_text
from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.journal import Row
from hourbook.book.rows import FIND_ENTRY
from hourbook.book.store.rows import KEY_OF_ENTITY, NS_OF_ENTITY
from protocols import entry, errors
from protocols.change import check_change, is_own_record
from protocols.keep_messages import (
    BOOK_ARCHIVE,
    BOOK_RETAIN,
    SEALED_AGE_NS,
    Archived,
    Retain,
    Retained,
    SealArchive,
)

__all__ = ["RETAIN", "SEAL_ARCHIVE"]

ENTRIES_MAX: Final = entry.BATCH_ENTRIES_MAX
"""Of one change: as many as take some 40 ms."""


def _check_seal(change: SealArchive) -> None:
    check_change(change)
    if not is_file_name(change.file):
        raise errors.BadRequest(
            f"Expected the name of an archive file, got {change.file!r}", field="file"
        )


def _seal(change: SealArchive, scope: Scope) -> Archived:
    """Clear the details that a file holds, once it is certain that it does."""
    content = open_archived(scope.shelf.directory / change.file)
    details = _read_back(change, content)
    first_seq, last_seq = details[0][0], details[-1][0]
    seqs = [seq for seq, _, _ in details]
    if change.file != file_name(first_seq, last_seq, change.sha256):
        raise _unfit("another name", change.file)
    rows = [_row_of(change, scope, detail) for detail in details]
    number = scope.head_seq + 1
    detach(scope.connection, rows, number, number)
    scope.connection.execute(
        "INSERT INTO archive VALUES (?, ?, ?, ?, ?, ?, ?)",
        (number, change.file, change.sha256, first_seq, last_seq, len(seqs), len(content)),
    )
    said = {
        "file": change.file,
        "sha256": change.sha256,
        "size": len(content),
        "entries": len(seqs),
        "seqs": spans(seqs),
    }
    scope.record(BOOK_ARCHIVE, "archived", change.file, said)
    return Archived(number, len(seqs), sum(len(raw) for _, _, raw in details))


def _read_back(change: SealArchive, content: bytes) -> list[Detail]:
    if hashlib.sha256(content).digest() != change.sha256:
        raise _unfit("another SHA-256", change.file)
    details = [item for span in read_index(content) for item in read_frame(span.cut(content), span)]
    if not 1 <= len(details) <= ENTRIES_MAX:
        raise _unfit(f"{len(details)} entries", change.file)
    if [item[0] for item in details] != sorted({item[0] for item in details}):
        raise _unfit("seqs that do not rise", change.file)
    return details


def _row_of(change: SealArchive, scope: Scope, detail: Detail) -> Row:
    """Return the entry whose details a file holds, and which may leave."""
    seq, salt, raw = detail
    row: Row | None = scope.connection.execute(FIND_ENTRY, (seq,)).fetchone()
    if row is None or row[12:14] != (salt, raw):
        raise _unfit(f"other details than seq {seq} has", change.file)
    if is_own_record(row[8]) or row[1] > scope.stamp.time_ns - SEALED_AGE_NS:
        raise _unfit(f"details of seq {seq}, which is younger than 24 h or our own", change.file)
    return row


def _check_retain(change: Retain) -> None:
    check_change(change)
    check_text(change.rule, "rule")
    last_before = 0
    count = 0
    for first, last in change.ranges:
        if not last_before < first <= last:
            raise errors.BadRequest("Expected rising `ranges`, got others", field="ranges")
        last_before, count = last, count + last - first + 1
    if not 1 <= count <= ENTRIES_MAX:
        raise errors.LimitExceeded(
            f"Expected 1..{ENTRIES_MAX} entries in `ranges`, got {count}",
            field="ranges",
            value=str(count),
        )


def _retain(change: Retain, scope: Scope) -> Retained:
    """Drop what the ranges hold; what is too young, our own record, or gone already stays."""
    seqs, sizes = [], 0
    for seq in unfold(change.ranges):
        row: Any = scope.connection.execute(
            "SELECT kind, length(entry.details), d.archive FROM entry"  # noqa: S608 - constants
            " LEFT JOIN detached AS d ON d.seq = entry.seq"
            # What a key holds now is no history: it stays, however old.
            " LEFT JOIN kv ON kind = 'kv.set' AND branch = 0"
            f" AND kv.ns = {NS_OF_ENTITY} AND kv.key = {KEY_OF_ENTITY} AND kv.version = entry.seq"
            " WHERE kv.id IS NULL AND entry.seq = ? AND time_ns <= ? AND (entry.details IS NOT NULL"
            " OR d.archive IS NOT NULL)",
            (seq, scope.stamp.time_ns - SEALED_AGE_NS),
        ).fetchone()
        if row is not None and not is_own_record(row[0]):
            seqs.append(seq)
            sizes += row[1] or 0
    if not seqs:
        return Retained(0, 0, 0)
    said = erase(scope.connection, scope.shelf, seqs, scope.head_seq + 1)
    details = {"rule": change.rule, "entries": len(seqs), "seqs": spans(seqs), **said}
    seq = scope.record(BOOK_RETAIN, "dropped", change.rule, details)
    return Retained(seq, len(seqs), sizes)


def _unfit(got: str, file: str) -> errors.BadRequest:
    return errors.BadRequest(
        f"Expected a file that holds what the book does, got {got}, at {file}",
        field="file",
        value=file,
    )


SEAL_ARCHIVE: Final = ChangeKind(BOOK_ARCHIVE, SealArchive, _check_seal, _seal)
RETAIN: Final = ChangeKind(BOOK_RETAIN, Retain, _check_retain, _retain)
