"""What a group does to the keys of one file, gathered in memory and written at once.

Most groups are many small sets. A statement for each, inside a savepoint of its own, would cost
more than all the rest: so a change works on a draft, which is undone where it is refused and kept
where it succeeds, and the group's last state of each key is written by a few ``executemany``.
Whoever looks at the tables meanwhile flushes first.

Assumes that nobody else writes the file: what was read or written stays known, the place of a row
in the file included. Whoever changes a key by SQL says so (:meth:`KvStage.note`).
"""

import sqlite3
from abc import ABC, abstractmethod
from typing import Final

from msgspec.structs import astuple

from hourbook.book.branches import MAIN
from hourbook.book.packed_rows import insert, pack
from hourbook.book.store.generations import Generations
from hourbook.book.store.rows import (
    DELETE_ROW,
    FIND_HEAD,
    FIND_ID,
    FIND_VALUE,
    INSERT_LOG,
    LAST_ID,
    PUT_ROW,
    KvRow,
    buckets_of,
    unpack_value,
)
from hourbook.book.store.schemas import Schemas

__all__ = ["NOT_LOADED", "KeyRows", "KvStage", "Name"]

ROWS_KEPT_MAX: Final = 20_000
"""Rows that are known from one group to the next: some 10 MiB."""
_SMALL_BYTES: Final = 512
Name = tuple[str, str]
"""Namespace and key."""
NOT_LOADED: Final = -1
"""`encoding` of a row whose value lies in the file alone, which a set never needs; id of a row
that was not looked for."""
_SOONEST: Final = (
    "SELECT expires_ns FROM kv WHERE expires_ns IS NOT NULL ORDER BY expires_ns LIMIT 1"
)


class KeyRows(ABC):
    """Rows of keys as one change after another leaves them, and what the one at work would do.

    Attributes:
        branch: number of theirs.
        draft: what the change at work would do.
    """

    def __init__(self, branch: int = MAIN) -> None:
        """Begin with nothing known."""
        self.branch = branch
        self.draft: dict[Name, KvRow | None] = {}
        self._rows: dict[Name, KvRow | None] = {}
        self._log: list[tuple[int, str, str, int]] = []
        self._log_kept = 0

    def find(self, name: Name) -> KvRow | None:
        """Return what a key holds, as the change at work sees it; its value may be NOT_LOADED."""
        draft = self.draft
        if draft and name in draft:
            return draft[name]
        try:
            return self._rows[name]
        except KeyError:
            return self._read(name)

    def value(self, name: Name, row: KvRow) -> bytes | None:
        """Return the MessagePack value of a row that :meth:`find` returned; None: redacted."""
        if row.encoding == NOT_LOADED:
            return self._load(name)
        return None if row.value is None else unpack_value(row.encoding, row.value, row.key)

    def put(self, name: Name, row: KvRow | None, seq: int) -> None:
        """Let a key hold something, or nothing, as the entry `seq` says."""
        self.draft[name] = row
        self._log.append((self.branch, *name, seq))

    def hold(self, name: Name, row: KvRow | None) -> None:
        """Let a key hold something, or nothing, of which no entry tells."""
        self.draft[name] = row

    @abstractmethod
    def keep(self) -> None:
        """Take over what the change at work has done."""

    def undo(self) -> None:
        """Forget what the change at work has done: it was refused."""
        self.draft = {}
        del self._log[self._log_kept :]

    @abstractmethod
    def _read(self, name: Name) -> KvRow | None:
        """Return what a key holds that no change of ours has touched."""

    @abstractmethod
    def _load(self, name: Name) -> bytes | None:
        """Return the MessagePack value of a row that was read without it; None: redacted."""


