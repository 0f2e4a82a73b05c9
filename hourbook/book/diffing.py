"""What one instance has seen and another has not. An edge: it reads the database."""

import sqlite3
from collections.abc import Mapping
from typing import Final

import msgspec

from protocols import errors
from protocols.names import check_name

__all__ = ["InstanceDiff", "Side", "diff_instances"]

SEQS_MAX: Final = 1000
"""Seqs that are named; the counts are of all."""


class Side(msgspec.Struct, frozen=True):
    """One of two instances.

    Attributes:
        name: of the instance.
        position: the last seq that it is done with; None where it never read.
        wrote: how many entries it has written.
        last_wrote_seq: the last of them; None for none.
        unseen_count: entries that the other is done with and this one is not, its own left out.
        unseen_seqs: the first SEQS_MAX of them.
    """

    name: str
    position: int | None
    wrote: int
    last_wrote_seq: int | None
    unseen_count: int
    unseen_seqs: list[int]


class InstanceDiff(msgspec.Struct, frozen=True):
    """Two instances side by side.

    Attributes:
        a: the first.
        b: the second.
        head_seq: the last seq of the book.
        is_in_sync: both are done with the same entries.
    """

    a: Side
    b: Side
    head_seq: int
    is_in_sync: bool


def diff_instances(
    connection: sqlite3.Connection, a: str, b: str, positions: Mapping[str, int]
) -> InstanceDiff:
    """Compare what two instances are done with.

    Args:
        connection: to read.
        a: name of an instance.
        b: name of another.
        positions: the last seq that each name is done with, where it ever read.

    Raises:
        BadRequest: no name.
        UnknownName: a name that never was registered, read or wrote.
    """
    for name in (a, b):
        check_name(name, "name")
        if name not in positions:
            _require_known(connection, name)
    head = connection.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0]
    at_a, at_b = positions.get(a, -1), positions.get(b, -1)
    one, other = _side(connection, a, at_a, at_b), _side(connection, b, at_b, at_a)
    return InstanceDiff(one, other, head, not one.unseen_count and not other.unseen_count)


def _side(connection: sqlite3.Connection, name: str, position: int, ahead: int) -> Side:
    wrote, last = connection.execute(
        "SELECT count(*), max(seq) FROM entry WHERE writer = ?", (name,)
    ).fetchone()
    low, high = max(0, position), max(0, ahead)
    own = connection.execute(
        "SELECT count(*) FROM entry INDEXED BY entry_nonce"
        " WHERE writer = ? AND seq > ? AND seq <= ?",
        (name, low, high),
    ).fetchone()[0]
    seqs = connection.execute(
        "SELECT seq FROM entry WHERE seq > ? AND seq <= ? AND writer <> ? ORDER BY seq LIMIT ?",
        (low, high, name, SEQS_MAX),
    ).fetchall()
    count = max(0, high - low) - own
    return Side(
        name, position if position >= 0 else None, wrote, last, count, [row[0] for row in seqs]
    )


def _require_known(connection: sqlite3.Connection, name: str) -> None:
    if connection.execute("SELECT 1 FROM entry WHERE writer = ? LIMIT 1", (name,)).fetchone():
        return
    raise errors.UnknownName(
        f"Expected the name of an instance, got {name!r}, which never was here",
        field="name",
        value=name,
        hint="see `hourbook instances`",
    )
