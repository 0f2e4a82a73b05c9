"""Reading the book: any process, any number of them, never changing it and never asking anybody.

Connections are opened ``mode=ro``. Read transactions are short (lists are paged), because a reader
that lingers keeps the writer's log from shrinking. Where the directory cannot be written and no
writer left its log behind, SQLite cannot open a WAL database at all; then the file is read as
immutable, which is only right while no writer can start, so the run lock is held, shared.
"""

import errno
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from hourbook.book import schema
from hourbook.book.archive.detached import attach
from hourbook.book.archive.frame_cache import Archive
from hourbook.book.branches import branch_number, tail_of
from hourbook.book.proof.keys import read_public
from hourbook.book.proof.verify import StageProgress, Verdict, verify_book
from hourbook.book.rows import (
    COMMIT_COLUMNS,
    ENTRY_COLUMNS,
    FIND_ENTRY,
    commit_from_row,
    entry_from_row,
)
from hourbook.home import Home
from protocols import errors
from protocols.entry import Commit, Entry

if TYPE_CHECKING:
    from hourbook.book.proof.witness import Witness

__all__ = ["PAGE_ENTRIES", "BookReader", "CopyProgress"]

PAGE_ENTRIES: Final = 1000
"""Entries of one read transaction."""
CopyProgress = Callable[[int, int], None]
"""Called after each slice with (pages copied, pages to copy)."""
_T = TypeVar("_T")


