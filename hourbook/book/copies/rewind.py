"""Cutting a copy of a book back to an earlier commit. For restored copies only, never for a book.

What follows the commit is deleted, and every table that is kept in step with the entries is brought
back to what they say up to there. A table that this module does not know is refused, so that none
can be forgotten: whoever adds one adds its rule here.
"""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Final

from hourbook.book.moment import Moment
from hourbook.book.rows import COMMIT_COLUMNS, commit_from_row
from hourbook.book.store.rebuild import rebuild_log, rebuild_rows
from hourbook.book.store.rows import KEY_OF_ENTITY, NS_OF_ENTITY
from protocols import errors
from protocols.entry import Commit, decode_value

__all__ = ["RULES", "find_cut", "rewind"]

Rule = Callable[[sqlite3.Connection, int], None]
"""Brings one table back to the last seq that stays."""


def find_cut(connection: sqlite3.Connection, to: Moment) -> Commit:
    """Return the last commit that is not after `to`.

    A seq in the middle of a commit means the one before: half a commit was never signed. A time
    means the last commit that is not later, wherever the clock was set meanwhile.

    Raises:
        BadRequest: there is no such commit, the seq is beyond the book, or it is a hash.
    """
    if to.hash_digits is not None:
        raise errors.BadRequest(f"Expected a seq or a time, got a hash, {to.text}", field="to")
    columns = ", ".join(f"signed_commit.{name.strip()}" for name in COMMIT_COLUMNS.split(","))
    if to.seq is not None:
        head = connection.execute("SELECT max(last_seq) FROM signed_commit").fetchone()[0] or 0
        if to.seq > head:
            raise errors.BadRequest(
                f"Expected a seq up to {head}, with which this book ends, got {to.seq}",
                field="to",
                value=str(to.seq),
            )
        where, value = "signed_commit.last_seq <= ?", to.seq
    else:
        assert to.time_ns is not None
        where, value = "entry.time_ns <= ?", to.time_ns
    row = connection.execute(
        f"SELECT {columns} FROM signed_commit JOIN entry ON entry.seq = signed_commit.last_seq"  # noqa: S608 - constants
        f" WHERE {where} ORDER BY signed_commit.last_seq DESC LIMIT 1",
        (value,),
    ).fetchone()
    if row is None:
        first = connection.execute("SELECT min(last_seq) FROM signed_commit").fetchone()[0]
        raise errors.BadRequest(
            "Expected a commit that is not after that, got none:"
            + (" the book is empty" if first is None else f" the first one ends at seq {first}"),
            field="to",
        )
    return commit_from_row(row)


def rewind(connection: sqlite3.Connection, commit: Commit) -> int:
    """Delete what follows `commit`, in one transaction; return how many entries that were.

    Raises:
        InternalError: the book has a table without a rule.
    """
    _require_rules(connection)
    head = connection.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0]
    connection.execute("BEGIN IMMEDIATE")
    try:
        for table, rule in RULES.items():
            if _has_table(connection, table):
                rule(connection, commit.last_seq)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    connection.executescript("PRAGMA incremental_vacuum")  # execute() would free a single page
    return int(head) - commit.last_seq


def _cut_entries(connection: sqlite3.Connection, seq: int) -> None:
    connection.execute("DELETE FROM entry WHERE seq > ?", (seq,))


def _cut_commits(connection: sqlite3.Connection, seq: int) -> None:
    connection.execute("DELETE FROM signed_commit WHERE last_seq > ?", (seq,))


def _forget_outcomes(connection: sqlite3.Connection, _: int) -> None:
    """No resend of what was answered then can be told from a new request any more."""
    connection.execute("DELETE FROM outcome")


def _rebuild_instances(connection: sqlite3.Connection, _: int) -> None:
    """Name every instance that was registered; those still held are held by nobody who lives.

    The process of that time is gone: its boot id and pid are zero, so that the writer lets the
    names go at its next start, and journals that.
    """
    connection.execute("DELETE FROM instance")
    connection.execute(
        "INSERT INTO instance (name, boot_id, pid, start_ticks, connection, registered_seq,"
        " released_seq, registered_ns, seen_ns)"
        " SELECT entity, zeroblob(16), 0, 0, substr(nonce, 1, 8), max(seq), NULL, time_ns, time_ns"
        " FROM entry WHERE kind = 'instance.register' GROUP BY entity"
    )
    connection.execute(
        "UPDATE instance SET released_seq = (SELECT max(seq) FROM entry"
        " WHERE kind = 'instance.release' AND entity = name AND seq > registered_seq)"
    )


def _rebuild_leases(connection: sqlite3.Connection, _: int) -> None:
    """Name every lock that was held; as with names, by nobody who lives: the writer lets it go."""
    connection.execute("DELETE FROM lease")
    connection.execute(
        "INSERT INTO lease (ns, key, token, writer, call, boot_id, pid, start_ticks,"  # noqa: S608 - constants
        f" pid_ns, granted_ns, ttl_ns) SELECT {NS_OF_ENTITY}, {KEY_OF_ENTITY},"
        " seq, writer, nonce, zeroblob(16), 0, 0, 0,"
        " time_ns, 1 FROM (SELECT entity, max(seq) AS seq, kind, writer, nonce, time_ns FROM entry"
        " WHERE kind IN ('lock.grant', 'lock.release', 'lock.expire') GROUP BY entity)"
        " WHERE kind = 'lock.grant'"
    )


