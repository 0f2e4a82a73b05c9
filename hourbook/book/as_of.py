"""From a moment that was named to the commit as of which the book is read. An edge: it only reads.

A state of the book is what it held when a commit was done; in the midst of one there never was a
state. A seq and the hash of an entry mean the commit that holds it, the id of a commit that one,
and a time the last commit that is not later. Time does not always rise with seq, since clocks are
set back: the book keeps where (table `clock_step`), and between two such places bisection finds a
time in 20 look-ups of a million entries.

A hash has no order and no index: to look for one takes a pass over entries and commits, which
several threads share.
"""

import os
import sqlite3
from itertools import pairwise
from typing import Final

from hourbook.book.moment import Moment
from hourbook.book.reader import BookReader
from hourbook.book.rows import COMMIT_COLUMNS, commit_from_row
from hourbook.home import Home
from hourbook.rfc3339 import format_utc_ns
from protocols import errors
from protocols.entry import Commit, commit_header, commit_id

__all__ = ["find_commit_at", "seq_at_time", "seq_since"]

_HASH_DIGITS: Final = 64
_FOUND_MAX: Final = 3
_SCAN_ENTRIES_MIN: Final = 100_000
"""Fewer are not worth a thread: 10 ms."""
_THREADS_MAX: Final = 4
_TIME_NS_MAX: Final = (1 << 63) - 1
"""What SQLite can compare with; the year 9999 is beyond."""
_COMMIT_HOLDING: Final = (
    f"SELECT {COMMIT_COLUMNS} FROM signed_commit WHERE last_seq >= ? ORDER BY last_seq LIMIT 1"  # noqa: S608 - constants
)
_LAST_COMMIT: Final = f"SELECT {COMMIT_COLUMNS} FROM signed_commit ORDER BY last_seq DESC LIMIT 1"  # noqa: S608 - constants
_NAMED: Final = """
SELECT seq FROM entry WHERE seq > :after AND seq <= :last AND hash BETWEEN :low AND :high
UNION ALL
SELECT first_seq - 1 FROM signed_commit WHERE last_seq > :after AND last_seq <= :last
AND prev_commit BETWEEN :low AND :high AND first_seq > 1
LIMIT :count
"""


def find_commit_at(
    home: Home, connection: sqlite3.Connection, moment: Moment, now_ns: int
) -> Commit:
    """Return the commit that a moment means.

    Args:
        home: whose book.
        connection: to it.
        moment: what was named.
        now_ns: UTC, so that a time to come is refused: what it will show nobody knows yet.

    Raises:
        NotInBook: no such seq or hash; a time before the book began, or to come.
        BadRequest: several hashes begin so.
    """
    head = connection.execute("SELECT coalesce(max(last_seq), 0) FROM signed_commit").fetchone()[0]
    if head == 0:
        raise _absent("Expected a book with entries, got an empty one", moment)
    if moment.seq is not None:
        seq = _check_seq(moment, moment.seq, head)
    elif moment.time_ns is not None:
        seq = _find_time(connection, moment, moment.time_ns, now_ns)
    else:
        assert moment.hash_digits is not None
        seq = _find_hash(home, connection, moment, moment.hash_digits)
    return commit_from_row(connection.execute(_COMMIT_HOLDING, (seq,)).fetchone())


def seq_since(home: Home, connection: sqlite3.Connection, moment: Moment) -> int:
    """Return the seq after which begins what is new since a moment: for those who follow.

    A seq is taken as it is, also 0 and one to come. The hash of an entry means that entry.

    Raises:
        NotInBook, BadRequest: no such hash, or several.
    """
    if moment.seq is not None:
        return moment.seq
    if moment.time_ns is not None:
        return seq_at_time(connection, moment.time_ns)
    assert moment.hash_digits is not None
    return _find_hash(home, connection, moment, moment.hash_digits)


