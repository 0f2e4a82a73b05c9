"""From rules of retention to slices of work: which details leave the database, a slice at a time.

Reads only, in the order of seq, a page of skeletons at a time; details are not read here, so that a
book of a million entries is gone through in some seconds.
"""

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import msgspec

from hourbook.book.archive.retention import Decider, Rule
from hourbook.book.reader import BookReader
from protocols import entry
from protocols.change import is_own_record

__all__ = ["SLICE_BYTES_MAX", "SLICE_ENTRIES_MAX", "Batch", "plan"]

SLICE_ENTRIES_MAX: Final = 512
SLICE_BYTES_MAX: Final = 1 << 20
"""Of details: one slice takes the writer some 10 to 30 ms. A single larger entry is one alone."""
PAGE_ENTRIES: Final = 5000
_INSIDE: Final = (
    "SELECT seq, kind, action, time_ns, length(details), 0 FROM entry WHERE seq > ? AND seq <= ?"
    " AND time_ns <= ? AND (length(details) > 1 OR details <> ?) ORDER BY seq LIMIT ?"
)
_ARCHIVED: Final = (
    "SELECT e.seq, e.kind, e.action, e.time_ns, 0, d.archive FROM detached AS d"
    " JOIN entry AS e ON e.seq = d.seq WHERE d.seq > ? AND d.seq <= ? AND e.time_ns <= ?"
    " AND d.archive IS NOT NULL AND ? IS NOT NULL ORDER BY d.seq LIMIT ?"
)


class Batch(msgspec.Struct):
    """One slice of work.

    Attributes:
        rule: what it is done for: of an archive file, the rule of its first entry.
        archive: the file whose details are dropped, by number; 0: they are in the database.
        seqs: of the entries, rising.
        size: of their details in the database (bytes).
    """

    rule: Rule
    archive: int
    seqs: list[int] = []
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more may join."""
        return len(self.seqs) >= SLICE_ENTRIES_MAX or self.size >= SLICE_BYTES_MAX


def plan(
    reader: BookReader,
    decider: Decider,
    now_ns: int,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Batch]:
    """Yield the slices that the rules ask for, as of now; a slice may be done before the next.

    Args:
        reader: of the book.
        decider: the rules.
        now_ns: UTC.
        progress: told (seqs gone through, seqs to go through).
    """
    if not decider.does_anything:
        return
    head = reader.head_seq()
    passes = (_INSIDE, _ARCHIVED) if decider.drops else (_INSIDE,)
    for number, sql in enumerate(passes):
        open_batches: dict[tuple[str, int], Batch] = {}
        for row in _rows(reader, sql, head, now_ns - decider.youngest_ns):
            seq, kind, action, time_ns, size, archive = row
            if is_own_record(kind):
                continue
            age_ns = now_ns - time_ns
            rule = decider.decide(kind, action, age_ns, is_archived=archive > 0)
            if rule is None:
                continue
            key = ("" if rule.do == "archive" else rule.text, archive)
            batch = open_batches.get(key)
            if batch is not None and batch.size + size > SLICE_BYTES_MAX:
                yield open_batches.pop(key)
                batch = None
            if batch is None:
                batch = open_batches[key] = Batch(rule, archive)
            batch.seqs.append(seq)
            batch.size += size
            if batch.is_full:
                yield open_batches.pop(key)
                if progress is not None:
                    progress(number * head + seq, len(passes) * head)
        yield from open_batches.values()


def _rows(reader: BookReader, sql: str, head: int, before_ns: int) -> Iterator[tuple[Any, ...]]:
    after_seq = 0
    while True:
        values = (after_seq, head, before_ns, entry.DETAILS_NONE, PAGE_ENTRIES)
        rows = reader.query(partial(_fetch, sql=sql, values=values))
        yield from rows
        if len(rows) < PAGE_ENTRIES:
            return
        after_seq = rows[-1][0]


def _fetch(connection: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> list[Any]:
    return connection.execute(sql, values).fetchall()
