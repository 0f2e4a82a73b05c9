"""Is every detail that the database no longer holds where the book says it is? Reads only.

The chain is verified without details: their hashes stay in it. What is checked here is that each
entry without details has a signed reason, and that archive files are whole and say what was said.

A page of rows, or one file, is a read transaction of its own, so that the writer's log can be
moved into the database meanwhile. So a redaction may come in between: what looks wrong with a file
is looked at again where the book has changed its mind about it.
"""

import hashlib
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from hourbook.book.archive.frame_cache import open_archived
from hourbook.book.archive.frames import read_frame, read_index
from hourbook.book.archive.retention import unfold
from hourbook.book.proof.verify import Verdict
from protocols import errors
from protocols.entry import decode_value, details_digest
from protocols.keep_messages import BOOK_ARCHIVE, BOOK_REDACT, BOOK_RETAIN

__all__ = ["PROBLEMS_MAX", "ArchiveVerdict", "check_archive", "judge"]

PROBLEMS_MAX: Final = 20
"""After so many the rest is not looked at: it takes a backup to mend them."""
PAGE_ENTRIES: Final = 5000
"""Rows of one read transaction: some 30 ms."""
_LOOKS_MAX: Final = 10
"""At one file that is rewritten again and again."""
_PLACES: Final = (
    "SELECT d.seq, d.by_seq, d.archive, said.kind, d.seq BETWEEN a.first_seq AND a.last_seq"
    " FROM detached AS d JOIN entry AS e ON e.seq = d.seq AND e.details_hash IS NOT NULL"
    " LEFT JOIN entry AS said ON said.seq = d.by_seq"
    " LEFT JOIN archive AS a ON a.number = d.archive"
    " WHERE d.seq > ? AND d.seq <= ? ORDER BY d.seq LIMIT ?"
)
_WITHOUT: Final = (
    "SELECT e.seq, d.seq FROM entry AS e LEFT JOIN detached AS d ON d.seq = e.seq"
    " WHERE e.details_hash IS NOT NULL AND e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT ?"
)
_SAID: Final = "SELECT kind, details FROM entry WHERE seq = ?"
_FILE_COLUMNS: Final = "number, file, sha256, first_seq, last_seq"
_NEXT_FILE: Final = f"SELECT {_FILE_COLUMNS} FROM archive WHERE number > ? ORDER BY number LIMIT 1"  # noqa: S608 - constants
_FILE: Final = f"SELECT {_FILE_COLUMNS} FROM archive WHERE number = ?"  # noqa: S608 - constants
_OF_FILE: Final = (
    "SELECT d.seq, e.details_hash FROM detached AS d JOIN entry AS e ON e.seq = d.seq"
    " WHERE d.seq BETWEEN ? AND ? AND d.archive = ?"
)

_Row = tuple[Any, ...]


class ArchiveVerdict(msgspec.Struct):
    """What a check found.

    Attributes:
        problems: one line each, at most PROBLEMS_MAX.
        unexplained: entries whose details were dropped in the name of one that a restore cut off.
    """

    problems: list[str] = []
    unexplained: int = 0


