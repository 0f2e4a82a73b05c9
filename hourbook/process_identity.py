"""Which process is which, for ever: boot, pid and start time. An edge: it reads /proc.

A pid alone is used again; with the tick in which its process began, and the boot in which that was,
it names one process that ever lived. Containers number their processes anew, so the namespace of a
pid belongs to it: whether a process of another one lives cannot be looked up here.
"""

import functools
import os
from pathlib import Path

from protocols.instance_messages import Holder
from shm.segment import current_boot_id

__all__ = ["is_alive", "is_elsewhere", "own_holder", "own_pid_ns", "start_ticks"]

_ENDED = (b"Z", b"X", b"x")


@functools.cache
def own_holder() -> Holder:
    """Return the identity of this process."""
    return Holder(current_boot_id(), os.getpid(), start_ticks("self") or 0, own_pid_ns())


@functools.cache
def own_pid_ns() -> int:
    """Return the namespace that this process's pid counts in; 0 where that cannot be told."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def is_elsewhere(holder: Holder) -> bool:
    """Return whether the process is of this boot, but of a pid namespace that is not ours."""
    unknown = 0
    here = (unknown, own_pid_ns())
    return holder.pid_ns not in here and holder.boot_id == current_boot_id()


def is_alive(holder: Holder) -> bool:
    """Return whether the process lives, as far as this one can see: not one that is elsewhere."""
    if is_elsewhere(holder):
        return False
    return holder.boot_id == current_boot_id() and start_ticks(holder.pid) == holder.start_ticks


def start_ticks(pid: int | str) -> int | None:
    """Return when a process began (clock ticks since boot); None when it is not there, or ended.

    For "self" the answer is right even where ``/proc`` is that of another pid namespace.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # Field 2 is the name in parentheses, and may itself hold any byte; 3 is the state, 22 ours.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in _ENDED else int(fields[19])


for _known in (own_holder, own_pid_ns):  # for the life of a process, and no longer
    os.register_at_fork(after_in_child=_known.cache_clear)
