"""The parts of a backup: how they are called, while it is made too, and how they go. An edge.

FILE is the database, and what belongs to it is named after it. While it is made, FILE is
``.FILE.partial``, locked by who makes it, and so are the names of its parts.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hourbook.book.copies.book_file import KEY_SUFFIX, PUBLIC_SUFFIX
from protocols import errors

__all__ = [
    "ARCHIVE_SUFFIX",
    "backup_files",
    "beside",
    "clear_remains",
    "remove",
    "remove_backup",
    "temporary_of",
]

ARCHIVE_SUFFIX: Final = ".archive"
"""After the name of a backup: the directory of its archive files."""
_PARTIAL_SUFFIX: Final = ".partial"


def beside(path: Path, suffix: str) -> Path:
    """Return the name of a part of the backup `path`."""
    return path.with_name(path.name + suffix)


def backup_files(target: Path) -> list[Path]:
    """Return every name that a backup to `target` may have, its own last."""
    suffixes = (PUBLIC_SUFFIX, KEY_SUFFIX, ARCHIVE_SUFFIX)
    return [*(beside(target, suffix) for suffix in suffixes), target]


@contextlib.contextmanager
def temporary_of(target: Path) -> Iterator[Path]:
    """Yield an empty file beside `target` that is ours alone; whatever is left of it goes."""
    path = target.with_name(f".{target.name}{_PARTIAL_SUFFIX}")
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.AlreadyRunning(
                f"Expected no other backup to {target}, got one that is under way"
            ) from None
        os.fchmod(descriptor, 0o600)
        try:
            _clear_remains(path)
            os.ftruncate(descriptor, 0)
            yield path
        finally:
            _clear_remains(path)
            if os.path.lexists(path) and os.path.samestat(path.lstat(), os.fstat(descriptor)):
                path.unlink()
    finally:
        os.close(descriptor)  # last: it would drop the locks that SQLite holds on the file


def _clear_remains(temporary: Path) -> None:
    """Remove what stands beside a temporary file, from this run or one that was killed."""
    for suffix in ("-journal", "-wal", "-shm", PUBLIC_SUFFIX, KEY_SUFFIX):
        beside(temporary, suffix).unlink(missing_ok=True)
    shutil.rmtree(beside(temporary, ARCHIVE_SUFFIX), ignore_errors=True)


def clear_remains(directory: Path, name_glob: str) -> None:
    """Remove what killed runs left in a directory of backups: half copies, and parts without one.

    Args:
        directory: of backups.
        name_glob: fits the names of the backups that are ours to clear.
    """
    for path in directory.glob(f".{name_glob}{_PARTIAL_SUFFIX}"):
        target = path.with_name(path.name[1 : -len(_PARTIAL_SUFFIX)])
        with contextlib.suppress(errors.AlreadyRunning), temporary_of(target):
            pass
    for suffix in (PUBLIC_SUFFIX, KEY_SUFFIX, ARCHIVE_SUFFIX):
        for path in directory.glob(f"{name_glob}{suffix}"):
            if not path.with_name(path.name.removesuffix(suffix)).exists():
                remove(path)


def remove_backup(target: Path) -> None:
    """Remove a backup, with everything beside it; FILE itself first."""
    for path in reversed(backup_files(target)):
        remove(path)


def remove(path: Path) -> None:
    """Remove a part, where it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
