"""What a group does to keys that need not outlive a reboot (``volatile_file``).

A group's volatile part is one transaction, after that of the book; the outcome of each of its
changes is in it, so a resend is not done again. Where that finds no room, or never comes, a key
that the group has moved into the book is left behind: it is gone for the writer, readers look into
the book first, and the file is rid of it as soon as it can be (:meth:`VolatileStage.owe`).

Assumes one writer.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from hourbook.book import schema
from hourbook.book.changes import outcomes
from hourbook.book.changes.outcomes import Outcome
from hourbook.book.store.generations import Generations
from hourbook.book.store.rows import DELETE_ROW, KvRow
from hourbook.book.store.stage import KvStage, Name
from hourbook.book.store.weights import ROW_BYTES, Weights, weight_of
from protocols import errors
from protocols.change import Change
from protocols.hlc import tick

__all__ = ["Capacity", "VolatileStage"]

_log = logging.getLogger(__name__)

_DUE_AT_ONCE: Final = 1000
_WEIGH: Final = (
    "SELECT ns, key, type, length(CAST(ns AS BLOB)) + length(CAST(key AS BLOB))"
    " + coalesce(length(value), 0) + coalesce(length(metadata), 0) FROM kv ORDER BY version"
)


class Capacity(NamedTuple):
    """How much volatile keys may weigh together (bytes).

    Attributes:
        cached_bytes: beyond it those go that were used least lately.
        transient_bytes: beyond it writes are refused.
    """

    cached_bytes: int = 64 << 20
    transient_bytes: int = 256 << 20


class VolatileStage(KvStage):
    """The volatile keys, for the writer of the book.

    Attributes:
        weights: of all keys.
        owed: keys that only the file still has: they are in the book.
        evictions: of cached keys, since the start.
    """

    def __init__(
        self, connection: sqlite3.Connection, generations: Generations, capacity: Capacity
    ) -> None:
        """Take over an open database."""
        super().__init__(connection, generations)
        self.connection, self._capacity = connection, capacity
        self._answers: list[tuple[int, Change, Outcome]] = []
        self.evictions = 0
        self.weights = Weights()
        self.owed: set[Name] = set()
        self._hlc = 0
        self._weigh()

    def give_way(self, book: sqlite3.Connection) -> None:
        """Drop keys that the book has, too: a group was cut off between its two commits."""
        rows = self.connection.execute("SELECT ns, key FROM kv").fetchall()
        sql = "SELECT 1 FROM kv WHERE ns = ? AND key = ?"
        self.owe([row for row in rows if book.execute(sql, row).fetchone() is not None])

    def owe(self, names: Iterable[Name]) -> None:
        """Take keys for gone that the book has, and remove them now or by a later :meth:`pay`."""
        self.owed.update(names)
        for name in self.owed:
            self.weights.drop(name)
        with contextlib.suppress(errors.DiskFull):
            self.pay()

    def pay(self) -> None:
        """Remove what is owed; never in the middle of a group's transaction.

        Raises:
            DiskFull: there is no room even for that; it is still owed.
            sqlite3.Error: the database failed.
        """
        if self.owed:
            with self._transaction():
                self.connection.executemany(DELETE_ROW, self.owed)
            self.owed.clear()

    def find(self, name: Name) -> KvRow | None:
        """Return what a key holds, as the change at work sees it."""
        if name not in self.weights.names and name not in self.draft:
            return None
        return super().find(name)

    def next_version(self, now_ns: int) -> int:
        """Return a version above every other, also those of before a restart."""
        self._hlc = tick(self._hlc, now_ns)
        return self._hlc

    def keep(self) -> None:
        """Take over what the change at work has done; what is cached too much goes.

        Raises:
            LimitExceeded: transient keys would weigh more than they may; nothing was taken over.
        """
        self._require_room()
        for name, row in self.draft.items():
            if row is None:
                self.weights.drop(name)
            else:
                self.weights.put(name, row.type, weight_of(row))
        super().keep()
        for name in self.weights.surplus(self._capacity.cached_bytes):
            self.weights.drop(name)
            self._rows[name] = self._dirty[name] = None
            self.evictions += 1

    def answer(self, index: int, change: Change, outcome: Outcome) -> None:
        """Keep the outcome of a change, the group's `index`-th, with what it did."""
        self._answers.append((index, change, outcome))

    def commit(self, results: list[Outcome], time_ns: int) -> Collection[Name]:
        """Write what the group has done here; where there is no room, its changes are refused.

        Returns:
            Keys that would have changed, and stay as they are for want of room.

        Raises:
            sqlite3.Error: the database failed.
        """
        if not self._answers and not self._dirty:
            return ()
        connection = self.connection
        try:
            with self._transaction():
                self.flush()
                for _, change, outcome in self._answers:
                    outcomes.store(connection, change, outcome, time_ns)
                connection.execute("UPDATE life SET hlc = ?", (self._hlc,))
                self.announce()
        except errors.DiskFull as refusal:
            for index, _, _ in self._answers:
                results[index] = outcomes.refuse(refusal)
            left = self.touched.union(self._dirty)
            self.abandon()
            return left
        except sqlite3.Error:
            self.abandon()
            raise
        self._answers = []
        self.settle()
        return ()

    def abandon(self) -> None:
        """Forget what the group has done here: it was not committed."""
        is_changed = bool(self._dirty or self.touched)
        self._answers = []
        super().abandon()
        if is_changed:
            self._weigh()

    def expire(self, now_ns: int) -> int:
        """Drop keys whose time has come (UTC), in a transaction of its own; return how many.

        At most _DUE_AT_ONCE of them, those that are over for longest, and 0 where there is no room;
        `soonest_ns` says of more.

        Raises:
            sqlite3.Error: the database failed.
        """
        rows = self.connection.execute(
            "SELECT ns, key FROM kv WHERE expires_ns <= ? ORDER BY expires_ns LIMIT ?",
            (now_ns, _DUE_AT_ONCE),
        ).fetchall()
        for name in rows:
            self.hold(name, None)
        if self.draft:
            self.keep()
        left = self.commit([], now_ns)
        self.soonest_ns = self.next_expiry_ns()
        return 0 if left else len(rows)

    def use(self, names: Iterable[Name]) -> None:
        """Take in that keys were read, the last of them last."""
        self.weights.use(names)

    def close(self) -> None:
        """Close the database, leaving its log behind so that all its readers still can read.

        A file that was spoiled or removed is nothing that an end has to fail for: the next start
        makes another.
        """
        try:
            (path,) = self.connection.execute(
                "SELECT file FROM pragma_database_list WHERE name = 'main'"
            ).fetchone()
            schema.close_writer(self.connection, Path(path))
        except sqlite3.Error as error:
            _log.warning("volatile keys were spoiled: %s", error)
        finally:
            self.connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Write all of it, or nothing.

        Raises:
            DiskFull: there is no room.
            sqlite3.Error: the database failed.
        """
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.rollback()
            if isinstance(error, sqlite3.Error) and _is_full(error):
                raise errors.DiskFull(
                    "Expected room for volatile keys, got a full disk, in the run directory",
                    hint="nothing of it was kept; free some space and write it again",
                ) from None
            raise

    def _require_room(self) -> None:
        added = sum(
            (weight_of(row) if row is not None and row.type == "transient" else 0)
            - self.weights.of(name)
            for name, row in self.draft.items()
        )
        room = self._capacity.transient_bytes
        if added > 0 and self.weights.transient_bytes + added > room:
            raise errors.LimitExceeded(
                f"Expected transient keys of at most {room >> 20} MiB together, got more",
                field="value",
                hint="delete some, or let them be cached",
            )

    def _weigh(self) -> None:
        """Weigh what the file holds; the last written was used last."""
        self.weights = Weights()
        rows: Sequence[tuple[str, str, str, int]] = self.connection.execute(_WEIGH).fetchall()
        for ns, key, type_, size in rows:
            if (ns, key) not in self.owed:
                self.weights.put((ns, key), type_, size + ROW_BYTES)
        stored = self.connection.execute("SELECT hlc FROM life").fetchone()[0]
        self._hlc = max(self._hlc, stored)
        self.soonest_ns = self.next_expiry_ns()


def _is_full(error: sqlite3.Error) -> bool:
    return schema.error_code(error) & 0xFF == sqlite3.SQLITE_FULL
