"""How many keys the book holds, and what they weigh: of each type. Reads only.

A census of all takes about half a microsecond a key, in short read transactions: on a book in use
its pages are not all of one moment.
"""

import sqlite3
from collections import Counter
from typing import Final, NamedTuple

__all__ = ["WEIGHT", "Census", "take_census"]

WEIGHT: Final = (
    "sum(length(CAST(key AS BLOB)) + coalesce(length(value), 0) + coalesce(length(metadata), 0))"
)
"""SQL: bytes of keys, values and metadata as they are kept."""
_PAGE_IDS: Final = 50_000
_PAGE: Final = f"SELECT type, count(*), {WEIGHT} FROM kv WHERE id > ? AND id <= ? GROUP BY type"  # noqa: S608 - constants
_TABLE: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'kv'"


class Census(NamedTuple):
    """What the table of keys holds, by type.

    Attributes:
        keys: how many, those included whose time is over and that were not swept yet.
        bytes: what they weigh.
    """

    keys: Counter[str]
    bytes: Counter[str]


def take_census(connection: sqlite3.Connection) -> Census:
    """Count every key of main; outside of any transaction."""
    census = Census(Counter(), Counter())
    if connection.execute(_TABLE).fetchone() is None:
        return census  # a book of an earlier version
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM kv").fetchone()
    for first in range(0, last, _PAGE_IDS):
        page = connection.execute(_PAGE, (first, first + _PAGE_IDS)).fetchall()
        for kind, count, weight in page:
            census.keys[kind] += count
            census.bytes[kind] += weight
    return census