def _cut_cursors(connection: sqlite3.Connection, seq: int) -> None:
    connection.execute("DELETE FROM cursor WHERE name NOT IN (SELECT name FROM instance)")
    connection.execute("UPDATE cursor SET position = min(position, ?)", (seq,))


def _cut_sessions(connection: sqlite3.Connection, seq: int) -> None:
    connection.execute("DELETE FROM session WHERE started_seq > ?", (seq,))


def _cut_clock_steps(connection: sqlite3.Connection, seq: int) -> None:
    connection.execute("DELETE FROM clock_step WHERE first_seq > ?", (seq,))


def _cut_detached(connection: sqlite3.Connection, seq: int) -> None:
    """Keep where the details of what stays are: they are no longer in the entries."""
    connection.execute("DELETE FROM detached WHERE seq > ?", (seq,))
    connection.execute("UPDATE detached SET by_seq = 0 WHERE by_seq > ?", (seq,))


def _cut_archives(connection: sqlite3.Connection, seq: int) -> None:
    """Forget files that hold nothing of what stays, and free the numbers of those made later.

    A file's number is the seq of its record, and will be that of another entry now. The first seq
    that it ever held is no record's, and no other file's.
    """
    connection.execute(
        "DELETE FROM archive WHERE NOT EXISTS (SELECT 1 FROM detached"
        " WHERE detached.seq BETWEEN first_seq AND last_seq AND detached.archive = number)"
    )
    connection.execute(
        "UPDATE detached SET archive = (SELECT first_seq FROM archive WHERE number = archive)"
        " WHERE archive > ?",
        (seq,),
    )
    connection.execute("UPDATE archive SET number = first_seq WHERE number > ?", (seq,))


def _cut_branches(connection: sqlite3.Connection, seq: int) -> None:
    connection.execute("DELETE FROM branch WHERE created_seq > ?", (seq,))
    connection.execute("UPDATE branch SET deleted_seq = NULL WHERE deleted_seq > ?", (seq,))
    rows = connection.execute(
        "SELECT number, name, created_seq FROM branch WHERE merged_seq > ?", (seq,)
    ).fetchall()
    for number, name, created_seq in rows:
        merge = connection.execute(
            "SELECT seq, details FROM entry WHERE kind = 'branch.merge' AND entity = ?"
            " AND seq > ? ORDER BY seq DESC LIMIT 1",
            (name, created_seq),
        ).fetchone()
        merged = (0, 0) if merge is None else (decode_value(merge[1], "details")["head"], merge[0])
        connection.execute(
            "UPDATE branch SET merged_head = ?, merged_seq = ? WHERE number = ?", (*merged, number)
        )


def _rebuild_log(connection: sqlite3.Connection, _: int) -> None:
    """List anew which entries that stay were about a key; `kv_floor` is emptied with it."""
    rebuild_log(connection)


def _keep(_connection: sqlite3.Connection, _seq: int) -> None:
    """Leave a table as another rule has made it."""


def _rebuild_rows(connection: sqlite3.Connection, _: int) -> None:
    """Let every key hold what its last entry says; what is over by now is swept by the writer."""
    rebuild_rows(connection)


def _rebuild_schemas(connection: sqlite3.Connection, seq: int) -> None:
    """Let every namespace have the schema that its last entry gave it."""
    connection.execute("DELETE FROM kv_schema")
    rows = connection.execute(
        "SELECT entity, max(seq), details FROM entry WHERE kind = 'kv.schema' AND seq <= ?"
        " GROUP BY entity",
        (seq,),
    ).fetchall()
    for ns, set_seq, details in rows:
        if text := decode_value(details, "details")["schema"]:
            connection.execute("INSERT INTO kv_schema VALUES (?, ?, ?)", (ns, set_seq, text))


RULES: Final[Mapping[str, Rule]] = {
    "entry": _cut_entries,
    "signed_commit": _cut_commits,
    "outcome": _forget_outcomes,
    "instance": _rebuild_instances,
    "cursor": _cut_cursors,
    "session": _cut_sessions,
    "clock_step": _cut_clock_steps,
    "detached": _cut_detached,
    "archive": _cut_archives,
    "branch": _cut_branches,
    "kv_log": _rebuild_log,
    "kv_floor": _keep,
    "kv": _rebuild_rows,
    "kv_schema": _rebuild_schemas,
    "lease": _rebuild_leases,
}
"""What becomes of each table, in this order: later ones read the earlier."""


def _require_rules(connection: sqlite3.Connection) -> None:
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    unknown = {name for (name,) in rows if not name.startswith("sqlite_")} - RULES.keys()
    if unknown:
        raise errors.InternalError(
            f"Expected a rule for each table, got none for {', '.join(sorted(unknown))},"
            " to restore an earlier state"
        )


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?"
    return connection.execute(query, (name,)).fetchone() is not None
