"""Locks in the book: ``lock.acquire`` and ``lock.release``, and the leases that are held.

A grant, a release and an expiry are entries; the token of a lock is the seq of its grant, so tokens
rise for ever, also across restarts. Who is next, and whose time has come, is not known here:
journal_writer's lock desk asks for a grant when a lock is free, and for the release of one whose
holder has ended or is past its deadline.
"""

import sqlite3
from typing import Final

from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.journal import Row
from hourbook.book.store.leases import FREE, TTL_NS_MAX, TTL_NS_MIN, WAIT_NS_MAX, Lease
from protocols import errors
from protocols.change import check_change
from protocols.kv_keys import check_key, check_namespace
from protocols.kv_messages import AcquireLock, LockGranted, LockReleased, ReleaseLock

__all__ = ["ACQUIRE", "LEASE_COLUMNS", "RELEASE", "find_lease", "list_leases", "token_in_force"]

LEASE_COLUMNS: Final = ", ".join(Lease._fields)
_MARKS: Final = ", ".join("?" * len(Lease._fields))


def find_lease(connection: sqlite3.Connection, ns: str, key: str) -> Lease | None:
    """Return who holds a lock, as the book has it."""
    row = connection.execute(
        f"SELECT {LEASE_COLUMNS} FROM lease WHERE ns = ? AND key = ?",  # noqa: S608 - constants
        (ns, key),
    ).fetchone()
    return None if row is None else Lease(*row)


def list_leases(connection: sqlite3.Connection) -> list[Lease]:
    """Return every lock that is held, as the book has it."""
    rows = connection.execute(f"SELECT {LEASE_COLUMNS} FROM lease")  # noqa: S608 - constants
    return [Lease(*row) for row in rows]


def token_in_force(connection: sqlite3.Connection, ns: str, key: str) -> int:
    """Return the token of a lock, FREE where nobody holds it (see ``leases.require_token``)."""
    row = connection.execute(
        "SELECT token FROM lease WHERE ns = ? AND key = ?", (ns, key)
    ).fetchone()
    return FREE if row is None else int(row[0])


def _check_acquire(change: AcquireLock) -> None:
    check_change(change)
    check_namespace(change.ns, "ns")
    check_key(change.key)
    _check_range("ttl_ns", change.ttl_ns, TTL_NS_MIN, TTL_NS_MAX)
    _check_range("wait_ns", change.wait_ns, 0, WAIT_NS_MAX)


def _acquire(change: AcquireLock, scope: Scope) -> LockGranted:
    """Grant a lock that is free.

    Raises:
        LockTimeout: it is not; nobody waits here.
    """
    connection = scope.connection
    held = find_lease(connection, change.ns, change.key)
    if held is not None:
        raise errors.LockTimeout(
            f"Expected lock {change.ns}/{change.key} to be free; it is held by {held.writer}"
            f" (process {held.pid}, token {held.token})",
            field="key",
            value=change.key,
        )
    holder = change.holder
    details = {
        "pid": holder.pid,
        "pid_ns": holder.pid_ns,
        "start": holder.start_ticks,
        "boot": holder.boot_id.hex(),
        "ttl_ns": change.ttl_ns,
    }
    token = scope.record("lock.grant", "granted", f"{change.ns}/{change.key}", details)
    lease = Lease(
        *(change.ns, change.key, token, change.writer, change.nonce),
        *(holder.boot_id, holder.pid, holder.start_ticks, holder.pid_ns),
        *(scope.stamp.time_ns, change.ttl_ns),
    )
    connection.execute(f"INSERT INTO lease ({LEASE_COLUMNS}) VALUES ({_MARKS})", lease)  # noqa: S608 - constants
    return LockGranted(token)


def _check_release(change: ReleaseLock) -> None:
    check_change(change)
    check_namespace(change.ns, "ns")
    check_key(change.key)
    if change.reason:
        raise errors.BadRequest(
            f"Expected no `reason`, got {change.reason!r}: only journal_writer ends a lease that is"
            " not let go",
            field="reason",
            value=change.reason,
        )


def _release(change: ReleaseLock, scope: Scope) -> LockReleased:
    """End a lease that is in force under this token."""
    connection = scope.connection
    held = find_lease(connection, change.ns, change.key)
    if held is None or held.token != change.token:
        return LockReleased()
    connection.execute("DELETE FROM lease WHERE ns = ? AND key = ?", held.name)
    entity, details = f"{change.ns}/{change.key}", {"token": change.token}
    if change.reason:
        details_why = {**details, "holder": held.writer, "reason": change.reason}
        return LockReleased(scope.record("lock.expire", "expired", entity, details_why))
    return LockReleased(scope.record("lock.release", "released", entity, details))


def _check_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise errors.BadRequest(
            f"Expected `{field}` in {low}..{high}, got {value}", field=field, value=str(value)
        )


def _granted(_: AcquireLock, rows: list[Row]) -> LockGranted:
    return LockGranted(rows[0][0])


def _released(_: ReleaseLock, rows: list[Row]) -> LockReleased:
    return LockReleased(rows[0][0])


ACQUIRE: Final = ChangeKind("lock.acquire", AcquireLock, _check_acquire, _acquire, _granted)
RELEASE: Final = ChangeKind("lock.release", ReleaseLock, _check_release, _release, _released)