def judge(
    verdict: Verdict,
    connection: sqlite3.Connection,
    directory: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Return what the verification of a whole chain says once the archive was checked too.

    Args:
        verdict: of the chain from its first commit; returned as it is where it found something.
        connection: to the book.
        directory: of its archive files.
        progress: told (files checked, files).
    """
    if not verdict.ok:
        return verdict
    started_ns = time.monotonic_ns()
    found = check_archive(connection, directory, verdict.entries, verdict.detached, progress)
    seconds = verdict.seconds + (time.monotonic_ns() - started_ns) / 1e9
    return msgspec.structs.replace(
        verdict,
        ok=not found.problems,
        problem="; ".join(found.problems),
        finding="archive" if found.problems else "",
        seconds=round(seconds, 6),
        unexplained=found.unexplained,
    )


def check_archive(
    connection: sqlite3.Connection,
    directory: Path,
    head_seq: int,
    detached: int,
    progress: Callable[[int, int], None] | None = None,
) -> ArchiveVerdict:
    """Check the details that are not in the database, of a book whose chain was verified.

    Args:
        connection: to the book.
        directory: of its archive files.
        head_seq: up to here the chain was verified.
        detached: how many entries without details were met in it.
        progress: told (files checked, files).
    """
    verdict = ArchiveVerdict()
    for problem in _problems(connection, directory, head_seq, detached, verdict, progress):
        verdict.problems.append(problem)
        if len(verdict.problems) == PROBLEMS_MAX:
            break
    return verdict


def _problems(
    connection: sqlite3.Connection,
    directory: Path,
    head_seq: int,
    detached: int,
    verdict: ArchiveVerdict,
    progress: Callable[[int, int], None] | None,
) -> Iterator[str]:
    placed = 0
    for page in _pages(connection, _PLACES, head_seq):
        placed += sum(by_seq <= head_seq for _, by_seq, *_ in page)
        verdict.unexplained += sum(not by_seq and file is None for _, by_seq, file, *_ in page)
        yield from _misplaced(connection, page)
    if placed != detached:
        for page in _pages(connection, _WITHOUT, head_seq):
            for seq, place in page:
                if place is None:
                    yield f"seq {seq} has no details, and no entry says why"
    (count,) = connection.execute("SELECT count(*) FROM archive").fetchone()
    for done, row in enumerate(_files(connection), 1):
        yield from _wrong_with_file(connection, directory, row)
        if progress is not None:
            progress(min(done, count), count)


def _pages(connection: sqlite3.Connection, sql: str, head_seq: int) -> Iterator[list[_Row]]:
    after_seq = 0
    while page := connection.execute(sql, (after_seq, head_seq, PAGE_ENTRIES)).fetchall():
        yield page
        after_seq = page[-1][0]


def _misplaced(connection: sqlite3.Connection, page: Sequence[_Row]) -> Iterator[str]:
    """Yield the first entry of each group whose place no signed entry speaks of, or no file is."""
    by_group: defaultdict[tuple[int, bool], set[int]] = defaultdict(set)
    lost: dict[int, int] = {}
    for seq, by_seq, archive, kind, is_in_range in page:
        if archive is not None and not is_in_range:
            lost.setdefault(archive, seq)
        elif by_seq:
            is_fit = (archive is None) is (kind != BOOK_ARCHIVE)  # dropped, or moved into a file
            by_group[by_seq, is_fit].add(seq)
    for seq in lost.values():
        yield f"seq {seq} has its details in an archive file that the book does not name"
    for (by_seq, is_fit), seqs in by_group.items():
        strays = seqs - _said_by(connection, by_seq) if is_fit else seqs
        if strays:
            yield f"seq {min(strays)} has no details, and seq {by_seq} does not say why"


def _said_by(connection: sqlite3.Connection, seq: int) -> set[int]:
    """Return the entries that a record names."""
    row = connection.execute(_SAID, (seq,)).fetchone()
    if row is None or row[1] is None:
        return set()
    said: Any = decode_value(row[1], "details")
    if row[0] == BOOK_REDACT:
        return {said["seq"]}
    return set(unfold(said["seqs"])) if row[0] in (BOOK_ARCHIVE, BOOK_RETAIN) else set()


def _files(connection: sqlite3.Connection) -> Iterator[_Row]:
    number = 0
    while row := connection.execute(_NEXT_FILE, (number,)).fetchone():
        yield row
        number = row[0]


def _wrong_with_file(connection: sqlite3.Connection, directory: Path, row: _Row) -> list[str]:
    """Return what is wrong with a file, as long as the book names it."""
    for _ in range(_LOOKS_MAX):
        problems = list(_differences(connection, directory, row))
        now = connection.execute(_FILE, (row[0],)).fetchone() if problems else row
        if now is None:
            return []
        if now == row:
            return problems
        row = now
    return []


def _differences(connection: sqlite3.Connection, directory: Path, row: _Row) -> Iterator[str]:
    number, file, sha256, first_seq, last_seq = row
    try:
        content = open_archived(directory / file)
        is_named = hashlib.sha256(content).digest() == sha256
        held = {
            seq: details_digest(salt, details)
            for span in read_index(content)
            for seq, salt, details in read_frame(span.cut(content), span)
        }
    except errors.ArchiveDamaged as error:
        yield f"archive file {file} (seq {first_seq}..{last_seq}): {error.message}"
        return
    if not is_named:
        yield f"archive file {file}: another SHA-256 than the book names"
    expected = dict(connection.execute(_OF_FILE, (first_seq, last_seq, number)).fetchall())
    if held != expected:
        wrong = min(
            seq for seq in held.keys() | expected.keys() if held.get(seq) != expected.get(seq)
        )
        yield f"archive file {file}: other details than seq {wrong} had"
