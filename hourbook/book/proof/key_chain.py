"""Which key signed which part of a book, and which one must sign what comes next. Reads only.

Keys never come back: each is followed by the one that an entry of kind ``key.rotate`` names, in the
commit before. So the commits of one key lie together, and a change between two is found by
bisection, without reading the commits of the others.
"""

import sqlite3
from itertools import pairwise
from typing import Any, Final

import msgspec

from hourbook.book.proof.keys import SIGNATURE_SIZE, is_signed_by
from hourbook.book.rows import COMMIT_COLUMNS, commit_from_row
from protocols import errors
from protocols.entry import GENESIS_HASH, Commit, commit_header, commit_id, decode_value
from protocols.key_messages import KEY_ROTATE, key_statement

__all__ = ["KeyPeriod", "head_id", "is_vouched_for", "key_periods", "named_key", "next_key"]

_AT_OR_AFTER: Final = (
    f"SELECT {COMMIT_COLUMNS} FROM signed_commit WHERE last_seq >= ? ORDER BY last_seq LIMIT 1"  # noqa: S608 - constants
)
_LAST: Final = f"SELECT {COMMIT_COLUMNS} FROM signed_commit ORDER BY last_seq DESC LIMIT 1"  # noqa: S608 - constants


class KeyPeriod(msgspec.Struct, frozen=True):
    """The commits that one key has signed.

    Attributes:
        key: the public key (32 bytes).
        since_commit: the first commit of it; of a key that has signed nothing yet, the next one.
        since_seq: the first entry of that commit.
        until_commit: the last commit of it; None for the key that signs what comes next.
    """

    key: bytes
    since_commit: int
    since_seq: int
    until_commit: int | None


def named_key(connection: sqlite3.Connection, commit: Commit) -> str | None:
    """Return the key that a commit names for the next one (64 hex digits); None: the same again."""
    row = connection.execute(
        "SELECT entity FROM entry WHERE seq BETWEEN ? AND ? AND kind = ? ORDER BY seq DESC LIMIT 1",
        (commit.first_seq, commit.last_seq, KEY_ROTATE),
    ).fetchone()
    return None if row is None else row[0]


def head_id(connection: sqlite3.Connection) -> bytes:
    """Return the id of the last commit, which the next one must name."""
    head = _commit(connection.execute(_LAST).fetchone())
    return GENESIS_HASH if head is None else commit_id(commit_header(head), head.signature)


def next_key(connection: sqlite3.Connection) -> bytes | None:
    """Return the public key that must sign the next commit; None while the book is empty."""
    head = _commit(connection.execute(_LAST).fetchone())
    if head is None:
        return None
    named = named_key(connection, head)
    return head.key if named is None else bytes.fromhex(named)


def is_vouched_for(connection: sqlite3.Connection, commit: Commit, key: bytes) -> bool:
    """Return whether the key that a commit names has itself signed for what is before the commit.

    Somebody who has rewritten a book under a key of his own can name the site's; this he cannot.
    """
    row = connection.execute(
        "SELECT details FROM entry WHERE seq BETWEEN ? AND ? AND kind = ? AND entity = ?"
        " ORDER BY seq DESC LIMIT 1",
        (commit.first_seq, commit.last_seq, KEY_ROTATE, key.hex()),
    ).fetchone()
    try:
        said = None if row is None or row[0] is None else decode_value(row[0], "details")
    except errors.BadRequest:
        return False
    proof = said.get("proof") if isinstance(said, dict) else None
    if not isinstance(proof, bytes) or len(proof) != SIGNATURE_SIZE:
        return False
    return is_signed_by(key, key_statement(commit.prev_commit, commit.key), proof)


def key_periods(connection: sqlite3.Connection) -> list[KeyPeriod]:
    """Return the keys of an open book in the order of their use; [] while it is empty."""
    head = _commit(connection.execute(_LAST).fetchone())
    first = _commit(connection.execute(_AT_OR_AFTER, (0,)).fetchone())
    firsts: list[Commit] = []
    while head is not None and first is not None:
        firsts.append(first)
        first = None if first.key == head.key else _first_of_next_key(connection, first, head)
    periods = [
        KeyPeriod(one.key, one.commit_no, one.first_seq, following.commit_no - 1)
        for one, following in pairwise(firsts)
    ]
    if head is None:
        return periods
    last, named = firsts[-1], named_key(connection, head)
    if named is None:
        return [*periods, KeyPeriod(last.key, last.commit_no, last.first_seq, None)]
    return [
        *periods,
        KeyPeriod(last.key, last.commit_no, last.first_seq, head.commit_no),
        KeyPeriod(bytes.fromhex(named), head.commit_no + 1, head.last_seq + 1, None),
    ]


def _first_of_next_key(connection: sqlite3.Connection, first: Commit, head: Commit) -> Commit:
    """Return the first commit after `first` that another key has signed; `head` is such a one."""
    same_seq, other_seq, found = first.last_seq, head.last_seq, head
    while other_seq - same_seq > 1:
        middle_seq = (same_seq + other_seq) // 2
        middle = _commit(connection.execute(_AT_OR_AFTER, (middle_seq,)).fetchone())
        if middle is None or middle.key == first.key:
            same_seq = middle_seq
        else:
            other_seq, found = middle_seq, middle
    return found


def _commit(row: Any) -> Commit | None:  # noqa: ANN401 - a row of the database
    return None if row is None else commit_from_row(row)
