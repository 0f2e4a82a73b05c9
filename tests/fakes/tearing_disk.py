"""A disk in memory that loses power: SQLite on top of it, through apsw, with every write counted.

What was not synced when the power went may be there or not, sector by sector of 512 bytes and in
any order, whatever was written first; a file that grew may have zeros or garbage where nothing
arrived. A name that was made or removed is only certain once its directory was synced, which SQLite
does when it first syncs a new log. A sector that nobody wrote to keeps what it held: SQLite's
``SQLITE_IOCAP_POWERSAFE_OVERWRITE``, which its Unix layer assumes of real disks too.

It never fails in another way, and knows nothing of books.
"""

import random
import sqlite3
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

import apsw

__all__ = ["Disk", "PowerCut", "TearingVfs"]

SECTOR_SIZE: Final = 512
_NEW_LOG: Final = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL


class PowerCut(Exception):  # noqa: N818 - an event, not an error of the program
    """The power went in the middle of a call."""


class _File:
    """One file: what a process sees of it, what is certain to be kept, and what happened since."""

    def __init__(self, content: bytes = b"") -> None:
        self.seen = bytearray(content)
        self.kept = bytes(content)
        self.changes: list[tuple[int, bytes | None]] = []
        """Writes (offset, data) and cuts (size, None) since the last sync."""

    def torn(self, rng: random.Random) -> bytes:
        """Return one of the contents that a power cut may leave."""
        content = bytearray(self.kept)
        pieces = [piece for change in self.changes for piece in _sectors(*change)]
        rng.shuffle(pieces)
        fill = rng.choice((bytes, rng.randbytes))
        share = rng.choice((0.1, 0.5, 0.9, 1.0))
        for offset, data in pieces:
            if rng.random() >= share:
                continue
            if data is None:
                del content[offset:]
                continue
            if offset > len(content):
                content += fill(offset - len(content))
            content[offset : offset + len(data)] = data
        return bytes(content)


