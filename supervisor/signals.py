"""Signals as bytes in the poll loop, so that none of them interrupts a decision half-way."""

import os
import signal
from types import FrameType
from typing import Any, Final

__all__ = ["Signals"]

_CAUGHT: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)


class Signals:
    """Catches SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGCHLD from construction to :meth:`close`."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._previous_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._previous: dict[signal.Signals, Any] = {
            number: signal.signal(number, _ignore) for number in _CAUGHT
        }

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._read_fd

    def take(self) -> bytes:
        """Return the numbers of the signals that came, one byte each."""
        try:
            return os.read(self._read_fd, 4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Put everything back as it was."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        os.close(self._read_fd)
        os.close(self._write_fd)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Exist: a Python handler makes the kernel's signal write its byte."""
