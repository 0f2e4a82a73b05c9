"""A home from a backup: all of it or nothing, verified before anybody hears of it. An edge.

Everything is prepared in ``<home>/.restoring`` and put in place at the end, the database last,
while both locks of a running tree are held. A run that was killed leaves that directory; the next
one clears it and begins anew. A home with a book, keys or an archive of its own is never touched.

The book is verified as it was backed up, against the key beside it, before anything is cut: what
remains after a cut is then known to be what was signed.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from hourbook.book.archive.attachments import copy_archive, named_files, trim_archive
from hourbook.book.copies.book_file import head_of, open_book, unreadable, verify_file
from hourbook.book.copies.parts import ARCHIVE_SUFFIX, beside
from hourbook.book.copies.restored_keys import stage_keys, trusted_key
from hourbook.book.copies.rewind import find_cut, rewind
from hourbook.book.durable import disk_full_as_error, sync_directory
from hourbook.book.moment import Moment
from hourbook.book.proof.key_chain import next_key
from hourbook.book.proof.verify import StageProgress
from hourbook.home import Home, prepare_home
from protocols import errors
from protocols.entry import Commit

__all__ = ["RestoreReport", "restore_book"]

STAGING: Final = ".restoring"
_LOCK: Final = "lock"
_BOOK: Final = "book.db"
_KEYS: Final = "keys"
_ARCHIVE: Final = "archive"
_READY: Final = "ready"
"""Stands in the staging directory once everything is prepared: what is missing there was moved."""
_OURS: Final = frozenset((_LOCK, STAGING, "hourbook.toml"))
"""What an empty home may hold: the lock, what a killed restore left, a configuration."""
_COPY_PAGES: Final = 256
_NS: Final = 1e-9


class RestoreReport(msgspec.Struct, frozen=True):
    """What was restored; the JSON of ``hourbook restore``.

    Attributes:
        home: where it is now.
        seq: its last entry; 0 for an empty book.
        commit: its last commit.
        hash: of its last entry, hex; None for an empty book.
        key: the public key that must sign what follows, hex.
        dropped: entries of the backup that come after ``--to``.
        trusted: `backup` where the key beside the backup vouched for it; `itself` where there was
            none, and the book was only compared with the key that it names.
        can_write: the signing key is there, so that appending goes on.
        archive_files: restored with it.
        archive_problems: what is wrong with details in them, one line each.
        seconds: how long it took.
    """

    home: str
    seq: int
    commit: int
    hash: str | None
    key: str | None
    dropped: int
    trusted: str
    can_write: bool
    archive_files: int
    archive_problems: list[str]
    seconds: float


def restore_book(
    source: Path,
    home: Home,
    *,
    to: Moment | None = None,
    key_file: Path | None = None,
    accept_damage: bool = False,
    progress: StageProgress | None = None,
) -> RestoreReport:
    """Make `home` from the backup `source`.

    Args:
        source: a backup, or any file that holds a whole book; it is only read.
        home: new, or empty.
        to: restore no later commit than this.
        key_file: the signing key; else the one beside the backup, if there is one.
        accept_damage: restore although details in archive files are missing or damaged.
        progress: told of "copying" (pages), "verifying" (entries) and "archive" (files).

    Raises:
        BadRequest: no such backup, or none of its commits is before `to`.
        AlreadyPresent: the home holds something.
        AlreadyRunning: a tree runs on it, or another restore.
        BookCorrupt, UnsupportedVersion: the backup does not verify, or is none.
        ArchiveDamaged: an archive file of it is missing or damaged; the message names the first.
        HomeUnusable: the home cannot be written, or the key is not that of the book.
        DiskFull: no room; nothing was restored.
    """
    started_ns = time.monotonic_ns()
    source = source.absolute()
    tell: StageProgress = progress or (lambda *_: None)
    with contextlib.closing(open_book(source)):
        trusted = trusted_key(source)
    prepare_home(home)
    with (
        _sole_use(home),
        disk_full_as_error("the restored book", home.path),
        _staging(home) as staging,
    ):
        book, archive = staging / _BOOK, staging / _ARCHIVE
        _copy(source, book, tell)
        verify_file(book, trusted, tell)
        dropped, vouching = 0, trusted
        if to is not None:
            dropped, vouching = _cut(book, to)
        archive_files = _copy_archive(source, book, archive)
        problems = verify_file(book, vouching, tell, archive) if to or archive_files else []
        if problems and not accept_damage:
            raise _damaged(problems, source)
        head, demanded = _settle(book)
        public = demanded or trusted
        can_write = stage_keys(source, staging / _KEYS, public, key_file)
        _put_in_place(staging, home)
    return RestoreReport(
        home=str(home.path),
        seq=0 if head is None else head.last_seq,
        commit=0 if head is None else head.commit_no,
        hash=None if head is None else head.head_hash.hex(),
        key=None if public is None else public.hex(),
        dropped=dropped,
        trusted="itself" if trusted is None else "backup",
        can_write=can_write,
        archive_files=archive_files,
        archive_problems=problems,
        seconds=round((time.monotonic_ns() - started_ns) * _NS, 3),
    )


# -- the home -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _sole_use(home: Home) -> Iterator[None]:
    """Hold the locks that a supervisor would take, so that none can start meanwhile."""
    with contextlib.ExitStack() as stack:
        for path in (home.path / _LOCK, home.lock_file):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                raise errors.AlreadyRunning(
                    "Expected a home without a running tree,"
                    f" got {f'pid {pid}' if pid else 'one that is in use'}, on {home.path}",
                    field="pid",
                    value=pid,
                    hint="restore into another home",
                ) from None
        yield


@contextlib.contextmanager
def _staging(home: Home) -> Iterator[Path]:
    """Check that a home is empty, and yield a new directory in it; whatever is left of it goes."""
    staging = home.path / STAGING
    if (staging / _READY).exists() and not home.book_db.exists():
        # Killed while it was putting things in place: what is not here any more is there.
        for name in (_KEYS, _ARCHIVE):
            if not (staging / name).exists():
                shutil.rmtree(home.path / name, ignore_errors=True)
    found = sorted({path.name for path in home.path.iterdir()} - _OURS)
    if found:
        what = "a book" if _BOOK in found else found[0]
        raise errors.AlreadyPresent(
            f"Expected a new or empty home, got one with {what} in it, at {home.path}",
            field=str(home.path),
            hint="restore into another with --home DIR",
        )
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put_in_place(staging: Path, home: Home) -> None:
    (staging / _READY).touch()
    sync_directory(staging)
    for name in (_KEYS, _ARCHIVE):
        if (staging / name).is_dir():
            (staging / name).rename(home.path / name)
    sync_directory(home.path)
    (staging / _BOOK).rename(home.book_db)
    sync_directory(home.path)


# -- the book -------------------------------------------------------------------------------------


def _copy(source: Path, book: Path, tell: StageProgress) -> None:
    connection = open_book(source)
    copy = _open_copy(book)
    try:
        connection.backup(
            copy,
            pages=_COPY_PAGES,
            progress=lambda _, remaining, total: tell("copying", total - remaining, total),
        )
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise unreadable(source, error) from None
    finally:
        copy.close()
        connection.close()
    book.chmod(0o600)


def _cut(book: Path, to: Moment) -> tuple[int, bytes]:
    """Cut a copy that was verified; return how many entries went, and the key of its new head."""
    with contextlib.closing(_open_copy(book)) as connection:
        commit = find_cut(connection, to)
        return rewind(connection, commit), commit.key


def _copy_archive(source: Path, book: Path, archive: Path) -> int:
    """Copy the archive files that a copy names, without what was cut off; return how many."""
    with contextlib.closing(_open_copy(book)) as connection:
        names = named_files(connection)
        copy_archive(beside(source, ARCHIVE_SUFFIX), archive, names)
        head = head_of(connection)
        trim_archive(connection, archive, 0 if head is None else head.last_seq)
    return len(names)


def _damaged(problems: list[str], source: Path) -> errors.ArchiveDamaged:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return errors.ArchiveDamaged(
        f"Expected a whole archive, got: {problems[0]}{more}, at {source}{ARCHIVE_SUFFIX}",
        field=str(source),
        hint="restore another backup, or this one without those details: --accept-damage",
    )


def _settle(book: Path) -> tuple[Commit | None, bytes | None]:
    """Give a copy the log of a living book, and sync it; return its head, and what signs next."""
    connection = sqlite3.connect(book, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        head, demanded = head_of(connection), next_key(connection)
    finally:
        connection.close()
    descriptor = os.open(book, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return head, demanded


def _open_copy(book: Path) -> sqlite3.Connection:
    """Open a copy that nobody else sees: a crash throws it away, so nothing protects it."""
    connection = sqlite3.connect(book, isolation_level=None)
    connection.execute("PRAGMA journal_mode=MEMORY")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA secure_delete=ON")
    return connection
