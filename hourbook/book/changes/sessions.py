"""Named stretches of work: ``session.start``.

A session is a name that entries carry. It has no end: whoever writes under its name is in it, on
any day, from any instance. Starting one again goes on with it.
"""

from hourbook.book.changes.scope import ChangeKind, Scope
from protocols import entry, errors
from protocols.change import check_change
from protocols.names import check_name
from protocols.session_messages import SessionStarted, StartSession

__all__ = ["START_SESSION"]


def _check(change: StartSession) -> None:
    check_change(change)
    check_name(change.name, "name")
    if change.session != change.name:
        raise errors.BadRequest(
            f"Expected `session` to be {change.name!r}, the session that begins,"
            f" got {change.session!r}",
            field="session",
            value=change.session,
        )
    size = len(change.purpose.encode())
    if size > entry.KEY_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected `purpose` of at most {entry.KEY_BYTES_MAX} bytes, got {size}",
            field="purpose",
            value=str(size),
        )


def _start(change: StartSession, scope: Scope) -> SessionStarted:
    connection, name = scope.connection, change.name
    known = connection.execute("SELECT 1 FROM session WHERE name = ?", (name,)).fetchone()
    details = {"purpose": change.purpose} if change.purpose else None
    seq = scope.record("session.start", "started" if known is None else "resumed", name, details)
    if known is None:
        values = (name, seq, scope.stamp.time_ns, change.writer)
        connection.execute("INSERT INTO session VALUES (?, ?, ?, ?)", values)
    return SessionStarted(seq, known is None)


START_SESSION = ChangeKind("session.start", StartSession, _check, _start)
