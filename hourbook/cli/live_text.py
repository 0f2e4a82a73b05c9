"""Instances and their differences as lines for people. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from hourbook.book.diffing import InstanceDiff, Side
from hourbook.book.digest import SessionState
from hourbook.cli.tables import table
from hourbook.instance_view import InstanceStatus
from hourbook.rfc3339 import format_utc_ns
from hourbook.words import age_text, counted

__all__ = ["diff_lines", "instance_json", "instance_lines", "session_lines"]

SEQS_SHOWN: Final = 10
GONE_SHOWN: Final = 20
"""Of the names that nobody holds any more; agents that call themselves anew each day are many."""
_S_NS: Final = 1_000_000_000


def instance_json(status: InstanceStatus) -> dict[str, Any]:
    """Return one instance as ``hourbook instances --json`` prints it."""
    return {
        "name": status.name,
        "alive": status.alive,
        "pid": status.pid,
        "pid_ns": status.pid_ns,
        "last_seen": format_utc_ns(status.last_seen_ns),
        "last_seen_ns": str(status.last_seen_ns),
        "position": status.position,
        "lag": status.lag,
    }


def instance_lines(
    statuses: Sequence[InstanceStatus], now_ns: int, own_pid_ns: int = 0
) -> list[str]:
    """Return a table of instances: all that live, and those that were heard of last.

    Args:
        statuses: of every name.
        now_ns: UTC.
        own_pid_ns: a pid of another namespace says of which.
    """
    alive = [each for each in statuses if each.alive]
    gone = sorted((e for e in statuses if not e.alive), key=lambda e: -e.last_seen_ns)
    rows = [("NAME", "ALIVE", "PID", "LAST SEEN", "POSITION", "LAG")]
    rows += [
        (
            each.name,
            "yes" if each.alive else "no",
            _pid_text(each, own_pid_ns),
            f"{age_text(max(0, now_ns - each.last_seen_ns) / _S_NS)} ago",
            "-" if each.position is None else str(each.position),
            "-" if each.lag is None else str(each.lag),
        )
        for each in (*alive, *gone[:GONE_SHOWN])
    ]
    left = len(gone) - GONE_SHOWN
    more = [f"and {counted(left, 'name', 'names')} heard of before; --json has all"]
    return table(rows) + (more if left > 0 else []) if statuses else ["no instance was ever here"]


def _pid_text(status: InstanceStatus, own_pid_ns: int) -> str:
    """Return a pid as ``ps`` would find it, or with its namespace as ``lsns`` lists it."""
    if status.pid_ns in (None, own_pid_ns):
        return str(status.pid or "-")
    return f"{status.pid} in {status.pid_ns}"


def diff_lines(diff: InstanceDiff) -> list[str]:
    """Return what two instances differ in."""
    said = "in sync" if diff.is_in_sync else "not in sync"
    lines = [f"{diff.a.name} and {diff.b.name} are {said}; the book ends at {diff.head_seq}"]
    return lines + _side_lines(diff.a, diff.b.name) + _side_lines(diff.b, diff.a.name)


def session_lines(sessions: Sequence[SessionState]) -> list[str]:
    """Return a table of sessions."""
    rows = [("SESSION", "STARTED", "BY", "ENTRIES", "LAST")]
    rows += [
        (
            each.name,
            format_utc_ns(each.started_ns, digits=0),
            each.started_by,
            str(each.entries),
            format_utc_ns(each.last_ns, digits=0),
        )
        for each in sessions
    ]
    return table(rows) if sessions else ["no session was ever started"]


def _side_lines(side: Side, other: str) -> list[str]:
    read = "never read" if side.position is None else f"has read to {side.position}"
    lines = [f"{side.name}: {read}, wrote {counted(side.wrote, 'entry', 'entries')}"]
    if side.unseen_count:
        seqs = ", ".join(map(str, side.unseen_seqs[:SEQS_SHOWN]))
        more = ", ..." if side.unseen_count > SEQS_SHOWN else ""
        unseen = counted(side.unseen_count, "entry", "entries")
        lines.append(f"  has not seen {unseen} that {other} has: {seqs}{more}")
    return lines
