"""What left its actor's group, and found its way to us because we are a subreaper.

A daemon that an actor started with a double fork and ``setsid`` is out of reach of a signal to the
group. When its own parent ends, the kernel makes it our child; its environment still says from
which incarnation it came. Once that incarnation is over, so is the stray. What carries no such mark
(orphans of a container whose PID 1 we are) is left alone, and only reaped.
"""

import contextlib
import os
import signal
from collections.abc import Container
from pathlib import Path
from typing import Final

from supervisor import portable

__all__ = ["Strays"]

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