class KvStage(KeyRows):
    """The keys of one file, for its one writer.

    Attributes:
        touched: every key that was changed since the last :meth:`settle`.
        soonest_ns: when the next value's time comes, at the earliest (UTC); None: never.
    """

    def __init__(self, connection: sqlite3.Connection, generations: Generations) -> None:
        """Begin with nothing changed."""
        super().__init__()
        self._connection, self._generations = connection, generations
        self._odd: list[int] = []
        self.soonest_ns: int | None = None
        self._ids: dict[Name, int | None] = {}  # of rows in the file; None: it has none
        self._last_id: int | None = None
        self._dirty: dict[Name, KvRow | None] = {}  # what the file does not say yet
        self._large: list[Name] = []
        self.touched: set[Name] = set()

    def keep(self) -> None:
        """Take over what the change at work has done."""
        self._rows |= self.draft
        self._dirty |= self.draft
        self.draft = {}
        self._log_kept = len(self._log)

    def _read(self, name: Name) -> KvRow | None:
        found = self._connection.execute(FIND_HEAD, name).fetchone()
        row = None
        if found is None:
            self._ids[name] = None
        else:
            self._ids[name], version, created, type_, expires_ns, metadata = found
            row = KvRow(*name, version, created, type_, expires_ns, NOT_LOADED, None, metadata)
            if metadata is not None and len(metadata) > _SMALL_BYTES:
                self._large.append(name)
        self._rows[name] = row
        return row

    def _load(self, name: Name) -> bytes | None:
        encoding, value = self._connection.execute(FIND_VALUE, name).fetchone()
        return None if value is None else unpack_value(encoding, value, name[1])

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
        self._ids.pop(name, None)
        self.touched.add(name)

    def flush(self) -> None:
        """Write what is kept into the open transaction; never in the middle of a change.

        Raises:
            sqlite3.Error: no room, or the disk failed.
        """
        assert not self.draft, "a change is at work"
        if self._dirty:
            self._write_rows()
            self.touched.update(self._dirty)
            self._dirty = {}
        if self._log:
            insert(self._connection, INSERT_LOG, list(map(pack, self._log)))
            self._log, self._log_kept = [], 0

    def _write_rows(self) -> None:
        ids = self._ids
        gone, held = [], []
        for name, row in self._dirty.items():
            if row is None:
                gone.append(name)
                ids[name] = None
                continue
            number = ids.get(name, NOT_LOADED)
            if number == NOT_LOADED:
                number = self._find_id(name)
            if number is None:
                ids[name] = number = self._next_id()
            held.append(pack((number, *astuple(row))))
            if row.expires_ns is not None:
                self.soonest_ns = min(self.soonest_ns or row.expires_ns, row.expires_ns)
            if len(row.value or b"") + len(row.metadata or b"") > _SMALL_BYTES:
                self._large.append(name)
        if gone:
            self._connection.executemany(DELETE_ROW, gone)
        if held:
            insert(self._connection, PUT_ROW, held)

    def _find_id(self, name: Name) -> int | None:
        found = self._connection.execute(FIND_ID, name).fetchone()
        return None if found is None else int(found[0])

    def _next_id(self) -> int:
        if self._last_id is None:
            self._last_id = int(self._connection.execute(LAST_ID).fetchone()[0])
        self._last_id += 1
        return self._last_id

    def announce(self) -> None:
        """Tell readers what the COMMIT that follows may change."""
        if self.touched:
            self._odd = buckets_of(self.touched)
            self._generations.begin(self._odd)

    def settle(self) -> None:
        """Begin anew, once the transaction has ended."""
        if self._odd:
            self._generations.end(self._odd)
            self._odd = []
        self.touched = set()
        # What was only looked at is known, too; but neither too much of it, nor what is large.
        if len(self._ids) > ROWS_KEPT_MAX:
            self._forget()
        for name in self._large:
            self._rows.pop(name, None)
            self._ids.pop(name, None)
        self._large = []

    def abandon(self) -> None:
        """Begin anew, once the transaction was rolled back."""
        self._forget()
        self.draft, self._dirty = {}, {}
        self._log, self._log_kept = [], 0
        self.settle()

    def _forget(self) -> None:
        """Read anew whatever is asked for."""
        self._rows, self._ids, self._large = {}, {}, []
        self._last_id = None
