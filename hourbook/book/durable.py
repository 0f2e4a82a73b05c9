"""Files that are whole or not there: written aside, synced, then put in place. An edge.

Nothing here overwrites a file unless it is told to, and what it writes only its owner can read.
"""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hourbook.book.schema import error_code
from protocols import errors

__all__ = [
    "disk_full_as_error",
    "place",
    "remove_remains",
    "sync_directory",
    "write_new",
    "write_private",
]

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)
"""What a file system without hard links answers (vfat, some network mounts)."""


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a small file durably, replacing one of this name.

    Raises:
        OSError: as the system says it; nothing was replaced.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, and sync it; its name is not synced.

    Raises:
        OSError: as the system says it; half of it may be there.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def remove_remains(path: Path) -> None:
    """Remove what a killed :func:`write_private` has left; nobody else may be writing it.

    Raises:
        OSError: as the system says it.
    """
    for left in path.parent.glob(f".{path.name}.[0-9]*"):
        left.unlink()


def place(temporary: Path, target: Path, *, replace: bool) -> None:
    """Give a finished file or directory its name, durably.

    Args:
        temporary: on the same file system; synced already.
        target: what it shall be called.
        replace: take the place of a file of that name; else it is left alone.

    Raises:
        FileExistsError: there is one of that name, and it was not to be replaced.
    """
    if temporary.is_dir():
        temporary.rename(target)  # fails where the target is there, and holds anything
    elif replace:
        temporary.replace(target)
    else:
        _link(temporary, target)
    sync_directory(target.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def disk_full_as_error(what: str, path: Path) -> Iterator[None]:
    """Turn what SQLite or the system says about a full disk into DiskFull.

    Args:
        what: there should have been room for, such as ``a backup``.
        path: where.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        code = error_code(error)
        if code & 0xFF != sqlite3.SQLITE_FULL and code != sqlite3.SQLITE_IOERR_SHMSIZE:
            raise
        raise _disk_full(what, path) from None
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise _disk_full(what, path) from None


def _disk_full(what: str, path: Path) -> errors.DiskFull:
    return errors.DiskFull(
        f"Expected room for {what}, got a full disk, at {path}",
        field=str(path),
        hint="nothing of it was kept; make room and run it again",
    )


def _link(temporary: Path, target: Path) -> None:
    """Rename unless the name is taken: a link cannot overwrite, a rename would."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        temporary.rename(target)
        return
    temporary.unlink()
