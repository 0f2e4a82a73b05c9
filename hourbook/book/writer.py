"""The one writer of the book: a group of requests becomes one transaction and one signed commit.

Assumes that no other process writes (journal_writer's mailbox is the only way in). A group is
committed whole, fsync included, or not at all. No room on the disk is the caller's to hear and the
next group may succeed; any other failure of the disk is raised as it is and must end the process,
because after a failed fsync nobody knows what is on the disk, and asking again would lie.

Every nonce is written once. A request seen again is answered from its rows. Nonces above a writer's
highest cannot be in the book and skip the look-up; a lower one may still be new, since requests
overtake each other.
"""

import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from hourbook.book import journal, schema
from hourbook.book.keys import SiteKey
from hourbook.book.nonces import contents, last_nonce, overlap, require_same
from hourbook.book.rows import (
    COMMIT_COLUMNS,
    ENTRY_COLUMNS,
    INSERT_COMMIT,
    INSERT_ENTRY,
    commit_from_row,
    commit_row,
)
from hourbook.book.verify import verify_book
from protocols import entry, errors
from protocols.book_messages import Append

__all__ = ["RESEND_WINDOW_NS", "START_CHECK_ENTRIES", "BookWriter"]

RESEND_WINDOW_NS: Final = 24 * 3600 * 1_000_000_000
"""A first attempt older than this is forgotten: a resend of it is refused, not written twice."""
START_CHECK_ENTRIES: Final = 20_000
"""Entries verified at every start: about 60 ms. The whole book is verified every night."""
WRITERS_REMEMBERED_MAX: Final = 10_000


