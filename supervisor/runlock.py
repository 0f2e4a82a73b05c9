"""One supervisor for each home: a lock that the kernel releases, however its holder ends."""

import fcntl
import os

from hourbook.home import Home
from protocols import errors

__all__ = ["RunLock"]


class RunLock:
    """Held from construction to :meth:`close`; the file stays, since unlinking it would race.

    Raises:
        AlreadyRunning: another supervisor holds it; the message names its pid.
    """

    def __init__(self, home: Home) -> None:
        self._fd = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise errors.AlreadyRunning(
                f"Expected no other supervisor, got pid {pid}, on home {home.path}",
                field="pid",
                value=pid,
                hint="`supervisor status` shows it, `supervisor stop` ends it",
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let the next supervisor in."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)
