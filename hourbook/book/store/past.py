"""What the store held: versions of a key, and its state as of a seq or on a branch. Reads only.

Which entries were about a key `kv_log` says; what they did, the entries themselves, archived ones
too. A state is the last of them: of the branch, else of its parent up to where it began, and so on.

The past is kept for a while. Before the floor of a namespace (table `kv_floor`) versions that were
superseded may be missing, so nothing is said of it (Compacted), but for the versions that are left.
Volatile keys have no past.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hourbook.book.archive.detached import attach_beside
from hourbook.book.branches import MAIN, Stretch, view_of
from hourbook.book.rows import ENTRY_COLUMNS, FIND_ENTRY, entry_from_row
from hourbook.book.store.glob import Glob
from hourbook.book.store.reading import Item, merge_pages
from hourbook.book.store.rows import FIND_LAST, KV_SET
from protocols import errors
from protocols.entry import Entry

__all__ = ["KeyVersion", "PastReader", "floor_of"]

PAGE_ROWS: Final = 256
_FLOOR: Final = "SELECT first_seq FROM kv_floor WHERE ns = ?"
_STATES: Final = (
    "SELECT key, max(seq) FROM kv_log WHERE branch = :branch AND ns = :ns AND seq <= :last"
    " AND key > :after AND key >= :first AND (:end IS NULL OR key < :end)"
    " GROUP BY key ORDER BY key LIMIT :limit"
)
_VERSIONS: Final = (
    f"SELECT {ENTRY_COLUMNS} FROM entry WHERE seq IN (SELECT seq FROM kv_log"  # noqa: S608 - constants
    " WHERE branch = ? AND ns = ? AND key = ? AND seq <= ? ORDER BY seq DESC LIMIT ?)"
    " ORDER BY seq DESC"
)


class KeyVersion(msgspec.Struct, frozen=True):
    """What one write did to a key.

    Attributes:
        key: its name.
        entry: of the journal.
    """

    key: str
    entry: Entry

    @property
    def version(self) -> int:
        """Its seq."""
        return self.entry.seq

    @property
    def action(self) -> str:
        """`set`, `increment`, `delete` or `expire`."""
        return self.entry.action

    @property
    def time_ns(self) -> int:
        """When (UTC, nanoseconds since 1970)."""
        return self.entry.time_ns

    @property
    def writer(self) -> str:
        """Who."""
        return self.entry.writer

    @property
    def is_present(self) -> bool:
        """The key was there afterwards."""
        return self.entry.kind == KV_SET

    @property
    def value(self) -> Any:  # noqa: ANN401 - any MessagePack value
        """What the key held afterwards; None where it was not there.

        Raises:
            Redacted: it was dropped for good.
            ArchiveDamaged: the file that it was archived in is missing or damaged.
        """
        return self._details().get("value") if self.is_present else None

    @property
    def item(self) -> Item:
        """All of it, as of a key that is there."""
        said = self._details()
        return Item(
            self.key,
            said["value"],
            self.version,
            said.get("created") or self.version,
            said.get("type", "persistent"),
            said.get("expires_ns"),
            said.get("metadata") or {},
        )

    def is_over(self, now_ns: int) -> bool:
        """Return whether the key was absent at UTC `now_ns`."""
        if not self.is_present:
            return True
        expires_ns = self._details().get("expires_ns")
        return expires_ns is not None and expires_ns <= now_ns

    def _details(self) -> dict[str, Any]:
        details: dict[str, Any] = self.entry.details
        return details


class PastReader:
    """One namespace as one branch sees it, up to a seq. Each method is one short read."""

    def __init__(self, ns: str, branch: int = MAIN, until_seq: int | None = None) -> None:
        """Read nothing yet.

        Args:
            ns: the namespace.
            branch: number of the branch; 0 is main.
            until_seq: the last entry that counts; None: all do.
        """
        self._ns, self._branch, self._until_seq = ns, branch, until_seq

    def state(self, connection: sqlite3.Connection, key: str) -> KeyVersion | None:
        """Return the last write of a key; None where there was none.

        Raises:
            Compacted: that is not known any more.
        """
        view = self._view(connection)
        self._check_floor(connection, view)
        for stretch in view:
            seq = _one(connection, FIND_LAST, (stretch.number, self._ns, key, stretch.last_seq))
            if seq is not None:
                return _versions(connection, key, [_entry(connection, seq)])[0]
        return None

    def version(self, connection: sqlite3.Connection, key: str, version: int) -> KeyVersion:
        """Return one write of a key.

        Raises:
            NotInBook: it was never written so.
            Compacted: that is not known any more.
        """
        for stretch in self._view(connection):
            if version <= stretch.last_seq:
                seq = _one(connection, FIND_LAST, (stretch.number, self._ns, key, version))
                if seq == version:
                    return _versions(connection, key, [_entry(connection, seq)])[0]
        first_seq = floor_of(connection, self._ns)
        if version < first_seq:
            raise self._compacted(first_seq, f"version {version} of {key!r}")
        raise errors.NotInBook(
            f"Expected a version of {key!r} in {self._ns}, got {version}",
            field="version",
            value=str(version),
            hint="its history has them",
        )

    def history(
        self, connection: sqlite3.Connection, key: str, before: int, limit: int
    ) -> list[KeyVersion]:
        """Return up to `limit` writes of a key below the version `before`, the newest first.

        Raises:
            Compacted: there are none, and whether there were is not known any more.
        """
        found: list[Entry] = []
        for stretch in self._view(connection):
            if len(found) < limit:
                last_seq = min(stretch.last_seq, before - 1)
                asked = (stretch.number, self._ns, key, last_seq, limit - len(found))
                rows: list[Any] = connection.execute(_VERSIONS, asked).fetchall()
                found += [entry_from_row(row) for row in rows]
        if not found and before <= (first_seq := floor_of(connection, self._ns)):
            raise self._compacted(first_seq, f"versions of {key!r} before {before}")
        return _versions(connection, key, found)

    def page(
        self, connection: sqlite3.Connection, glob: Glob, after: str
    ) -> tuple[list[KeyVersion], str | None]:
        """Return the last writes of the next keys that fit, and after which to go on.

        Raises:
            Compacted: that is not known any more.
        """
        view = self._view(connection)
        self._check_floor(connection, view)
        pages = []
        for stretch in view:
            values = {
                "branch": stretch.number,
                "ns": self._ns,
                "last": stretch.last_seq,
                "after": after,
                "first": glob.prefix,
                "end": glob.end,
                "limit": PAGE_ROWS,
            }
            rows = connection.execute(_STATES, values).fetchall()
            pages.append((rows, len(rows) == PAGE_ROWS))
        rows, following = merge_pages(pages)
        fitting = [(key, seq) for key, seq in rows if glob.matches(key)]
        found = attach_beside(connection, [_entry(connection, seq) for _, seq in fitting])
        keys = [key for key, _ in fitting]
        return [KeyVersion(*both) for both in zip(keys, found, strict=True)], following

    def _view(self, connection: sqlite3.Connection) -> list[Stretch]:
        return view_of(connection, self._branch, self._until_seq)

    def _check_floor(self, connection: sqlite3.Connection, view: Sequence[Stretch]) -> None:
        first_seq = floor_of(connection, self._ns)
        if view[-1].last_seq < first_seq:
            raise self._compacted(first_seq, f"what {self._ns} held at seq {view[-1].last_seq}")

    def _compacted(self, first_seq: int, what: str) -> errors.Compacted:
        return errors.Compacted(
            f"Expected {what}, of which the past is kept from seq {first_seq} on",
            field="at",
            value=str(first_seq),
        )


def floor_of(connection: sqlite3.Connection, ns: str) -> int:
    """Return the seq from which on the past of a namespace is known; 0: all of it."""
    return _one(connection, _FLOOR, (ns,)) or 0


def _entry(connection: sqlite3.Connection, seq: int) -> Entry:
    row: Any = connection.execute(FIND_ENTRY, (seq,)).fetchone()
    return entry_from_row(row)


def _versions(connection: sqlite3.Connection, key: str, entries: list[Entry]) -> list[KeyVersion]:
    return [KeyVersion(key, entry) for entry in attach_beside(connection, entries)]


def _one(connection: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> Any:  # noqa: ANN401
    rows = connection.execute(sql, values).fetchall()
    return rows[0][0] if rows else None
