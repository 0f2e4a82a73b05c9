"""One supervisor for each home: two locks that the kernel releases, however their holder ends.

One lies in the run directory, and what we hold there says whether that directory is still ours:
logind removes such directories under running trees. The other lies in the home, so that even then
no second tree, and with it no second journal writer, can share it.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from hourbook.home import Home
from protocols import errors
from shm import segment

__all__ = ["RunLock"]


class RunLock:
    """Held from construction to :meth:`close`; the files stay, since unlinking them would race.

    Raises:
        AlreadyRunning: another supervisor holds one of them; the message names its pid.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        with contextlib.ExitStack() as stack:
            self._home_fd = _lock(home.path / "lock", home)
            stack.callback(os.close, self._home_fd)
            self._fd = _lock(home.lock_file, home)
            stack.pop_all()

    def is_held(self) -> bool:
        """Say whether the run directory is the one that we locked, not gone and not another's."""
        try:
            found = self._home.lock_file.stat()
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._fd))

    def remove_sockets(self) -> None:
        """Remove the mailboxes of actors that could not do so themselves, while they are ours."""
        if self.is_held():
            for path in self._home.run_dir.glob("*.sock"):
                path.unlink(missing_ok=True)

    def close_segment(self) -> None:
        """Say in the segment that all has stopped: held, so that nobody opens it meanwhile."""
        if self.is_held():
            segment.mark_closed(self._home.segment)

    def close(self) -> None:
        """Let the next supervisor in."""
        for fd in (self._fd, self._home_fd):
            os.ftruncate(fd, 0)
            os.close(fd)


def _lock(path: Path, home: Home) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise errors.AlreadyRunning(
            f"Expected no other supervisor, got pid {pid}, on home {home.path}",
            field="pid",
            value=pid,
            hint="`supervisor status` shows it, `supervisor stop` ends it",
        ) from None
    except OSError:
        os.close(fd)
        raise
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
