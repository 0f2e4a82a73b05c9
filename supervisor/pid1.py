"""Reap what is not ours: orphans that came to us as PID 1 of a container or as a subreaper.

``waitpid(-1)`` would also take the statuses of our own actors, whose causes of exit would then be
lost. So every zombie is looked at first (``WNOWAIT`` leaves it in place), and only a stranger is
taken.
"""

import os
from collections.abc import Container

from supervisor import portable

__all__ = ["is_pid1", "reap_strangers"]


def is_pid1() -> bool:
    """Say whether this process is the init of its container."""
    return os.getpid() == 1


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