class Disk:
    """One directory of files, from one power cut to the next.

    Attributes:
        operations: writes, syncs, cuts, and changes of names so far.
        has_power: nothing that is done without it has an effect.
    """

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self._seen = {name: _File(content) for name, content in (files or {}).items()}
        self._kept = dict(self._seen)
        self.operations = 0
        self.has_power = True
        self._cut_at: int | None = None

    def cut_power_after(self, operations: int) -> None:
        """Let the power go in the middle of the call that comes after so many."""
        self._cut_at = self.operations + operations

    def after_power_cut(self, rng: random.Random) -> "Disk":
        """Return one of the disks that a start may find when the power goes now."""
        found = {}
        for name in sorted(self._seen.keys() | self._kept.keys()):
            file = rng.choice((self._seen.get(name), self._kept.get(name)))
            if file is not None:
                found[name] = file.torn(rng)
        return Disk(found)

    def has(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        return name in self._seen

    def open(self, name: str) -> _File:
        """Return the file of this name, making it when there is none."""
        if name not in self._seen and self.count():
            self._seen[name] = _File()
        return self._seen.get(name) or _File()

    def remove(self, name: str, *, is_synced: bool) -> None:
        """Remove a name; what it named may come back unless the directory is synced."""
        if self.count():
            del self._seen[name]
            if is_synced:
                self.sync_names()

    def sync_names(self) -> None:
        """Make every name certain that was made or removed."""
        self._kept = dict(self._seen)

    def count(self) -> bool:
        """Count one operation; return whether it has an effect.

        Raises:
            PowerCut: this was the one.
        """
        if not self.has_power:
            return False
        self.operations += 1
        if self._cut_at is not None and self.operations > self._cut_at:
            self.has_power = False
            raise PowerCut
        return True


class _OpenFile:
    """What SQLite calls; see sqlite3_io_methods."""

    def __init__(self, disk: Disk, file: _File, *, is_log: bool) -> None:
        self._disk, self._file, self._is_log = disk, file, is_log

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's names
        return bytes(self._file.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        # The write under way when the power goes may have reached the disk in part.
        if self._disk.has_power:
            self._file.changes.append((offset, bytes(data)))
        if self._disk.count():
            seen = self._file.seen
            if offset > len(seen):
                seen += bytes(offset - len(seen))
            seen[offset : offset + len(data)] = data

    def xTruncate(self, size: int) -> None:  # noqa: N802
        if self._disk.has_power:
            self._file.changes.append((size, None))
        if self._disk.count():
            del self._file.seen[size:]

    def xSync(self, _flags: int) -> None:  # noqa: N802
        if self._disk.count():
            self._file.kept = bytes(self._file.seen)
            self._file.changes.clear()
            if self._is_log:
                self._disk.sync_names()

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._file.seen)

    def xSectorSize(self) -> int:  # noqa: N802
        return 4096  # as on Unix: smaller than a page, and larger than what is torn here

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xFileControl(self, _operation: int, _pointer: int) -> bool:  # noqa: N802
        return False

    def xLock(self, _level: int) -> None:  # noqa: N802 - nobody else is there
        return

    def xUnlock(self, _level: int) -> None:  # noqa: N802
        return

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xClose(self) -> None:  # noqa: N802
        return


class TearingVfs(apsw.VFS):
    """Puts a Disk under SQLite, under the name given."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.disk = Disk()
        self._connections: list[apsw.Connection] = []
        super().__init__(name, "")

    def cut_power(self, rng: random.Random) -> None:
        """End every connection without an effect, and put in the disk that the next start finds."""
        self.close_connections()
        self.disk = self.disk.after_power_cut(rng)

    def close_connections(self) -> None:
        """End every connection, and let none of them change the disk."""
        self.disk.has_power = False
        while self._connections:
            self._connections.pop().close(force=True)

    def connector(self, synchronous: str = "FULL") -> Callable[[Path], sqlite3.Connection]:
        """Return a ConnectionFactory onto the disk.

        Args:
            synchronous: what ``PRAGMA synchronous=FULL`` is to mean.
        """

        def connect(path: Path) -> sqlite3.Connection:
            opened = apsw.Connection(str(path), vfs=self.name)
            # apsw brings a SQLite of its own, to which nobody has offered this.
            opened.enable_load_extension(enable=True)
            opened.load_extension(_packed_rows())
            self._connections.append(opened)
            connection = _Connection(opened, synchronous)
            # An exclusive connection keeps the index of its log in its own memory, as this disk
            # has none to share.
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            return cast("sqlite3.Connection", connection)

        return connect

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        flags[1] = flags[0]
        is_log = bool(flags[0] & _NEW_LOG)
        return _OpenFile(self.disk, self.disk.open(path), is_log=is_log)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802 - SQLite's own
        if self.disk.has(filename):
            self.disk.remove(filename, is_synced=syncdir)

    def xAccess(self, pathname: str, _flags: int) -> bool:  # noqa: N802
        return self.disk.has(pathname)

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name


class _Connection:
    """An apsw connection in the manner of the standard library's, as far as the writer uses it."""

    def __init__(self, connection: apsw.Connection, synchronous: str) -> None:
        self._connection = connection
        self._synchronous = synchronous

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> apsw.Cursor:
        if sql == "PRAGMA synchronous=FULL":
            sql = f"PRAGMA synchronous={self._synchronous}"
        try:
            return self._connection.execute(sql, tuple(parameters))
        except apsw.Error as error:
            raise _translate(error) from error

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        try:
            self._connection.executemany(sql, rows)
        except apsw.Error as error:
            raise _translate(error) from error

    def rollback(self) -> None:
        if self.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


def _packed_rows() -> str:
    spec = find_spec("hourbook.book._packed_rows")
    assert spec is not None
    assert spec.origin is not None
    return spec.origin


def _translate(error: apsw.Error) -> sqlite3.Error:
    is_refused = isinstance(error, apsw.ConstraintError)
    translated = (sqlite3.IntegrityError if is_refused else sqlite3.OperationalError)(str(error))
    translated.sqlite_errorcode = getattr(error, "extendedresult", 0)
    return translated


def _sectors(offset: int, data: bytes | None) -> list[tuple[int, bytes | None]]:
    if data is None:
        return [(offset, None)]
    ends = range(offset - offset % SECTOR_SIZE + SECTOR_SIZE, offset + len(data), SECTOR_SIZE)
    bounds = [offset, *ends, offset + len(data)]
    return [(begin, data[begin - offset : end - offset]) for begin, end in pairwise(bounds)]
