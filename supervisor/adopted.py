"""Processes that became our children without our doing: strays of our actors, and strangers.

They come to us because we are a subreaper, or PID 1 of a container. A *stray* is a daemon that an
actor started with a double fork and ``setsid``, out of reach of a signal to the group. When its own
parent ends, the kernel makes it our child; its environment still says from which incarnation it
came. Once that incarnation is over, so is the stray. What carries no such mark is a *stranger*:
left alone, and reaped when it has ended.

``waitpid(-1)`` would also take the statuses of our own actors, whose causes of exit would then be
lost. So every zombie is looked at first (``WNOWAIT`` leaves it in place), and only a stranger is
taken.
"""

import contextlib
import os
import signal
from collections.abc import Container
from pathlib import Path
from typing import Final

from supervisor import portable

__all__ = ["Strays", "reap_strangers"]

_VARIABLE: Final = "HOURBOOK_INCARNATION"


class Strays:
    """The strays of one incarnation.

    Attributes:
        mark: to be put into its environment, and so into that of whoever descends from it.
    """

    def __init__(self, name: str, incarnation: int) -> None:
        self.mark = {_VARIABLE: f"{os.getpid()}/{name}/{incarnation}"}
        self._ending: set[int] = set()

    def end(self, own: Container[int]) -> bool:
        """SIGKILL those that were adopted; say whether none is left, not even as a zombie.

        To be asked again a little later: a stray may have children of its own, which come to us
        when it is gone. (A dying process loses its environment, and so its mark, before it is dead:
        that is why those already killed are remembered.)
        """
        self._ending -= {pid for pid in self._ending if _is_reaped(pid)}
        needle = f"{_VARIABLE}={self.mark[_VARIABLE]}".encode()
        for pid in _children():
            if pid not in own and pid not in self._ending and needle in _environment(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self._ending.add(pid)
        return not self._ending


def reap_strangers(own: Container[int]) -> list[int]:
    """Reap every ended child that is not in `own`; return their pids.

    A zombie of our own hides those behind it. To be called after our own exits were reaped; what is
    still hidden is found at the next call.
    """
    if portable.is_portable():
        return []  # without subreapers nothing comes to us
    reaped: list[int] = []
    while True:
        try:
            info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return reaped
        if info is None or info.si_pid in own:
            return reaped
        os.waitid(os.P_PID, info.si_pid, os.WEXITED | os.WNOHANG)
        reaped.append(info.si_pid)


def _is_reaped(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    except ChildProcessError:
        return True  # with the strangers, meanwhile


def _children() -> list[int]:
    own = os.getpid()
    try:  # one read, where the kernel offers it, instead of a walk over all of /proc
        text = Path(f"/proc/{own}/task/{own}/children").read_text(encoding="ascii")
    except OSError:
        return portable.children_of_this_process()
    return [int(word) for word in text.split()]


def _environment(pid: int) -> list[bytes]:
    """Return the environment that a process was started with; a zombie has none left."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
