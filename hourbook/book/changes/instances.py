"""Names that processes hold: ``instance.register`` and ``instance.release``.

A name is held by one process at a time, told apart by boot, pid, pid namespace and start time.
Whether that process lives is not known here; journal_writer watches it, and releases the name of a
dead one by a change of its own before anything else is applied.
"""

import sqlite3
from typing import Any, Final

from hourbook.book.changes.scope import ChangeKind, Scope
from protocols import errors
from protocols.change import check_change
from protocols.instance_messages import Holder, Register, Registered, Release, Released
from protocols.names import check_name

__all__ = ["REGISTER", "RELEASE"]

_REASONS: Final = ("closed", "ended", "silent", "rebooted")


def _register(change: Register, scope: Scope) -> Registered:
    name, holder = change.writer, change.holder
    connection = scope.connection
    held = _holder_of(connection, name)
    if held is not None and held[0] != holder:
        raise _taken(name, held[0], holder)
    seq = scope.head_seq
    if held is None:
        details = {
            "pid": holder.pid,
            "pid_ns": holder.pid_ns,
            "start": holder.start_ticks,
            "boot": holder.boot_id.hex(),
        }
        seq = scope.record("instance.register", "registered", name, details)
    now_ns = scope.stamp.time_ns
    connection.execute(
        "INSERT INTO instance (name, boot_id, pid, pid_ns, start_ticks, connection,"
        " registered_seq, registered_ns, seen_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET boot_id = excluded.boot_id, pid = excluded.pid,"
        " pid_ns = excluded.pid_ns, start_ticks = excluded.start_ticks,"
        " connection = excluded.connection,"
        " registered_seq = iif(released_seq IS NULL, registered_seq, excluded.registered_seq),"
        " registered_ns = iif(released_seq IS NULL, registered_ns, excluded.registered_ns),"
        " released_seq = NULL, seen_ns = excluded.seen_ns",
        (
            name,
            holder.boot_id,
            holder.pid,
            holder.pid_ns,
            holder.start_ticks,
            change.nonce[:8],
            seq,
            now_ns,
            now_ns,
        ),
    )
    connection.execute("INSERT OR IGNORE INTO cursor VALUES (?, ?, ?)", (name, seq, now_ns))
    position = connection.execute("SELECT position FROM cursor WHERE name = ?", (name,)).fetchone()[
        0
    ]
    return Registered(seq if held is None else 0, position)


def _check_release(change: Release) -> None:
    check_change(change)
    check_name(change.name, "name")
    if change.reason not in _REASONS:
        raise errors.BadRequest(
            f"Expected `reason` to be one of {', '.join(_REASONS)}, got {change.reason!r}",
            field="reason",
        )


def _release(change: Release, scope: Scope) -> Released:
    """Let a name go that this connection, or a process found dead, holds."""
    held = _holder_of(scope.connection, change.name)
    is_ours = change.reason != "closed" or (held is not None and held[1] == change.nonce[:8])
    if held is None or held[0] != change.holder or not is_ours:
        return Released(0)
    details = {"pid": change.holder.pid, "reason": change.reason}
    seq = scope.record("instance.release", "released", change.name, details)
    scope.connection.execute(
        "UPDATE instance SET released_seq = ?, seen_ns = max(seen_ns, ?) WHERE name = ?",
        (seq, scope.stamp.time_ns if change.reason == "closed" else 0, change.name),
    )
    return Released(seq)


def _holder_of(connection: sqlite3.Connection, name: str) -> tuple[Holder, bytes] | None:
    row: Any = connection.execute(
        "SELECT boot_id, pid, start_ticks, pid_ns, connection FROM instance"
        " WHERE name = ? AND released_seq IS NULL",
        (name,),
    ).fetchone()
    return None if row is None else (Holder(*row[:4]), row[4])


def _taken(name: str, holder: Holder, asking: Holder) -> errors.NameTaken:
    where = "" if holder.pid_ns == asking.pid_ns else " of another pid namespace"
    return errors.NameTaken(
        f"Expected a name that nobody holds, got {name!r}, which process {holder.pid}{where} holds",
        field="name",
        value=name,
        hint=f"choose another name, or end process {holder.pid}{where}",
    )


REGISTER: Final = ChangeKind("instance.register", Register, check_change, _register)
RELEASE: Final = ChangeKind("instance.release", Release, _check_release, _release)
