"""The one writer of the book: a group of requests becomes one transaction and one signed commit.

Assumes that no other process writes (journal_writer's mailbox is the only way in). A group is
committed whole, fsync included, or not at all. No room on the disk is the caller's to hear and the
next group may succeed; any other failure of the disk is raised as it is and must end the process,
because after a failed fsync nobody knows what is on the disk, and asking again would lie.

A group holds plain appends and changes (``hourbook.book.changes``) in the order in which they came.
What is new, and what was seen, ``hourbook.book.admission`` tells.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, cast

from hourbook.book import journal, packed_rows, schema
from hourbook.book.admission import RESEND_WINDOW_NS, Admission
from hourbook.book.archive.shelf import ArchiveShelf
from hourbook.book.changes.group import Attempt, GroupAtWork, Kinds, attempt_bare
from hourbook.book.changes.kinds import KINDS
from hourbook.book.changes.outcomes import Outcome
from hourbook.book.changes.scope import Scope
from hourbook.book.proof.key_chain import next_key
from hourbook.book.proof.key_ring import KeyRing
from hourbook.book.proof.keys import SiteKey
from hourbook.book.proof.verify import verify_book
from hourbook.book.rows import COMMIT_COLUMNS, commit_from_row, insert_group
from hourbook.book.store.generations import Generations, Unread
from hourbook.book.store.key_files import KeyFiles
from hourbook.book.store.stage import KvStage
from hourbook.book.store.volatile import VolatileStage
from protocols import entry, errors
from protocols.book_messages import Append
from protocols.change import Change
from protocols.key_messages import KEY_ROTATE

__all__ = ["RESEND_WINDOW_NS", "START_CHECK_ENTRIES", "BookWriter", "Written"]

START_CHECK_ENTRIES: Final = 20_000
"""Entries verified at every start: about 60 ms. The whole book is verified every night."""

_T = TypeVar("_T")


class Written(NamedTuple):
    """What a group became.

    Attributes:
        rows: of its entries.
        records: of the feed ring, one for each of them.
        outcomes: of each of its changes.
        has_erased: details were dropped for good; what else holds them must be forgotten.
    """

    rows: list[journal.Row]
    records: list[bytes]
    outcomes: Sequence[Outcome]
    has_erased: bool = False


class BookWriter:
    """An open book, to be written by one thread.

    Attributes:
        admission: which requests are new.
        store: the keys of the store.
        head: where the book ends.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        keys: KeyRing,
        kinds: Kinds = KINDS,
        attempt: Attempt = attempt_bare,
        generations: Generations | None = None,
        volatile: VolatileStage | None = None,
    ) -> None:
        """Take over a prepared connection; use :meth:`open`."""
        self._connection = connection
        self._path = path
        self._keys = keys
        self._kinds, self._attempt = kinds, attempt
        self._shelf = ArchiveShelf(path.parent / "archive")
        self.admission = Admission(connection, kinds, volatile)
        self.store = KeyFiles(connection, KvStage(connection, generations or Unread()), volatile)
        self.head = _load_head(connection)

    @classmethod
    def open(
        cls,
        path: Path,
        keys_dir: Path,
        *,
        connect: schema.ConnectionFactory = schema.connect_writer,
        size_max_bytes: int = 0,
        kinds: Kinds = KINDS,
        attempt: Attempt = attempt_bare,
        generations: Generations | None = None,
        volatile: VolatileStage | None = None,
    ) -> "BookWriter":
        """Open or create a book, migrate it, and check where it ends.

        Args:
            path: of the database.
            keys_dir: holds the signing key; made with the book, never for a book that has one.
            connect: opens the file.
            size_max_bytes: (bytes; 0 is no limit).
            kinds: the changes that it knows.
            attempt: does each of them; by default their bugs end the group.
            generations: tell readers which keys may have changed; None: there are none.
            volatile: keys that are not journaled; None: such keys are refused.

        Raises:
            BookCorrupt: it does not verify, or SQLite cannot read it.
            UnsupportedVersion: it is not a book, or a newer one.
            HomeUnusable: the key is missing, wrong or unreadable.
            DiskFull: no room to create or migrate it.
        """
        _refuse_emptied(path, keys_dir)
        packed_rows.offer()
        try:
            connection = connect(path)
        except sqlite3.DatabaseError as error:
            raise _translate(error, path) from error
        try:
            schema.prepare(connection, path, size_max_bytes=size_max_bytes)
            keys = KeyRing.open(keys_dir, next_key(connection))
            writer = cls(connection, path, keys, kinds, attempt, generations, volatile)
            writer._check_end()
        except sqlite3.DatabaseError as error:
            connection.close()
            raise _translate(error, path) from error
        except BaseException:
            connection.close()
            raise
        return writer

    def commit(self, group: Sequence[Append], stamp: journal.Stamp) -> list[journal.Row]:
        """Write one group of appends as :meth:`write` does; return its rows."""
        return self.write(group, stamp).rows

    def write(
        self,
        group: Sequence[Append | Change],
        stamp: journal.Stamp,
        beside: Callable[[sqlite3.Connection], None] | None = None,
    ) -> Written:
        """Write one group durably: its entries, and what its changes do to the tables.

        A group that means no entry is a transaction without a signed commit.

        Args:
            group: requests that are new; the order of their entries is theirs.
            stamp: the clock's answer for all of them.
            beside: writes into the same transaction what is not journaled.

        Raises:
            DiskFull: no room; nothing of the group was written.
            sqlite3.Error: the disk failed; the process must end.
            OSError: the files of a new signing key could not be moved; the group is written.
        """
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            appends, outcomes = self._appends_of(group, stamp)
            sequenced, following = self._insert(appends, stamp)
            if beside is not None:
                beside(connection)
            self.store.announce()
            connection.execute("COMMIT")
        except BaseException as error:
            try:
                if connection.in_transaction:
                    connection.rollback()
            finally:
                self.store.abandon()
            self._keys.settle(None)
            self._shelf.settle(is_committed=False)
            if isinstance(error, sqlite3.Error) and schema.error_code(error) == sqlite3.SQLITE_FULL:
                raise _disk_full(self._path) from None
            raise
        self.store.settle()
        self.head = following
        rows, records = sequenced.rows, sequenced.records
        self.store.commit_volatile(outcomes, stamp.time_ns)
        if not outcomes:
            return Written(rows, records, outcomes)
        has_erased = self._shelf.settle(is_committed=True)
        self._keys.settle(_named_key(rows))
        return Written(rows, records, outcomes, has_erased)

    def _appends_of(
        self, group: Sequence[Append | Change], stamp: journal.Stamp
    ) -> tuple[Sequence[Append], list[Outcome]]:
        """Return what the group appends, once its changes are applied."""
        if not any(isinstance(request, Change) for request in group):
            return cast("Sequence[Append]", group), []
        about = self._connection, self.head.seq, stamp, self._keys, self._shelf, self.store
        work = GroupAtWork(self._kinds, group, Scope(*about))
        self._attempt(work)
        self.store.main.flush()
        return work.scope.appends, work.outcomes

    def _insert(
        self, appends: Sequence[Append], stamp: journal.Stamp
    ) -> tuple[journal.Sequenced, journal.Head]:
        """Sequence, hash, sign and insert the entries of a group; return them and the new head."""
        if not appends:
            return journal.Sequenced([], []), self.head
        count = sum([len(append.entries) for append in appends])
        salts = os.urandom(entry.SALT_SIZE * count)
        sequenced = journal.sequence(self.head, appends, stamp, salts)
        key = self._keys.current
        commit, following = journal.seal(self.head, sequenced.rows, key.public, key.sign)
        insert_group(self._connection, sequenced.records, commit)
        return sequenced, following

    def require_branch(self, number: int) -> None:
        """Check that there is a branch of this number.

        Raises:
            UnknownName: there is none, or it was deleted.
        """
        row = self._connection.execute(
            "SELECT 1 FROM branch WHERE number = ? AND deleted_seq IS NULL", (number,)
        ).fetchone()
        if row is None:
            raise errors.UnknownName(
                f"Expected the number of a branch, got {number}", field="branch", value=str(number)
            )

    def query(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what `read` finds in the book as it is between two groups."""
        return read(self._connection)

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
        """Return up to `pages` free pages to the file system; return how many are left.

        One by one, in one transaction: the pragma frees a page a step, and the standard library
        steps a statement without rows once.
        """
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(min(pages, self._free_pages())):
                connection.execute("PRAGMA incremental_vacuum(1)").fetchall()
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if connection.in_transaction:
                connection.rollback()
            if schema.error_code(error) == sqlite3.SQLITE_FULL:
                raise _disk_full(self._path) from None
            raise
        return self._free_pages()

    def _free_pages(self) -> int:
        return int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])

    def sweep_archive(self, *, force: bool = False) -> bool:
        """Remove archive files that nothing names; return False where it must be done later."""
        return self._shelf.sweep(self._connection, force=force)

    def wal_bytes(self) -> int:
        """Return the size of the log file (bytes)."""
        try:
            return Path(f"{self._path}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Close, leaving the log behind so that readers without write access still can read."""
        self.checkpoint()
        schema.close_writer(self._connection, self._path)

    # -- start -----------------------------------------------------------------------------------

    def _check_end(self) -> None:
        """Verify the last entries, so that nothing is ever appended to what is not the book."""
        row = self._connection.execute(
            "SELECT commit_no FROM signed_commit WHERE last_seq > ? ORDER BY last_seq LIMIT 1",
            (self.head.seq - START_CHECK_ENTRIES,),
        ).fetchone()
        verdict = verify_book(
            self._connection,
            from_commit=row[0] if row else 1,
            trusted_key=self._keys.current.public,
        )
        if not verdict.ok:
            raise errors.BookCorrupt(
                f"Expected a book that verifies, got a bad seq {verdict.first_bad_seq}:"
                f" {verdict.problem}, at {self._path}",
                field="seq",
                value=str(verdict.first_bad_seq),
                hint="run `hourbook verify`, then restore a backup",
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


def _named_key(rows: Sequence[journal.Row]) -> str | None:
    """Return the signing key that a group names for the next one."""
    return next((row[10] for row in reversed(rows) if row[8] == KEY_ROTATE), None)


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