def seq_at_time(connection: sqlite3.Connection, time_ns: int) -> int:
    """Return the last seq of the last commit that is not later than `time_ns`; 0 for none."""
    time_ns = max(-_TIME_NS_MAX, min(time_ns, _TIME_NS_MAX))
    head = connection.execute("SELECT coalesce(max(last_seq), 0) FROM signed_commit").fetchone()[0]
    row = connection.execute(
        "SELECT first_seq FROM clock_step JOIN entry ON seq = first_seq"
        " WHERE time_ns <= ? ORDER BY first_seq DESC LIMIT 1",
        (time_ns,),
    ).fetchone()
    first = row[0] if row else 1
    row = connection.execute(
        "SELECT min(first_seq) FROM clock_step WHERE first_seq > ?", (first,)
    ).fetchone()
    low, high = first - 1, (row[0] or head + 1)  # of the entries between, which are not later?
    while high - low > 1:
        middle = (low + high) // 2
        if _time_of(connection, middle) <= time_ns:
            low = middle
        else:
            high = middle
    return low


def _check_seq(moment: Moment, seq: int, head: int) -> int:
    if not 1 <= seq <= head:
        raise _absent(f"Expected a seq in 1..{head}, got {seq}", moment)
    return seq


def _find_time(connection: sqlite3.Connection, moment: Moment, time_ns: int, now_ns: int) -> int:
    seq = seq_at_time(connection, time_ns)
    if seq == 0:
        first_ns = _time_of(connection, 1)
        raise _absent(
            f"Expected a time from {format_utc_ns(first_ns)} on, when the book begins, got"
            f" {moment.text}",
            moment,
        )
    if time_ns > now_ns and _time_of(connection, seq) < time_ns:
        raise _absent(
            f"Expected a time that has come, got {moment.text},"
            f" {(time_ns - now_ns) / 1e9:.3f} s ahead of the clock",
            moment,
        )
    return seq


def _find_hash(home: Home, connection: sqlite3.Connection, moment: Moment, digits: str) -> int:
    """Return the seq of the entry, or of the last one of the commit, that a hash names."""
    low = bytes.fromhex(digits.ljust(_HASH_DIGITS, "0"))
    high = bytes.fromhex(digits.ljust(_HASH_DIGITS, "f"))
    found = _seqs_named(home, low, high)
    last = commit_from_row(connection.execute(_LAST_COMMIT).fetchone())
    if low <= commit_id(commit_header(last), last.signature) <= high:
        found.add(last.last_seq)  # the one id that stands nowhere yet
    if not found:
        raise _absent(f"Expected a hash of this book, got {moment.text}", moment)
    if len(found) > 1:
        seqs = ", ".join(str(seq) for seq in sorted(found)[:_FOUND_MAX])
        raise errors.BadRequest(
            f"Expected the hash of one entry or commit, got {moment.text}, with which those of seqs"
            f" {seqs} begin",
            field="at",
            value=moment.text,
            hint="give more digits",
        )
    return found.pop()


def _seqs_named(home: Home, low: bytes, high: bytes) -> set[int]:
    """Return the seqs of entries, and the ends of commits, whose hash or id lies in a range.

    The id of a commit stands in the one that follows it. Each thread reads a part of the book.
    """
    with BookReader(home) as reader:
        head = reader.head_seq()
    threads = min(1 + head // _SCAN_ENTRIES_MIN, _THREADS_MAX, os.cpu_count() or 1)
    bounds = [head * part // threads for part in range(threads + 1)]

    def scan(part: tuple[int, int]) -> list[tuple[int]]:
        values = {"after": part[0], "last": part[1], "low": low, "high": high, "count": _FOUND_MAX}
        with BookReader(home) as own:
            return own.query(lambda connection: connection.execute(_NAMED, values).fetchall())

    if threads == 1:
        return {seq for (seq,) in scan((0, head))}
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - large books alone

    with ThreadPoolExecutor(threads) as pool:
        return {seq for rows in pool.map(scan, pairwise(bounds)) for (seq,) in rows}


def _time_of(connection: sqlite3.Connection, seq: int) -> int:
    return int(connection.execute("SELECT time_ns FROM entry WHERE seq = ?", (seq,)).fetchone()[0])


def _absent(message: str, moment: Moment) -> errors.NotInBook:
    return errors.NotInBook(message, field="at", value=moment.text)
