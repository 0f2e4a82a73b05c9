"""The archive files of the one process that writes: new ones before a commit, old ones after it.

A file is written aside, synced, given its name and the name synced, before the commit that names
it; a file that the commit no longer names goes after that. So whatever the book names is there, and
a crash at any point leaves at most a file that nothing names: harmless, and removed at the next
start, or sweep.

Whoever copies the archive, or has made a file that no commit names yet, holds ``.lock`` in it,
shared: nothing is removed meanwhile. Files with names of another kind are not ours, and stay.
"""

import contextlib
import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hourbook.book.archive.frame_cache import file_name, is_file_name
from hourbook.book.durable import disk_full_as_error, sync_directory
from protocols import errors

__all__ = ["ArchiveShelf", "put_file", "sparing"]

_LOCK: Final = ".lock"
_TEMPORARY: Final = ".new-"


class ArchiveShelf:
    """The archive directory of one home, for the writer's one thread.

    Attributes:
        directory: of the files; made when the first one is.
    """

    def __init__(self, directory: Path) -> None:
        """Look at nothing yet."""
        self.directory = directory
        self._has_erased = self._is_sweep_due = False

    def put(self, content: bytes, first_seq: int, last_seq: int) -> tuple[str, bytes]:
        """Write a file durably; return its name and the SHA-256 of its bytes.

        Raises:
            DiskFull, HomeUnusable: there is no such file.
        """
        self._is_sweep_due = True
        return put_file(self.directory, content, first_seq, last_seq)

    def note_erased(self) -> None:
        """Say that the group under way drops details for good."""
        self._has_erased = self._is_sweep_due = True

    def settle(self, *, is_committed: bool) -> bool:
        """End a group; return whether it has dropped details for good."""
        has_erased, self._has_erased = self._has_erased and is_committed, False
        return has_erased

    def sweep(self, connection: sqlite3.Connection, *, force: bool = False) -> bool:
        """Remove the files that the book does not name; return False where it must be done later.

        Args:
            connection: of the writer, between two groups.
            force: look even where no file was put aside since the last time.
        """
        if not (self._is_sweep_due or force):
            return True
        named = {file for (file,) in connection.execute("SELECT file FROM archive")}
        try:
            self._is_sweep_due = self.directory.is_dir() and not self._remove_all_but(named)
        except OSError:  # whoever may not remove a file today may tomorrow
            self._is_sweep_due = True
        return not self._is_sweep_due

    def _remove_all_but(self, named: set[str]) -> bool:
        with _locked(self.directory, fcntl.LOCK_EX | fcntl.LOCK_NB) as is_locked:
            if not is_locked:
                return False
            for path in self.directory.iterdir():
                if path.name not in named and is_file_name(path.name.removeprefix(_TEMPORARY)):
                    path.unlink(missing_ok=True)
            sync_directory(self.directory)
        return True


def put_file(directory: Path, content: bytes, first_seq: int, last_seq: int) -> tuple[str, bytes]:
    """Write an archive file durably into `directory`; return its name and the SHA-256 of its bytes.

    Raises:
        DiskFull: no room; nothing is left of it.
        HomeUnusable: it cannot be written.
    """
    sha256 = hashlib.sha256(content).digest()
    name = file_name(first_seq, last_seq, sha256)
    temporary = directory / f"{_TEMPORARY}{name}"
    try:
        with disk_full_as_error("an archive file", directory):
            if not directory.is_dir():
                directory.mkdir(mode=0o700)
                sync_directory(directory.parent)
            try:
                _write_synced(temporary, content)
                temporary.replace(directory / name)
            finally:
                temporary.unlink(missing_ok=True)
            sync_directory(directory)
    except errors.DiskFull:
        raise
    except OSError as error:
        raise errors.HomeUnusable(
            f"Expected to write an archive file, got: {error.strerror}, at {directory}",
            field=str(directory),
        ) from None
    return name, sha256


@contextlib.contextmanager
def sparing(directory: Path) -> Iterator[None]:
    """Keep every file of an archive where it is for the length of a block; waits for a sweep."""
    if not directory.is_dir():
        yield
        return
    with _locked(directory, fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def _locked(directory: Path, operation: int) -> Iterator[bool]:
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _write_synced(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
