"""Which process is which, for ever: boot, pid and start time. An edge: it reads /proc.

A pid alone is used again; with the tick in which its process began, and the boot in which that was,
it names one process that ever lived.
"""

import os
from pathlib import Path

from protocols.instance_messages import Holder
from shm.segment import current_boot_id

__all__ = ["is_alive", "own_holder", "start_ticks"]

_ENDED = (b"Z", b"X", b"x")


def own_holder() -> Holder:
    """Return the identity of this process."""
    pid = os.getpid()
    return Holder(current_boot_id(), pid, start_ticks(pid) or 0)


def is_alive(holder: Holder) -> bool:
    """Return whether the process lives, as far as this one can see."""
    return holder.boot_id == current_boot_id() and start_ticks(holder.pid) == holder.start_ticks


def start_ticks(pid: int) -> int | None:
    """Return when a process began (clock ticks since boot); None when it is not there, or ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # Field 2 is the name in parentheses, and may itself hold any byte; 3 is the state, 22 ours.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in _ENDED else int(fields[19])
