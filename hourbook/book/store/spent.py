"""Which versions of keys nobody needs any more. Reads only, a page at a time.

The past is known for a while: what the store held at `first_seq`, or at any moment after it, can be
asked. For that each key needs its last version up to there, and all later ones. A `versioned` key
keeps so many of its last versions besides, however old they are. What a branch was made of stays
for as long as the branch.
"""

import sqlite3
from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

import msgspec

from hourbook.book.as_of import seq_at_time
from hourbook.book.reader import BookReader
from protocols.kv_messages import Spent

__all__ = ["Horizon", "Slice", "find_first_seq", "plan_spent"]

PAGE_KEYS: Final = 500
SLICE_KEYS: Final = 500
SLICE_VERSIONS: Final = 2000
"""Forgotten by one change: some 5 to 10 ms."""
_BASE: Final = "SELECT min(base_seq) FROM branch WHERE deleted_seq IS NULL"
_KEYS: Final = (
    "SELECT branch, ns, key, count(*), max(seq) FROM kv_log"
    " WHERE (branch, ns, key) > (?, ?, ?) AND seq <= ?"
    " GROUP BY branch, ns, key ORDER BY branch, ns, key LIMIT ?"
)
_IS_VERSIONED: Final = "SELECT 1 FROM kv WHERE ns = ? AND key = ? AND type = 'versioned'"
_OF_KEY: Final = "SELECT seq FROM kv_log WHERE branch = ? AND ns = ? AND key = ?"
_NTH_LAST: Final = f"{_OF_KEY} ORDER BY seq DESC LIMIT 1 OFFSET ?"
_FROM: Final = f"{_OF_KEY} AND seq >= ? AND seq < ? ORDER BY seq LIMIT ?"
_S_NS: Final = 1_000_000_000


class Horizon(msgspec.Struct, frozen=True):
    """How much of the store's past is kept.

    Attributes:
        store_history_s: from so long ago on it is known (seconds).
        store_versions: so many versions of a `versioned` key stay however old they are.
    """

    store_history_s: int
    store_versions: int


class Slice(NamedTuple):
    """What one change forgets.

    Attributes:
        keys: up to which version each.
        versions: how many versions that are.
    """

    keys: list[Spent]
    versions: int


def find_first_seq(reader: BookReader, horizon: Horizon, now_ns: int) -> int:
    """Return the seq from which on the past has to be known; 0: all of it.

    Args:
        reader: of the book.
        horizon: how much is kept.
        now_ns: UTC, by Hourbook's clock.
    """
    kept_ns = now_ns - horizon.store_history_s * _S_NS
    first_seq = reader.query(lambda connection: seq_at_time(connection, kept_ns))
    (base_seq,) = reader.query(lambda connection: connection.execute(_BASE).fetchone())
    return first_seq if base_seq is None else min(first_seq, base_seq)


def plan_spent(reader: BookReader, horizon: Horizon, first_seq: int) -> Iterator[Slice]:
    """Yield what is to be forgotten, in slices; whoever asks may do each before the next.

    Args:
        reader: of the book.
        horizon: how much is kept.
        first_seq: the past from here on stays as it is.
    """
    gathered: list[Spent] = []
    count = 0
    for keys, versions in _pieces(reader, horizon, first_seq):
        if gathered and (count + versions > SLICE_VERSIONS or len(gathered) == SLICE_KEYS):
            yield Slice(gathered, count)
            gathered, count = [], 0
        gathered += keys
        count += versions
    if gathered:
        yield Slice(gathered, count)


def _pieces(reader: BookReader, horizon: Horizon, first_seq: int) -> Iterator[Slice]:
    """Yield one key at a time, with at most SLICE_VERSIONS of its versions."""
    after: tuple[int, str, str] = (-1, "", "")
    while True:
        keys, following = reader.query(partial(_read_page, horizon, first_seq, after))
        for name, below in keys:
            low: int | None = 0
            while low is not None:
                each, low = reader.query(partial(_read_piece, name, below, low))
                if each.versions:
                    yield each
        if following is None:
            return
        after = following


def _read_page(
    horizon: Horizon,
    first_seq: int,
    after: tuple[int, str, str],
    connection: sqlite3.Connection,
) -> tuple[list[tuple[tuple[int, str, str], int]], tuple[int, str, str] | None]:
    """Return keys with the first version of each that stays, and after which to go on."""
    rows = connection.execute(_KEYS, (*after, first_seq, PAGE_KEYS)).fetchall()
    found = []
    for branch, ns, key, count, last_seq in rows:
        if count > 1:
            below = last_seq
            if connection.execute(_IS_VERSIONED, (ns, key)).fetchone() is not None:
                asked = (branch, ns, key, horizon.store_versions - 1)
                nth = connection.execute(_NTH_LAST, asked).fetchone()
                below = 0 if nth is None else min(below, nth[0])
            found.append(((branch, ns, key), below))
    return found, rows[-1][:3] if len(rows) == PAGE_KEYS else None


def _read_piece(
    name: tuple[int, str, str], below: int, low: int, connection: sqlite3.Connection
) -> tuple[Slice, int | None]:
    """Return versions of a key from `low` on and below a version, and where to go on."""
    rows = connection.execute(_FROM, (*name, low, below, SLICE_VERSIONS + 1)).fetchall()
    if len(rows) <= SLICE_VERSIONS:
        return Slice([Spent(*name, below)], len(rows)), None
    end = rows[-1][0]
    return Slice([Spent(*name, end)], SLICE_VERSIONS), end
