"""Is every detail that the database no longer holds where the book says it is? Reads only.

The chain is verified without details: their hashes stay in it. What is checked here is that each
entry without details has a signed reason, and that archive files are whole and say what was said.
"""

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from hourbook.book.archive.frame_cache import open_archived
from hourbook.book.archive.frames import read_frame, read_index
from hourbook.book.archive.retention import unfold
from protocols import errors
from protocols.entry import decode_value, details_digest
from protocols.keep_messages import BOOK_ARCHIVE, BOOK_REDACT, BOOK_RETAIN

__all__ = ["PROBLEMS_MAX", "check_archive"]

PROBLEMS_MAX: Final = 20
"""After so many the rest is not looked at: it takes a backup to mend them."""
_UNEXPLAINED: Final = (
    "SELECT e.seq FROM entry AS e LEFT JOIN detached AS d ON d.seq = e.seq"
    " WHERE e.details_hash IS NOT NULL AND d.seq IS NULL ORDER BY e.seq LIMIT ?"
)
_SAID: Final = "SELECT kind, details FROM entry WHERE seq = ?"
_OF_FILE: Final = (
    "SELECT d.seq, e.details_hash FROM detached AS d JOIN entry AS e ON e.seq = d.seq"
    " WHERE d.seq BETWEEN ? AND ? AND d.archive = ?"
)


def check_archive(
    connection: sqlite3.Connection,
    directory: Path,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Return what is wrong with details that are not in the database, at most PROBLEMS_MAX lines.

    Args:
        connection: to the book.
        directory: of its archive files.
        progress: told (files checked, files).
    """
    problems: list[str] = []
    for problem in _problems(connection, directory, progress):
        problems.append(problem)
        if len(problems) == PROBLEMS_MAX:
            break
    return problems


def _problems(
    connection: sqlite3.Connection,
    directory: Path,
    progress: Callable[[int, int], None] | None,
) -> Iterator[str]:
    for (seq,) in connection.execute(_UNEXPLAINED, (PROBLEMS_MAX,)).fetchall():
        yield f"seq {seq} has no details, and no entry says why"
    yield from _unsaid(connection)
    files = connection.execute(
        "SELECT number, file, sha256, first_seq, last_seq FROM archive ORDER BY number"
    ).fetchall()
    for count, row in enumerate(files, 1):
        yield from _wrong_with_file(connection, directory, row)
        if progress is not None:
            progress(count, len(files))


def _unsaid(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the entries whose details went in the name of one that says nothing of them."""
    by_group: defaultdict[int, set[int]] = defaultdict(set)
    for seq, group in connection.execute("SELECT seq, by_seq FROM detached WHERE by_seq > 0"):
        by_group[group].add(seq)
    for group, seqs in by_group.items():
        strays = seqs - _said_by(connection, group)
        if strays:
            yield f"seq {min(strays)} has no details, and seq {group} does not say why"


def _said_by(connection: sqlite3.Connection, seq: int) -> set[int]:
    """Return the entries that a record names."""
    row = connection.execute(_SAID, (seq,)).fetchone()
    if row is None or row[1] is None:
        return set()
    said: Any = decode_value(row[1], "details")
    if row[0] == BOOK_REDACT:
        return {said["seq"]}
    return set(unfold(said["seqs"])) if row[0] in (BOOK_ARCHIVE, BOOK_RETAIN) else set()


def _wrong_with_file(
    connection: sqlite3.Connection, directory: Path, row: tuple[Any, ...]
) -> Iterator[str]:
    number, file, sha256, first_seq, last_seq = row
    try:
        content = open_archived(directory / file)
        is_signed = hashlib.sha256(content).digest() == sha256
        held = {
            seq: details_digest(salt, details)
            for span in read_index(content)
            for seq, salt, details in read_frame(span.cut(content), span)
        }
    except errors.ArchiveDamaged as error:
        yield f"archive file {file} (seq {first_seq}..{last_seq}): {error.message}"
        return
    if not is_signed:
        yield f"archive file {file}: another SHA-256 than was signed"
    expected = dict(connection.execute(_OF_FILE, (first_seq, last_seq, number)).fetchall())
    if held != expected:
        wrong = min(
            seq for seq in held.keys() | expected.keys() if held.get(seq) != expected.get(seq)
        )
        yield f"archive file {file}: other details than seq {wrong} had"
