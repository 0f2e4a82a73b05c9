"""Who may write where: open-file-description locks on byte ranges of the segment.

An OFD lock belongs to the open file, not to the process: it conflicts even within one process, it
is not lost when another descriptor of the same file is closed (as POSIX locks are), it covers a
range (flock locks the whole file), and the kernel drops it when its holder dies. What it does share
is fork: a child inherits the open file, and would hold the lock after its parent's death, so a
forked child closes its copy at once.
"""

import contextlib
import errno
import fcntl
import os
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protocols import errors
from shm.layout import Region

__all__ = ["RegionLock", "build_lock"]

_FLOCK: Final = struct.Struct("@hhqqi0q")
"""struct flock: type, whence, start, length, pid; padded as the C compiler does."""


class RegionLock:
    """The right to write one region of one segment, held until :meth:`close` or death."""

    def __init__(self, descriptor: int, path: Path, region: Region) -> None:
        """Take the lock; `descriptor` is owned from here on, and closed when it cannot be had.

        Raises:
            AlreadyRunning: another writer holds the region.
        """
        self._descriptor = descriptor
        try:
            _set_lock(descriptor, region.offset, region.size, wait=False)
        except OSError as error:
            self.close()
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise errors.AlreadyRunning(
                f"Expected to be the only writer of region {region.name!r},"
                f" got another one at work, at {path}",
                field=region.name,
                hint="supervisor status shows who it is",
            ) from None
        _held.add(self)

    def close(self) -> None:
        """Give the region up."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


@contextlib.contextmanager
def build_lock(path: Path) -> Iterator[None]:
    """Hold the right to build, close or revive the segment at `path`; waits for it.

    The lock file lies beside the segment, because the segment itself is what gets replaced.
    """
    lock_path = path.with_name(path.name + ".lock")
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _set_lock(descriptor, 0, 1, wait=True)
        yield
    finally:
        os.close(descriptor)


_held: weakref.WeakSet[RegionLock] = weakref.WeakSet()


def _set_lock(descriptor: int, start: int, size: int, *, wait: bool) -> None:
    request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, size, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, request)


def _forget_in_child() -> None:
    for lock in list(_held):
        lock.close()


os.register_at_fork(after_in_child=_forget_in_child)
