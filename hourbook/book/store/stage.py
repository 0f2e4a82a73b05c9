"""What a group does to the keys of one file, gathered in memory and written at once.

Most groups are many small sets. A statement for each, inside a savepoint of its own, would cost
more than all the rest: so a change works on a draft of rows, which is dropped where the change is
refused and merged where it succeeds, and the group's last state of each key is written by three
``executemany``. Whoever looks at the tables meanwhile flushes first.

Assumes that nobody else writes the file: what was read or written stays known. Whoever changes a
key by SQL says so (:meth:`KvStage.note`).
"""

import sqlite3
from typing import Final, Protocol

from hourbook.book.store.generations import Generations
from hourbook.book.store.rows import (
    DELETE_ROW,
    INSERT_LOG,
    UPSERT_ROW,
    KvRow,
    bucket_of,
    unpack_value,
)
from hourbook.book.store.schemas import Schemas

__all__ = ["NOT_LOADED", "Draft", "KvStage", "Name", "Rows"]

ROWS_KEPT_MAX: Final = 20_000
"""Rows that are known from one group to the next: some 10 MiB."""
_SMALL_BYTES: Final = 512
Name = tuple[str, str]
"""Namespace and key."""
NOT_LOADED: Final = -1
"""`encoding` of a row whose value still lies in the file alone; a set never needs it."""
_MAIN: Final = 0
_FIND_HEAD: Final = (
    "SELECT version, created, type, expires_ns, metadata FROM kv WHERE ns = ? AND key = ?"
)
_SOONEST: Final = (
    "SELECT expires_ns FROM kv WHERE expires_ns IS NOT NULL ORDER BY expires_ns LIMIT 1"
)
_FIND_VALUE: Final = "SELECT encoding, value FROM kv WHERE ns = ? AND key = ?"


class Rows(Protocol):
    """What a draft is made on."""

    def find(self, name: Name) -> KvRow | None:
        """Return what a key holds; its value may be NOT_LOADED."""

    def load(self, name: Name) -> bytes | None:
        """Return the MessagePack value of a key; None: redacted."""

    def draft(self) -> "Draft":
        """Return what a change may work on."""

    def merge(self, draft: "Draft") -> None:
        """Take over what a change has done."""


class Draft:
    """What one change would do."""

    __slots__ = ("_branch", "_stage", "changed", "log", "soonest_ns")

    def __init__(self, stage: "Rows", branch: int = _MAIN) -> None:
        self._stage, self._branch = stage, branch
        self.changed: dict[Name, KvRow | None] = {}
        self.log: list[tuple[int, str, str, int]] = []
        self.soonest_ns: int | None = None

    def find(self, name: Name) -> KvRow | None:
        """Return what a key holds, as this change sees it."""
        return self.changed[name] if name in self.changed else self._stage.find(name)

    def value(self, name: Name, row: KvRow) -> bytes | None:
        """Return the MessagePack value of a row that :meth:`find` returned; None: redacted."""
        if row.encoding == NOT_LOADED:
            return self._stage.load(name)
        return None if row.value is None else unpack_value(row.encoding, row.value, row.key)

    def put(self, name: Name, row: KvRow | None, seq: int) -> None:
        """Let a key hold something, or nothing, as the entry `seq` says."""
        self.changed[name] = row
        if row is not None and row.expires_ns is not None:
            self.soonest_ns = min(self.soonest_ns or row.expires_ns, row.expires_ns)
        self.log.append((self._branch, *name, seq))


class KvStage:
    """The keys of one file, for its one writer.

    Attributes:
        touched: every key that was changed since the last :meth:`settle`.
        soonest_ns: when the next value's time comes, at the earliest (UTC); None: never.
    """

    def __init__(self, connection: sqlite3.Connection, generations: Generations) -> None:
        """Begin with nothing changed."""
        self._connection, self._generations = connection, generations
        self._odd: list[int] = []
        self.soonest_ns: int | None = None
        self._rows: dict[Name, KvRow | None] = {}
        self._dirty: set[Name] = set()
        self._log: list[tuple[int, str, str, int]] = []
        self.touched: set[Name] = set()

    def find(self, name: Name) -> KvRow | None:
        """Return what a key holds; its value may be NOT_LOADED."""
        try:
            return self._rows[name]
        except KeyError:
            pass
        found = self._connection.execute(_FIND_HEAD, name).fetchone()
        row = None
        if found is not None:
            version, created, type_, expires_ns, metadata = found
            row = KvRow(*name, version, created, type_, expires_ns, NOT_LOADED, None, metadata)
        self._rows[name] = row
        return row

    def load(self, name: Name) -> bytes | None:
        """Return the MessagePack value that the file has of a key; None: redacted."""
        encoding, value = self._connection.execute(_FIND_VALUE, name).fetchone()
        return None if value is None else unpack_value(encoding, value, name[1])

    def draft(self) -> Draft:
        """Return what a change may work on."""
        return Draft(self)

    def merge(self, draft: Draft) -> None:
        """Take over what a change has done."""
        self._rows.update(draft.changed)
        self._dirty.update(draft.changed)
        self._log += draft.log
        if draft.soonest_ns is not None:
            self.soonest_ns = min(self.soonest_ns or draft.soonest_ns, draft.soonest_ns)

    def schemas(self) -> Schemas:
        """Return the schemas that lie beside the keys."""
        return Schemas(self._connection)

    def next_expiry_ns(self) -> int | None:
        """Return when the time of a value in the file comes next (UTC)."""
        row = self._connection.execute(_SOONEST).fetchone()
        return None if row is None else int(row[0])

    def note(self, name: Name) -> None:
        """Say that SQL has changed a key: what is known of it is void."""
        self._rows.pop(name, None)
        self.touched.add(name)

    def flush(self) -> None:
        """Write what is gathered into the open transaction.

        Raises:
            sqlite3.Error: no room, or the disk failed.
        """
        if self._dirty:
            # In order: neighbours lie on the same pages.
            rows = [(name, self._rows[name]) for name in sorted(self._dirty)]
            gone = [name for name, row in rows if row is None]
            kept = [row for _, row in rows if row is not None]
            if gone:
                self._connection.executemany(DELETE_ROW, gone)
            if kept:
                self._connection.executemany(UPSERT_ROW, kept)
            self.touched |= self._dirty
            self._dirty = set()
        if self._log:
            self._connection.executemany(INSERT_LOG, sorted(self._log))
            self._log = []

    def announce(self) -> None:
        """Tell readers what the COMMIT that follows may change."""
        if self.touched:
            self._odd = [bucket_of(ns, key) for ns, key in self.touched]
            self._generations.begin(self._odd)

    def settle(self) -> None:
        """Begin anew, once the transaction has ended."""
        if self._odd:
            self._generations.end(self._odd)
            self._odd = []
        if self.touched:
            self._forget_surplus()
            self.touched = set()

    def abandon(self) -> None:
        """Begin anew, once the transaction was rolled back."""
        self._rows, self._log = {}, []
        self._dirty = set()
        self.settle()

    def _forget_surplus(self) -> None:
        """Keep rows for the next group, but neither too many nor large ones."""
        if len(self._rows) > ROWS_KEPT_MAX:
            self._rows = {}
        for name in self.touched:
            row = self._rows.get(name)
            if row is not None and len(row.value or b"") + len(row.metadata or b"") > _SMALL_BYTES:
                del self._rows[name]