class BookReader:
    """Read-only queries on the book of one home. Threads may share it; a forked child may not."""

    def __init__(self, home: Home) -> None:
        """Open the book.

        Raises:
            BookMissing: there is none yet.
            UnsupportedVersion: it is not a book, or one of a newer program.
            NeedsWriter: it cannot be read unless journal_writer runs, or has run.
            BookCorrupt: SQLite cannot read it.
        """
        self._home = home
        self._archive = Archive(home.archive_dir)
        self._lock = threading.Lock()
        self._run_lock_fd = -1
        self._connection = self._open()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection itself, for whoever has this reader alone."""
        return self._connection

    def head(self) -> Commit | None:
        """Return the last signed commit; None while the book is empty."""
        rows = self._fetch(
            f"SELECT {COMMIT_COLUMNS} FROM signed_commit ORDER BY last_seq DESC LIMIT 1"  # noqa: S608 - constants
        )
        return commit_from_row(rows[0]) if rows else None

    def head_seq(self) -> int:
        """Return the last seq; 0 while the book is empty."""
        return int(self._fetch("SELECT coalesce(max(seq), 0) FROM entry")[0][0])

    def count(self) -> int:
        """Return how many entries the book has: the last seq, since there are no gaps."""
        return self.head_seq()

    def entry(self, seq: int) -> Entry | None:
        """Return one entry; None when there is none of this seq."""
        found = self._entries(FIND_ENTRY, (seq,))
        return found[0] if found else None

    def tail(
        self, count: int = 10, *, branch: str = "", until_seq: int | None = None
    ) -> list[Entry]:
        """Return the last `count` entries (>= 0) that a branch sees, oldest first.

        Args:
            count: how many.
            branch: its name, as of `until_seq`; "" is main.
            until_seq: only entries up to this one.

        Raises:
            BadRequest, UnknownName: there is no such branch.
        """
        return self.query(
            lambda opened: tail_of(
                opened, branch_number(opened, branch, until_seq), count, until_seq
            )
        )

    def page(self, after_seq: int, limit: int = PAGE_ENTRIES) -> list[Entry]:
        """Return up to `limit` entries that follow `after_seq`, in one read transaction.

        Archived details are read from their files; an entry whose details are gone, or cannot be
        read, says so when they are asked for (``Entry.details``).
        """
        return self._entries(
            f"SELECT {ENTRY_COLUMNS} FROM entry WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608 - constants
            (after_seq, limit),
        )

    def since(self, after_seq: int, *, until_seq: int | None = None) -> Iterator[Entry]:
        """Yield the entries that follow `after_seq`, page by page, to the head or `until_seq`."""
        while until_seq is None or after_seq < until_seq:
            limit = PAGE_ENTRIES if until_seq is None else min(PAGE_ENTRIES, until_seq - after_seq)
            page = self.page(after_seq, limit)
            if not page:
                return
            yield from page
            after_seq = page[-1].seq

    def query(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what `read` finds, in a few short statements; other threads wait meanwhile."""
        with self._lock:
            try:
                return read(self._connection)
            except sqlite3.ProgrammingError as error:
                raise errors.BookClosed(f"Expected an open book: {error}") from None
            except sqlite3.DatabaseError as error:
                raise _unreadable(self._home.book_db, error) from None

    def at_nonce(self, writer: str, nonce: bytes) -> Entry | None:
        """Return the entry of a writer with this nonce, else with the next one; None after all."""
        found = self._entries(
            f"SELECT {ENTRY_COLUMNS} FROM entry WHERE writer = ? AND nonce >= ?"  # noqa: S608 - constants
            " ORDER BY nonce LIMIT 1",
            (writer, nonce),
        )
        return found[0] if found else None

    def verify(
        self,
        *,
        from_commit: int = 1,
        all_signatures: bool = False,
        witnesses: Sequence["Witness"] = (),
        progress: StageProgress | None = None,
    ) -> Verdict:
        """Verify the book (see ``hourbook.book.proof.verify``), against this site's public key.

        Takes about 4 us an entry, on a connection of its own: other threads read on meanwhile. Of a
        whole book that holds together the archive is checked next (``book.archive.check``), and at
        last `witnesses` are compared (``book.proof.witness``).
        """
        with BookReader(self._home) as own:
            verdict = verify_book(
                own._connection,
                from_commit=from_commit,
                all_signatures=all_signatures,
                trusted_key=read_public(self._home.keys_dir),
                progress=None if progress is None else partial(progress, "verifying"),
            )
            if verdict.ok and from_commit == 1:
                verdict = own._verify_store(own._verify_archive(verdict, progress))
            if not (verdict.ok and witnesses):
                return verdict
            from hourbook.book.proof.witness import confront  # noqa: PLC0415 - few have any

            return confront(own._connection, verdict, witnesses)

    def copy_to(
        self, path: Path, *, pages_per_slice: int = 256, progress: CopyProgress | None = None
    ) -> None:
        """Copy the book as it is at one instant over the file `path`, while it is being written.

        SQLite's online backup, 1 MiB a slice. A read transaction is held open, so that a writer
        cannot make it start over; the log grows for as long as the copy takes. The copy is one
        file, with a rollback journal: whoever opens it leaves nothing beside it. It is not synced.

        Args:
            path: where to, absolute; `book.copies.backup` gives it its name when it is whole.
            pages_per_slice: between two calls of `progress`.
            progress: told how many pages were copied, and of how many.
        """
        with BookReader(self._home) as own:
            own._copy_to(path, pages_per_slice, progress)

    def close(self) -> None:
        """Close; further use raises BookClosed."""
        with self._lock:
            self._connection.close()
            if self._run_lock_fd >= 0:
                os.close(self._run_lock_fd)
                self._run_lock_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- opening ---------------------------------------------------------------------------------

    def _verify_archive(self, verdict: Verdict, progress: StageProgress | None) -> Verdict:
        """Check the details that left the database, of a book whose chain verifies."""
        from hourbook.book.archive.check import judge  # noqa: PLC0415 - last step

        tell = None if progress is None else partial(progress, "archive")
        return self.query(
            lambda connection: judge(verdict, connection, self._home.archive_dir, tell)
        )

    def _verify_store(self, verdict: Verdict) -> Verdict:
        """Hold the store's tables against the entries, of a book whose chain verifies."""
        from hourbook.book.store.rebuild import judge_store  # noqa: PLC0415 - last step

        return self.query(partial(judge_store, verdict))

    def _open(self) -> sqlite3.Connection:
        path = self._home.book_db
        if not path.exists():
            raise errors.BookMissing(
                f"Expected a book, got none yet, at {path}",
                field=str(path),
                hint="run `supervisor start`, then log something",
            )
        try:
            return _connect(path, "mode=ro")
        except sqlite3.OperationalError as error:
            if schema.error_code(error) & 0xFF not in (
                sqlite3.SQLITE_CANTOPEN,
                sqlite3.SQLITE_READONLY,
            ):
                raise _unreadable(path, error) from None
        except sqlite3.DatabaseError as error:
            raise _unreadable(path, error) from None
        return self._open_immutable(path)

    def _open_immutable(self, path: Path) -> sqlite3.Connection:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise errors.HomeUnusable(
                    f"Expected to open the book, got: {error.strerror}, at {path}",
                    field=str(path),
                    hint="close what is no longer needed, or raise `ulimit -n`",
                ) from None
        if Path(f"{path}-wal").exists() or not self._take_run_lock():
            raise errors.NeedsWriter(
                f"Expected a book that can be read without its writer, got none such, at {path}",
                field=str(path),
                hint="run `supervisor start`, or read as a user who may write there",
            )
        return _connect(path, "immutable=1")

    def _take_run_lock(self) -> bool:
        """Hold the run lock shared, so that no tree can start; True where none can exist at all."""
        try:
            self._run_lock_fd = os.open(self._home.lock_file, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._run_lock_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    # -- queries ---------------------------------------------------------------------------------

    def _entries(self, sql: str, parameters: tuple[Any, ...]) -> list[Entry]:
        def read(connection: sqlite3.Connection) -> list[Entry]:
            rows = connection.execute(sql, parameters).fetchall()
            return attach(connection, self._archive, [entry_from_row(row) for row in rows])

        return self.query(read)

    def _fetch(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return self.query(lambda connection: connection.execute(sql, parameters).fetchall())

    def _copy_to(self, path: Path, pages_per_slice: int, progress: CopyProgress | None) -> None:
        def tell(_: int, remaining: int, total: int) -> None:
            if progress is not None:
                progress(total - remaining, total)

        self._connection.execute("BEGIN")
        self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        copy = sqlite3.connect(path, isolation_level=None)
        try:
            copy.execute("PRAGMA journal_mode=OFF")
            copy.execute("PRAGMA synchronous=OFF")
            self._connection.backup(copy, pages=pages_per_slice, progress=tell, sleep=0)
            copy.execute("PRAGMA journal_mode=DELETE")
        finally:
            copy.close()
            self._connection.rollback()


def _connect(path: Path, option: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.as_uri()}?{option}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=schema.BUSY_TIMEOUT_MS / 1000,
    )
    try:
        schema.check_identity(connection, path)
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def _unreadable(path: Path, error: sqlite3.DatabaseError) -> errors.HourbookError:
    if schema.error_code(error) & 0xFF == sqlite3.SQLITE_NOTADB:
        return errors.UnsupportedVersion(
            f"Expected a book, got a file that is no SQLite database, at {path}", field=str(path)
        )
    has_failed = schema.error_code(error) & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)
    return errors.BookCorrupt(
        f"Expected a readable book, got: {error}, at {path}",
        field=str(path),
        hint="is the disk full, or failing?"
        if has_failed
        else "run `hourbook verify`, then restore a backup",
    )
