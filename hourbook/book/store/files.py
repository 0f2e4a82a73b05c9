"""The files that the store is read from, and whether they still are the ones in force. An edge.

Two databases, the book and that of volatile keys, and the segment whose counters say when a value
that was read has changed. Each may be replaced under a reader: a backup is restored, a run
directory removed. Whoever reads finds out by their inodes, when `inspect` is called (every 20 ms at
most, by the cache), and begins anew.

Connections are lent to one read at a time, in autocommit, each statement read to its end: a cursor
that was left half read would show the next read what the book was then. They are not carried across
a fork; a child opens its own, and never closes its parent's.
"""

import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from mmap import mmap
from typing import Any, Final, NoReturn, TypeVar

from hourbook.book import schema
from hourbook.book.reader import BookReader
from hourbook.forks import own_pid
from hourbook.home import Home
from protocols import errors
from shm import segment
from shm.reader import TimeReader

__all__ = ["OLDEST_VERSION", "Line", "StoreFiles"]

OLDEST_VERSION: Final = 7
"""Of the schema, that has the store."""
_LINES_KEPT: Final = 8
_T = TypeVar("_T")
_Execute = Callable[..., sqlite3.Cursor]


class Line:
    """A connection to each file, for one read at a time.

    Attributes:
        book: the reader of the book.
        connection: its own.
        durable: ``execute`` of a cursor on it.
        volatile_connection: to the other database; None while there is none.
        volatile: ``execute`` of a cursor on that.
        is_in_volatile: what is read at the moment is read from that.
        stamp: of the files that it was opened on.
    """

    __slots__ = (
        "book",
        "connection",
        "durable",
        "is_in_volatile",
        "stamp",
        "volatile",
        "volatile_connection",
    )

    def __init__(self, home: Home, stamp: int) -> None:
        self.stamp = stamp
        self.book = BookReader(home)
        self.connection = self.book.connection
        self.durable: _Execute = self.connection.cursor().execute
        self.volatile_connection: sqlite3.Connection | None = None
        self.volatile: _Execute | None = None
        self.is_in_volatile = False
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version < OLDEST_VERSION:
            self.close()
            raise errors.UnsupportedVersion(
                f"Expected a book of version {OLDEST_VERSION}, got {version}, at {home.book_db}",
                field="user_version",
                value=str(version),
                hint="run `supervisor start`, which brings it up to date",
            )

    def open_volatile(self, home: Home) -> _Execute | None:
        """Return ``execute`` on the volatile database where there is one: what is read next.

        Whoever may not look into the run directory has none. The book is read before it.

        Raises:
            HomeUnusable: it cannot be read. No key is absent for that.
        """
        if self.volatile is None and os.access(path := home.volatile_db, os.R_OK):
            connection = sqlite3.connect(
                f"{path.as_uri()}?mode=ro",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=schema.BUSY_TIMEOUT_MS / 1000,
            )
            try:
                connection.execute("SELECT version FROM kv LIMIT 1").fetchall()
            except sqlite3.Error as error:
                connection.close()
                raise _volatile_unreadable(error, os.fspath(path)) from None
            self.volatile_connection = connection
            self.volatile = connection.cursor().execute
        self.is_in_volatile = self.volatile is not None
        return self.volatile

    def close(self) -> None:
        """Close both."""
        self.book.close()
        if self.volatile_connection is not None:
            self.volatile_connection.close()


