"""What has been going on: the recent past of a book, as much as fits an agent's context. An edge.

Bounded on purpose: however long the book, a digest reads the same number of rows. Bookkeeping of
ours (``instance.*``) is not what anybody did, and left out of the actions.
"""

import sqlite3
from typing import Any, Final

import msgspec

from hourbook.book.archive.detached import attach_beside
from hourbook.book.instances import list_instances
from hourbook.book.rows import ENTRY_COLUMNS, entry_from_row
from hourbook.book.store.shared_keys import Shared, read_shared
from hourbook.process_identity import is_alive, is_elsewhere
from protocols import errors, wire
from protocols.entry import Entry
from protocols.instance_messages import Holder

__all__ = [
    "DECISIONS",
    "SUMMARY_LIMITS",
    "Active",
    "Digest",
    "DigestLimits",
    "EntityState",
    "Locked",
    "SessionState",
    "digest_of",
    "find_session",
    "head_seq",
    "last_session",
    "list_sessions",
    "read_digest",
]

DECISIONS: Final = ("decided", "decision")
"""Actions that are decisions; they have an index of their own (schema_2.sql)."""
LOCKS_MAX: Final = 50
_NO_BOOKKEEPING: Final = (
    "kind NOT IN ('instance.register', 'instance.release',"
    " 'lock.grant', 'lock.release', 'lock.expire')"
)
_MAIN: Final = "branch = 0"
_OF_SESSION: Final = "session = ? AND session <> ''"
"""Spelled as in the partial index, or every entry of the book would be read."""
_SESSIONS: Final = """
WITH RECURSIVE known(name) AS (
    SELECT min(session) FROM entry INDEXED BY entry_session WHERE session <> ''
    UNION ALL
    SELECT (
        SELECT min(session) FROM entry INDEXED BY entry_session
        WHERE session > name AND session <> ''
    ) FROM known WHERE name IS NOT NULL
)
SELECT
    name,
    (SELECT count(*) FROM entry INDEXED BY entry_session WHERE session = name AND session <> ''),
    (SELECT min(seq) FROM entry INDEXED BY entry_session WHERE session = name AND session <> ''),
    (SELECT max(seq) FROM entry INDEXED BY entry_session WHERE session = name AND session <> '')
        AS last_seq
FROM known WHERE name IS NOT NULL ORDER BY last_seq DESC
"""
"""From name to name in the index: a GROUP BY takes five times as long at 10^6 entries."""


class DigestLimits(msgspec.Struct, frozen=True):
    """How much a digest holds (counts, >= 0).

    Attributes:
        recent: last actions.
        entities: things that something was done to lately.
        decisions: last decisions, however old.
        shared: keys of the store of type shared.
        window: entries that are looked back over for actions and entities.
    """

    recent: int = 20
    entities: int = 30
    decisions: int = 20
    shared: int = 30
    window: int = 5000


SUMMARY_LIMITS: Final = DigestLimits(
    recent=30, entities=100, decisions=50, shared=100, window=20_000
)
"""What people get who ask once: more than an agent's context."""


class EntityState(msgspec.Struct, frozen=True):
    """What is known of one thing: the last that was done to it, and how often anything was."""

    last: Entry
    count: int


class Active(msgspec.Struct, frozen=True):
    """A living instance, and the last that it did within the window."""

    name: str
    pid: int
    last: Entry | None


class SessionState(msgspec.Struct, frozen=True):
    """One session.

    Attributes:
        name: of the session.
        started_ns: UTC of its first entry.
        started_by: who wrote that.
        first_seq: of its first entry.
        last_seq: of its last entry.
        last_ns: UTC of that.
        entries: how many it has.
    """

    name: str
    started_ns: int
    started_by: str
    first_seq: int
    last_seq: int
    last_ns: int
    entries: int


class Locked(msgspec.Struct, frozen=True):
    """A lock of the store that is held.

    Attributes:
        namespace: of the key.
        key: what is locked.
        writer: the instance that holds it.
        pid: its process.
        token: the seq of the grant.
    """

    namespace: str
    key: str
    writer: str
    pid: int
    token: int


class Digest(msgspec.Struct, frozen=True):
    """The recent past, newest first.

    Attributes:
        head: the last entry; None in an empty book.
        entries: how many entries the book has, or the session.
        since_seq: actions and entities are of what follows this seq.
        recent: last actions.
        entities: state of each thing, the last touched first.
        decisions: last decisions.
        active: who is there.
        shared: keys of the store that all agents are shown, the last written first.
        locked: the locks of the store that living processes hold, the last granted first.
        session: what it is limited to, or None.
    """

    head: Entry | None
    entries: int
    since_seq: int
    recent: list[Entry]
    entities: list[EntityState]
    decisions: list[Entry]
    active: list[Active]
    shared: list[Shared] = []
    locked: list[Locked] = []
    session: SessionState | None = None


