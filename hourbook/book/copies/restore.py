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
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from hourbook.book.archive.attachments import copy_archive
from hourbook.book.copies.backup import ARCHIVE_SUFFIX, StageProgress
from hourbook.book.copies.book_file import (
    KEY_SUFFIX,
    PUBLIC_SUFFIX,
    check_file,
    head_of,
    open_book,
    unreadable,
    verify_file,
)
from hourbook.book.copies.rewind import find_cut, rewind
from hourbook.book.durable import disk_full_as_error, sync_directory, write_private
from hourbook.book.moment import Moment
from hourbook.book.proof.key_chain import next_key
from hourbook.book.proof.keys import KEY_FILE_NAME, PUBLIC_FILE_NAME, PUBLIC_KEY_SIZE, SiteKey
from hourbook.home import Home, prepare_home
from protocols import errors
from protocols.entry import Commit

__all__ = ["RestoreReport", "restore_book"]

STAGING: Final = ".restoring"
_LOCK: Final = "lock"
_BOOK: Final = "book.db"
_KEYS: Final = "keys"
_ARCHIVE: Final = "archive"
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
    seconds: float


def restore_book(
    source: Path,
    home: Home,
    *,
    to: Moment | None = None,
    key_file: Path | None = None,
    progress: StageProgress | None = None,
) -> RestoreReport:
    """Make `home` from the backup `source`.

    Args:
        source: a backup, or any file that holds a whole book; it is only read.
        home: new, or empty.
        to: restore no later commit than this.
        key_file: the signing key; else the one beside the backup, if there is one.
        progress: told of "copying" (pages) and "verifying" (entries).

    Raises:
        BadRequest: no such backup, or none of its commits is before `to`.
        AlreadyPresent: the home holds something.
        AlreadyRunning: a tree runs on it, or another restore.
        BookCorrupt, UnsupportedVersion: the backup does not verify, or is none.
        HomeUnusable: the home cannot be written, or the key is not that of the book.
        DiskFull: no room; nothing was restored.
    """
    started_ns = time.monotonic_ns()
    source = source.absolute()
    stage = progress or (lambda *_: None)
    with contextlib.closing(open_book(source)):
        trusted_key = _trusted_key(source)
    prepare_home(home)
    with (
        _sole_use(home),
        disk_full_as_error("the restored book", home.path),
        _staging(home) as staging,
    ):
        book = staging / _BOOK
        _copy(source, book, stage)
        verify_file(book, trusted_key, lambda done, total: stage("verifying", done, total))
        dropped = 0 if to is None else _cut(book, to, stage)
        head, demanded = _settle(book)
        public = demanded or trusted_key
        can_write = _stage_keys(source, staging / _KEYS, public, key_file)
        archive_files = copy_archive(_beside(source, ARCHIVE_SUFFIX), staging / _ARCHIVE)
        _put_in_place(staging, home)
    return RestoreReport(
        home=str(home.path),
        seq=0 if head is None else head.last_seq,
        commit=0 if head is None else head.commit_no,
        hash=None if head is None else head.head_hash.hex(),
        key=None if public is None else public.hex(),
        dropped=dropped,
        trusted="itself" if trusted_key is None else "backup",
        can_write=can_write,
        archive_files=archive_files,
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
    if (staging / _BOOK).exists() and not home.book_db.exists():
        # Killed while it was putting things in place: what is there came from it.
        for path in (home.keys_dir, home.archive_dir):
            shutil.rmtree(path, ignore_errors=True)
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
    for name in (_KEYS, _ARCHIVE):
        if (staging / name).is_dir():
            (staging / name).rename(home.path / name)
    sync_directory(home.path)
    (staging / _BOOK).rename(home.book_db)
    sync_directory(home.path)


# -- the book -------------------------------------------------------------------------------------


def _copy(source: Path, book: Path, stage: StageProgress) -> None:
    connection = open_book(source)
    copy = _open_copy(book)
    try:
        connection.backup(
            copy,
            pages=_COPY_PAGES,
            progress=lambda _, remaining, total: stage("copying", total - remaining, total),
        )
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise unreadable(source, error) from None
    finally:
        copy.close()
        connection.close()
    book.chmod(0o600)


def _cut(book: Path, to: Moment, stage: StageProgress) -> int:
    """Cut a copy that was verified; return how many entries went."""
    connection = _open_copy(book)
    try:
        commit = find_cut(connection, to)
        dropped = rewind(connection, commit)
    finally:
        connection.close()
    verify_file(book, commit.key, lambda done, total: stage("verifying", done, total))
    return dropped


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


# -- keys -----------------------------------------------------------------------------------------


def _trusted_key(source: Path) -> bytes | None:
    """Return the public key beside a backup; None where there is none.

    Raises:
        BookCorrupt: it is no key.
    """
    path = _beside(source, PUBLIC_SUFFIX)
    try:
        text = path.read_bytes()[: 4 * PUBLIC_KEY_SIZE]
    except FileNotFoundError:
        return None
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != PUBLIC_KEY_SIZE:
        raise errors.BookCorrupt(
            f"Expected {2 * PUBLIC_KEY_SIZE} hex digits, got something else, at {path}",
            field=str(path),
            hint="mend it, or move it away to trust the key that the book names itself",
        )
    return key


def _stage_keys(source: Path, keys: Path, public: bytes | None, key_file: Path | None) -> bool:
    """Prepare the directory of keys; return whether the book can be written with it."""
    if public is None:
        return False
    keys.mkdir(mode=0o700)
    write_private(keys / PUBLIC_FILE_NAME, public.hex().encode() + b"\n", 0o644)
    path = key_file or _beside(source, KEY_SUFFIX)
    if key_file is None and not path.exists():
        return False
    seed = _read_seed(path)
    if SiteKey(seed).public == public:
        write_private(keys / KEY_FILE_NAME, seed.hex().encode() + b"\n")
        return True
    if key_file is None:
        return False  # cut back to before a change of keys: the one beside the backup is newer
    raise errors.HomeUnusable(
        f"Expected the key that signs the book ({public.hex()[:16]}...), got another,"
        f" at {key_file}",
        field=str(key_file),
    )


def _read_seed(path: Path) -> bytes:
    check_file(path, "a signing key")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise errors.HomeUnusable(
            f"Expected a signing key of mode 0600, got {mode:04o}, at {path}",
            field=str(path),
            hint=f"chmod 600 {path}",
        )
    try:
        seed = bytes.fromhex(path.read_bytes()[:256].decode("ascii").strip())
    except ValueError:
        seed = b""
    if len(seed) != PUBLIC_KEY_SIZE:
        raise errors.HomeUnusable(
            f"Expected 64 hex digits, got something else, at {path}", field=str(path)
        )
    return seed


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