class StoreFiles:
    """The files of one home's store, for all threads of a process and what it forks.

    Attributes:
        stamp: rises when a database was replaced; what was read before no longer counts.
        time_ns: ``time_ns() -> int``, UTC by our clock; by the kernel's where no tree ever ran.
    """

    def __init__(self, home: Home) -> None:
        """Open nothing yet."""
        self.home = home
        self.stamp = 0
        self.is_closed = False
        self.time_ns: Callable[[], int] = _clock_of(home)
        self._book_path = os.fspath(home.book_db)
        self._volatile_path = os.fspath(home.volatile_db)
        self._segment_path = os.fspath(home.segment)
        self._inodes = self._look()
        self._segment: segment.Segment | None = None
        self._pid = own_pid()
        self._lines: deque[Line] = deque()
        self._inherited: list[deque[Line]] = []

    def inspect(self) -> mmap | None:
        """Return the map of the segment in force, None where there is none; see to the files.

        Raises:
            BookClosed: this side is closed.
        """
        self.check_open()
        inodes = self._look()
        if inodes != self._inodes:
            self._inodes = inodes
            self.stamp += 1
        try:
            inode = os.stat(self._segment_path).st_ino  # noqa: PTH116 - each 20 ms, of each store
            if self._segment is None or self._segment.inode != inode:
                self._segment = segment.open_reader(self.home.segment)
        except (OSError, errors.HourbookError):
            self._segment = None
            return None
        return self._segment.map

    def take(self) -> Line:
        """Return a line that nobody else has; give it back, or drop it after an error.

        Raises:
            BookClosed, BookMissing, NeedsWriter, UnsupportedVersion: it cannot be read.
        """
        if self._pid != own_pid():
            self._begin_in_child()
        try:
            line = self._lines.pop()
        except IndexError:
            self.check_open()
            return Line(self.home, self.stamp)
        if line.stamp == self.stamp:
            return line
        line.close()
        return self.take()

    def read(self, read: Callable[[Line], _T]) -> _T:
        """Return what `read` finds on a line of its own.

        Raises:
            BookClosed, BookMissing, NeedsWriter, UnsupportedVersion, BookCorrupt, HomeUnusable: it
                cannot be read; and whatever `read` raises.
        """
        line = self.take()
        try:
            found = read(line)
        except sqlite3.Error as error:
            self.drop(line, error)
        except BaseException:
            line.close()
            raise
        self.give(line)
        return found

    def give(self, line: Line) -> None:
        """Take a line back."""
        if len(self._lines) < _LINES_KEPT and not self.is_closed:
            line.is_in_volatile = False
            self._lines.append(line)
        else:
            line.close()

    def drop(self, line: Line, error: sqlite3.Error) -> NoReturn:
        """Close a line on which a read failed, and say so.

        Raises:
            BookClosed, BookCorrupt, HomeUnusable: always; the last of volatile keys.
        """
        line.close()
        self.check_open()
        if line.is_in_volatile:
            raise _volatile_unreadable(error, self._volatile_path) from None
        raise errors.BookCorrupt(
            f"Expected a readable store, got: {error}, at {self._book_path}",
            field=self._book_path,
            hint="run `hourbook verify`, then restore a backup",
        ) from None

    def close(self) -> None:
        """Close; whoever reads on hears of it."""
        self.is_closed = True
        if self._pid == own_pid():
            while self._lines:
                self._lines.pop().close()

    def _look(self) -> tuple[int, int]:
        return _inode(self._book_path), _inode(self._volatile_path)

    def _begin_in_child(self) -> None:
        """Leave the parent's connections as they are: to close one would drop its locks."""
        self._inherited.append(self._lines)
        self._lines = deque()
        self._pid = own_pid()

    def check_open(self) -> None:
        """Raise BookClosed where this side is closed."""
        if self.is_closed:
            raise errors.BookClosed("Expected an open book, got a closed one")


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino  # noqa: PTH116 - see above
    except OSError:
        return 0


def _volatile_unreadable(error: sqlite3.Error, path: str) -> errors.HomeUnusable:
    message = f"Expected readable volatile keys, got: {error}, at {path}"
    hint = "run `supervisor restart journal_writer`"
    return errors.HomeUnusable(message, field=path, hint=hint)


def _clock_of(home: Home) -> Any:  # noqa: ANN401 - a method of C, called without arguments
    try:
        return TimeReader(home.segment).time_ns
    except errors.HourbookError:
        return time.time_ns
