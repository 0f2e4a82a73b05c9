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

from supervisor import portable
from supervisor.child import INCARNATION_VARIABLE

__all__ = ["end_strays", "mark_of"]


def mark_of(name: str, incarnation: int) -> str:
    """Return the value of the variable that marks the descendants of one incarnation."""
    return f"{os.getpid()}/{name}/{incarnation}"


def end_strays(mark: str, own: Container[int]) -> int:
    """SIGKILL adopted processes with this mark; return how many were still alive."""
    needle = f"{INCARNATION_VARIABLE}={mark}".encode()
    count = 0
    for pid in _children():
        if pid not in own and needle in _environment(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            count += 1
    return count


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
