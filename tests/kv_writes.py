"""Writes of the store, and what they left, for tests of every layer."""

import itertools
import sqlite3
from typing import Any

import msgspec

from hourbook.book.changes.outcomes import Outcome
from hourbook.book.journal import Stamp
from hourbook.book.store.generations import Unread
from hourbook.book.store.volatile import Capacity, VolatileStage
from hourbook.book.store.volatile_file import open_volatile
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols import entry
from protocols.change import CHANGE_NONCES
from protocols.kv_messages import Increment, KvWrite, KvWritten, Op, Set

__all__ = [
    "BOOT",
    "NOW_NS",
    "FullDisk",
    "increment",
    "kv_write",
    "open_store",
    "put",
    "rows_of",
    "say",
    "written",
]

NOW_NS = 1_800_000_000_000_000_000
BOOT = bytes(16)
_counter = itertools.count(1)


class FullDisk(sqlite3.Connection):
    """A connection whose commits fail while `is_full`."""

    is_full = False

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Run a statement, unless it is the end of a transaction."""
        if sql == "COMMIT" and self.is_full:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return super().execute(sql, *values)


def put(key: str, value: object = None, **fields: Any) -> Set:
    """Return a set of any value."""
    if "metadata" in fields:
        fields["metadata"] = msgspec.Raw(msgspec.msgpack.encode(fields["metadata"]))
    return Set(key=key, value=msgspec.Raw(msgspec.msgpack.encode(value)), **fields)


def increment(key: str, by: float = 1, **fields: Any) -> Increment:
    """Return an increment."""
    return Increment(key=key, by=by, **fields)


def kv_write(*ops: Op, ns: str = "notes", number: int | None = None, branch: int = 0) -> KvWrite:
    """Return a write of its own nonce, or of the one with a number."""
    count = next(_counter) if number is None else number
    nonce = entry.make_nonce(21, count * CHANGE_NONCES)
    return KvWrite(writer="agent", nonce=nonce, ns=ns, ops=list(ops), branch=branch)


def open_store(home: Home, capacity: Capacity | None = None, **options: Any) -> BookWriter:
    """Open a book with a place for volatile keys."""
    generations = options.setdefault("generations", Unread())
    connection = open_volatile(home.volatile_db, BOOT)
    volatile = VolatileStage(connection, generations, capacity or Capacity())
    book = BookWriter.open(home.book_db, home.keys_dir, volatile=volatile, **options)
    book.query(volatile.give_way)
    return book


def say(book: BookWriter, *ops: Op, at_ns: int = NOW_NS, **fields: Any) -> Outcome:
    """Write one request in a group of its own; return its outcome."""
    written = book.write([kv_write(*ops, **fields)], Stamp(at_ns, 0))
    return written.outcomes[0]


def written(outcome: Outcome) -> KvWritten:
    """Return the answer of a write that was done."""
    if outcome.error is not None:
        raise outcome.error
    return msgspec.msgpack.decode(outcome.body, type=KvWritten)


def rows_of(book: BookWriter) -> dict[tuple[str, str], Any]:
    """Return namespace, key -> value of everything that both files hold."""
    sql = "SELECT ns, key, encoding, value FROM kv"
    found = book.query(lambda connection: connection.execute(sql).fetchall())
    if book.store.volatile is not None:
        found += book.store.volatile.connection.execute(sql).fetchall()
    return {(ns, key): msgspec.msgpack.decode(value) for ns, key, encoding, value in found}