def head_seq(connection: sqlite3.Connection) -> int:
    """Return the last seq; 0 for an empty book."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0])


def read_digest(
    connection: sqlite3.Connection,
    limits: DigestLimits,
    now_ns: int,
    session: SessionState | None = None,
) -> Digest:
    """Return what was done last, to what, what was decided, and who is there.

    Args:
        connection: to read.
        limits: how much of it.
        now_ns: UTC, by which time limits of keys are judged.
        session: only what was written in this session.
    """
    head = head_seq(connection)
    values: tuple[str, ...] = ()
    if session is None:
        since, where = max(0, head - limits.window), _NO_BOOKKEEPING
    else:
        since, where = _since(connection, session.name, limits.window), _OF_SESSION
        values = (session.name,)
    bounds: tuple[Any, ...] = (since, *values)
    recent = _entries(
        connection,
        f"seq > ? AND {_MAIN} AND {where} ORDER BY seq DESC LIMIT {limits.recent}",
        bounds,
    )
    return Digest(
        head=_entry(connection, head),
        entries=head if session is None else session.entries,
        since_seq=since,
        recent=recent,
        entities=_entities(connection, where, bounds, limits.entities),
        decisions=_decisions(connection, session, limits.decisions),
        active=_active(connection, since),
        shared=read_shared(connection, limits.shared, now_ns),
        locked=_locked(connection),
        session=session,
    )


def digest_of(
    connection: sqlite3.Connection, session: str | None, limits: DigestLimits, now_ns: int
) -> Digest:
    """Return the digest of the book, or of one of its sessions, at `now_ns` (UTC).

    Raises:
        UnknownName: nothing was ever written in this session.
    """
    found = None if session is None else find_session(connection, session)
    return read_digest(connection, limits, now_ns, found)


def find_session(connection: sqlite3.Connection, name: str) -> SessionState:
    """Return one session.

    Raises:
        UnknownName: nothing was ever written in it.
    """
    count, first_seq, last_seq = connection.execute(
        "SELECT count(*), min(seq), max(seq) FROM entry INDEXED BY entry_session"  # noqa: S608 - constants
        f" WHERE {_OF_SESSION}",
        (name,),
    ).fetchone()
    if not count:
        raise errors.UnknownName(
            f"Expected a session that entries were written in, got {name!r}",
            field="session",
            value=wire.printable(name),
            hint="see `hourbook session list`",
        )
    return _session(connection, name, count, first_seq, last_seq)


def last_session(connection: sqlite3.Connection, writer: str) -> str:
    """Return the session that `writer` wrote its last entry in; "" for none."""
    row = connection.execute(
        "SELECT session FROM entry WHERE writer = ? ORDER BY nonce DESC LIMIT 1", (writer,)
    ).fetchone()
    return "" if row is None else str(row[0])


def list_sessions(connection: sqlite3.Connection) -> list[SessionState]:
    """Return every session that entries were written in, the last written first."""
    return [_session(connection, *row) for row in connection.execute(_SESSIONS).fetchall()]


def _session(
    connection: sqlite3.Connection, name: str, count: int, first_seq: int, last_seq: int
) -> SessionState:
    first, last = _entry(connection, first_seq), _entry(connection, last_seq)
    assert first is not None
    assert last is not None
    return SessionState(name, first.time_ns, first.writer, first_seq, last_seq, last.time_ns, count)


def _since(connection: sqlite3.Connection, session: str, window: int) -> int:
    """Return the seq after which the last `window` entries of a session begin."""
    row = connection.execute(
        f"SELECT seq FROM entry INDEXED BY entry_session WHERE {_OF_SESSION}"  # noqa: S608 - constants
        " ORDER BY seq DESC LIMIT 1 OFFSET ?",
        (session, window),
    ).fetchone()
    return 0 if row is None else int(row[0])


def _entities(
    connection: sqlite3.Connection, where: str, bounds: tuple[Any, ...], limit: int
) -> list[EntityState]:
    lately = f"seq > ? AND {_MAIN} AND {where} AND kind NOT LIKE 'session.%'"
    rows = connection.execute(
        f"SELECT max(seq), count(*) FROM entry WHERE {lately}"  # noqa: S608 - constants
        " GROUP BY entity ORDER BY 1 DESC LIMIT ?",
        (*bounds, limit),
    ).fetchall()
    states = [(_entry(connection, seq), count) for seq, count in rows]
    return [EntityState(last, count) for last, count in states if last is not None]


def _decisions(
    connection: sqlite3.Connection, session: SessionState | None, limit: int
) -> list[Entry]:
    # Spelled as in the partial index, which answers both.
    decided = "action IN ('decided', 'decision')"
    if session is None:
        return _entries(connection, f"{decided} AND {_MAIN} ORDER BY seq DESC LIMIT {limit}", ())
    return _entries(
        connection,
        f"{_OF_SESSION} AND {decided} AND {_MAIN} ORDER BY seq DESC LIMIT {limit}",
        (session.name,),
    )


def _active(connection: sqlite3.Connection, since: int) -> list[Active]:
    alive = [
        (each.name, each.holder.pid)
        for each in list_instances(connection)
        if each.is_held
        and each.holder is not None
        # Who is elsewhere is let go by the writer, which hears the beats.
        and (is_alive(each.holder) or is_elsewhere(each.holder))
    ]
    result = []
    for name, pid in alive:
        last = _entries(
            connection,
            f"writer = ? AND seq > ? AND {_NO_BOOKKEEPING} ORDER BY nonce DESC LIMIT 1",
            (name, since),
        )
        result.append(Active(name, pid, last[0] if last else None))
    return result


def _locked(connection: sqlite3.Connection) -> list[Locked]:
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'lease'").fetchone() is None:
        return []  # a book of an earlier version
    rows = connection.execute(
        "SELECT ns, key, writer, pid, token, boot_id, start_ticks, pid_ns FROM lease"
        " ORDER BY token DESC LIMIT ?",
        (LOCKS_MAX,),
    ).fetchall()
    return [
        Locked(*row[:5])
        for row in rows
        if is_alive(holder := Holder(row[5], row[3], row[6], row[7])) or is_elsewhere(holder)
    ]


def _entries(connection: sqlite3.Connection, rest: str, values: tuple[Any, ...]) -> list[Entry]:
    rows = connection.execute(f"SELECT {ENTRY_COLUMNS} FROM entry WHERE {rest}", values)  # noqa: S608 - constants
    return attach_beside(connection, [entry_from_row(row) for row in rows])


def _entry(connection: sqlite3.Connection, seq: int) -> Entry | None:
    found = _entries(connection, "seq = ?", (seq,))
    return found[0] if found else None
