"""Who is there, and how far each one has read: for people, for programs and for `diff`. Pure.

Liveness of a name is that of the process that holds it; what was last heard says when it was there.
"""

import msgspec

from protocols.instance_messages import Instance

__all__ = ["InstanceStatus", "statuses"]


class InstanceStatus(msgspec.Struct, frozen=True):
    """One name of the book.

    Attributes:
        name: of the instance.
        alive: a living process holds it.
        pid: of that process, or of the last one; None for a name that only reads.
        pid_ns: the namespace that it counts in (inode of /proc/PID/ns/pid); None: unknown.
        last_seen_ns: UTC when it was last heard of.
        position: the last seq that it is done with; None where it never read.
        lag: how many entries it has yet to read; None where it never read.
    """

    name: str
    alive: bool
    pid: int | None
    pid_ns: int | None
    last_seen_ns: int
    position: int | None
    lag: int | None


def statuses(instances: list[Instance], head_seq: int, alive: set[str]) -> list[InstanceStatus]:
    """Return the status of every name, the living first, then by name.

    Args:
        instances: as the book or its writer says.
        head_seq: the last seq.
        alive: names whose holders live.
    """
    result = [
        InstanceStatus(
            name=each.name,
            alive=each.name in alive,
            pid=None if each.holder is None else each.holder.pid,
            pid_ns=None if each.holder is None else each.holder.pid_ns or None,
            last_seen_ns=each.seen_ns,
            position=each.position if each.position >= 0 else None,
            lag=max(0, head_seq - each.position) if each.position >= 0 else None,
        )
        for each in instances
    ]
    return sorted(result, key=lambda status: (not status.alive, status.name))