class BookWriter:
    """An open book, to be written by one thread."""

    def __init__(self, connection: sqlite3.Connection, path: Path, key: SiteKey) -> None:
        """Take over a prepared connection; use :meth:`open`."""
        self._connection = connection
        self._path = path
        self._key = key
        self._highest_nonce: dict[str, bytes] = {}
        self.head = _load_head(connection)

    @classmethod
    def open(
        cls,
        path: Path,
        keys_dir: Path,
        *,
        connect: schema.ConnectionFactory = schema.connect_writer,
        size_max_bytes: int = 0,
    ) -> "BookWriter":
        """Open or create a book, migrate it, and check where it ends.

        Args:
            path: of the database.
            keys_dir: holds the signing key; made with the book, never for a book that has one.
            connect: opens the file.
            size_max_bytes: (bytes; 0 is no limit).

        Raises:
            BookCorrupt: it does not verify, or SQLite cannot read it.
            UnsupportedVersion: it is not a book, or a newer one.
            HomeUnusable: the key is missing, wrong or unreadable.
            DiskFull: no room to create or migrate it.
        """
        _refuse_emptied(path, keys_dir)
        try:
            connection = connect(path)
        except sqlite3.DatabaseError as error:
            raise _translate(error, path) from error
        try:
            schema.prepare(connection, path, size_max_bytes=size_max_bytes)
            writer = cls(connection, path, _load_key(connection, keys_dir))
            writer._check_end()
        except sqlite3.DatabaseError as error:
            connection.close()
            raise _translate(error, path) from error
        except BaseException:
            connection.close()
            raise
        return writer

    def is_new(self, request: Append, pending: Iterable[Append], now_ns: int) -> bool:
        """Return whether a checked request is to be written; False when it already is, or waits.

        Args:
            request: to be judged.
            pending: requests accepted and not yet committed.
            now_ns: UTC.

        Raises:
            NonceExpired: its first attempt lies too far back to know what became of it.
            BadRequest: its nonces were used for other entries.
        """
        last = last_nonce(request)
        highest = self._highest_nonce.get(request.writer)
        if highest is None:
            highest = self._load_highest(request.writer)
        if request.nonce > highest:
            self._highest_nonce[request.writer] = last
            return True
        for other in pending:
            if other.writer == request.writer and overlap(other, request):
                require_same(contents(other), request)
                return False
        if self.recall(request):
            return False
        self._require_young(request, now_ns)
        self._highest_nonce[request.writer] = max(last, highest)
        return True

    def recall(self, request: Append) -> list[journal.Row]:
        """Return the rows that a request already has in the book; [] when it is not there.

        Raises:
            BadRequest: its nonces were used for other entries.
        """
        rows = self._connection.execute(
            f"SELECT {ENTRY_COLUMNS} FROM entry"  # noqa: S608 - constants
            " WHERE writer = ? AND nonce BETWEEN ? AND ? ORDER BY nonce",
            (request.writer, request.nonce, last_nonce(request)),
        ).fetchall()
        if rows:
            require_same([(row[7], row[8], row[9], row[10], row[13]) for row in rows], request)
        return rows

    def commit(self, group: Sequence[Append], stamp: journal.Stamp) -> list[journal.Row]:
        """Write one group durably; return its rows in the order of its requests.

        Raises:
            DiskFull: no room; nothing of the group was written.
            sqlite3.Error: the disk failed; the process must end.
        """
        count = sum(len(append.entries) for append in group)
        salts = os.urandom(entry.SALT_SIZE * count)
        rows = journal.sequence(self.head, group, stamp, salts)
        commit, following = journal.seal(self.head, rows, self._key.public, self._key.sign)
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT_ENTRY, rows)
            connection.execute(INSERT_COMMIT, commit_row(commit))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.rollback()
            if schema.error_code(error) == sqlite3.SQLITE_FULL:
                raise _disk_full(self._path) from None
            raise
        self.head = following
        return rows

    def checkpoint(self, *, truncate: bool = False) -> int:
        """Move the log into the database; return the size of the log file (bytes).

        A checkpoint that readers hold up, or that finds no room, is no failure: the log stays. It
        never waits for a reader, since an append would wait with it.
        """
        try:
            self._connection.execute("PRAGMA busy_timeout=0")
            mode = "TRUNCATE" if truncate else "PASSIVE"
            self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            self._connection.execute(f"PRAGMA busy_timeout={schema.BUSY_TIMEOUT_MS}")
        except sqlite3.OperationalError as error:
            harmless = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if schema.error_code(error) not in harmless:
                raise
        return self.wal_bytes()

    def vacuum(self, pages: int) -> int:
        """Return up to `pages` free pages to the file system; return how many are left."""
        try:
            self._connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
        except sqlite3.OperationalError as error:
            if schema.error_code(error) == sqlite3.SQLITE_FULL:
                raise _disk_full(self._path) from None
            raise
        return int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])

    def wal_bytes(self) -> int:
        """Return the size of the log file (bytes)."""
        try:
            return Path(f"{self._path}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Close, leaving -wal and -shm behind so that readers without write access still can read.

        SQLite deletes both when the last connection closes; a read-only one that is closed after
        ours cannot.
        """
        self.checkpoint()
        keeper = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        keeper.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        self._connection.close()
        keeper.close()

    # -- start -----------------------------------------------------------------------------------

    def _check_end(self) -> None:
        """Verify the last entries, so that nothing is ever appended to what is not the book."""
        row = self._connection.execute(
            "SELECT commit_no FROM signed_commit WHERE last_seq > ? ORDER BY last_seq LIMIT 1",
            (self.head.seq - START_CHECK_ENTRIES,),
        ).fetchone()
        verdict = verify_book(
            self._connection, from_commit=row[0] if row else 1, trusted_key=self._key.public
        )
        if not verdict.ok:
            raise errors.BookCorrupt(
                f"Expected a book that verifies, got a bad seq {verdict.first_bad_seq}:"
                f" {verdict.problem}, at {self._path}",
                field="seq",
                value=str(verdict.first_bad_seq),
                hint="run `hourbook verify`, then restore a backup",
            )

    # -- nonces ----------------------------------------------------------------------------------

    def _load_highest(self, writer: str) -> bytes:
        if len(self._highest_nonce) >= WRITERS_REMEMBERED_MAX:
            self._highest_nonce.clear()
        row = self._connection.execute(
            "SELECT max(nonce) FROM entry WHERE writer = ?", (writer,)
        ).fetchone()
        highest = self._highest_nonce[writer] = row[0] or b""
        return highest

    def _require_young(self, request: Append, now_ns: int) -> None:
        """Refuse a nonce that was passed over longer ago than the resend window.

        Counters are used in order: a later one of the same incarnation, written a day ago, says
        that this one was first sent before that.
        """
        row = self._connection.execute(
            "SELECT nonce, time_ns FROM entry WHERE writer = ? AND nonce > ?"
            " ORDER BY nonce LIMIT 1",
            (request.writer, request.nonce),
        ).fetchone()
        if row is None or row[0][:8] != request.nonce[:8]:
            return
        if now_ns - row[1] > RESEND_WINDOW_NS:
            raise errors.NonceExpired(
                f"Expected a nonce of the last 24 h, got one that {request.writer} passed"
                f" {(now_ns - row[1]) // 3_600_000_000_000} h ago",
                field="nonce",
                value=request.nonce.hex(),
            )


def _load_head(connection: sqlite3.Connection) -> journal.Head:
    row = connection.execute(
        f"SELECT {COMMIT_COLUMNS} FROM signed_commit ORDER BY last_seq DESC LIMIT 1"  # noqa: S608 - constants
    ).fetchone()
    if row is None:
        return journal.EMPTY_HEAD
    commit = commit_from_row(row)
    commit_id = entry.commit_id(entry.commit_header(commit), commit.signature)
    return journal.Head(commit.last_seq, commit.head_hash, commit.hlc, commit.commit_no, commit_id)


def _load_key(connection: sqlite3.Connection, keys_dir: Path) -> SiteKey:
    row = connection.execute(
        "SELECT key FROM signed_commit ORDER BY last_seq DESC LIMIT 1"
    ).fetchone()
    key = SiteKey.load(keys_dir)
    if row is None:
        return key or SiteKey.create(keys_dir)
    if key is None or key.public != row[0]:
        raise errors.HomeUnusable(
            f"Expected the key that signed the book ({row[0].hex()[:16]}...),"
            f" got {'none' if key is None else 'another'}, at {keys_dir}",
            field=str(keys_dir),
            hint="restore the key from a backup",
        )
    return key


def _refuse_emptied(path: Path, keys_dir: Path) -> None:
    """Refuse to begin a new book in a file that was emptied: a key says that there was one.

    A first start cannot leave this behind: its tables are there before its key is.
    """
    if path.is_file() and path.stat().st_size == 0 and SiteKey.load(keys_dir) is not None:
        raise errors.BookCorrupt(
            f"Expected the book that the key in {keys_dir} signed, got an empty file, at {path}",
            field=str(path),
            hint="restore a backup, or remove the file to begin a new book",
        )


def _disk_full(path: Path) -> errors.DiskFull:
    return errors.DiskFull(
        f"Expected room for the write, got a full disk or size limit, at {path}",
        field=str(path),
        hint="nothing of it was kept; free some space and send it again",
    )


def _translate(error: sqlite3.DatabaseError, path: Path) -> errors.HourbookError:
    code = schema.error_code(error) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return _disk_full(path)
    if code == sqlite3.SQLITE_NOTADB:
        return errors.UnsupportedVersion(
            f"Expected a book, got a file that is no SQLite database, at {path}",
            field=str(path),
            hint="move the file away",
        )
    if code == sqlite3.SQLITE_CORRUPT:
        return errors.BookCorrupt(
            f"Expected a readable database, got: {error}, at {path}",
            field=str(path),
            hint="restore a backup",
        )
    return errors.HomeUnusable(
        f"Expected to open the book for writing, got: {error}, at {path}", field=str(path)
    )
