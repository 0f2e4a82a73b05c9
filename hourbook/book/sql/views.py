"""The stable views: what a query may read of the book, column by column. Pure.

Tables change with the schema; these names, types and meanings do not (``docs/SQL.md`` has the same,
and a test compares). They are TEMP views of the connection that reads. *As of* a seq they show only
what the book held when it ended there.

Two columns are made by functions of ours, which the connection must have (``sql_functions``):
`details` and `tags` are kept as MessagePack and shown as JSON text, so that SQLite's JSON functions
work on them. Columns that a query does not name cost nothing.
"""

from typing import Final

from hourbook.book.sql.store_views import STORE, STORE_HISTORY
from hourbook.book.sql.view import Column, Extent, View, time_text

__all__ = ["OLDEST_VERSION", "VIEWS", "Column", "Extent", "View", "view_statements"]

OLDEST_VERSION: Final = 7
"""Of the schema, that has every table and index which the views and reading as of a time need."""


def view_statements(inner_prefix: str, extent: Extent) -> list[str]:
    """Return the statements that create the views.

    Each is made of an inner one that reads tables, under a name that starts with `inner_prefix`,
    and an outer one that reads the inner. SQLite tells an authorizer on behalf of *which name* a
    table is read; the stable names could be borrowed (``WITH entries AS (SELECT * FROM entry)``),
    a random one cannot.

    Args:
        inner_prefix: letters and digits that nobody can guess.
        extent: how much of the book they show.
    """
    assert inner_prefix.isalnum()
    statements = []
    for view in VIEWS:
        columns = ", ".join(f"{column.sql} AS {column.name}" for column in view.columns)
        inner = f"{inner_prefix}{view.name}"
        source = view.source(extent)
        statements += [
            f"CREATE TEMP VIEW {inner} AS SELECT {columns} FROM {source}",  # noqa: S608 - constants, and a number
            f"CREATE TEMP VIEW {view.name} AS SELECT * FROM {inner}",  # noqa: S608 - constants, and hex digits
        ]
    return statements


def _hex(blob: str) -> str:
    return f"lower(hex({blob}))"


def _details(row: str) -> str:
    """Return SQL for the details of an entry as JSON; the function knows where dropped ones are."""
    return (
        f"CASE WHEN {row}.details = x'c0' THEN NULL"
        f" ELSE hourbook_details({row}.seq, {row}.details) END"
    )


def _entries(extent: Extent) -> str:
    terms = [] if extent.at_seq is None else [f"e.seq <= {extent.at_seq:d}"]
    if extent.stretches is not None:
        seen = (f"e.branch = {branch:d} AND e.seq <= {last:d}" for branch, last in extent.stretches)
        terms.append(f"({' OR '.join(seen)})")
    return "main.entry AS e" + (f" WHERE {' AND '.join(terms)}" if terms else "")


def _commits(extent: Extent) -> str:
    return "main.signed_commit AS c" + (
        "" if extent.at_seq is None else f" WHERE c.last_seq <= {extent.at_seq:d}"
    )


def _instances(extent: Extent) -> str:
    """Return the last registration of each name, with its release where that is later.

    The two kinds are written as in the partial index that finds them (schema_3.sql).
    """
    is_now = extent.at_seq is None
    known = "" if is_now else f" AND seq <= {extent.at_seq:d}"
    heard = "" if is_now else " AND 0"  # beats are not journaled: nothing is known then
    return (
        "(SELECT entity,"  # noqa: S608 - constants, and a number
        " max(seq) FILTER (WHERE kind = 'instance.register') AS registered_seq,"
        " max(seq) FILTER (WHERE kind = 'instance.release') AS released_seq"
        " FROM main.entry"
        f" WHERE kind IN ('instance.register', 'instance.release'){known} GROUP BY entity) AS n"
        " JOIN main.entry AS r ON r.seq = n.registered_seq"
        " LEFT JOIN main.entry AS x ON x.seq = n.released_seq AND x.seq > n.registered_seq"
        f" LEFT JOIN main.instance AS i ON i.name = n.entity{heard}"
        f" LEFT JOIN main.cursor AS p ON p.name = n.entity{heard}"
    )


_COMMIT_TIME_NS: Final = "(SELECT time_ns FROM main.entry AS t WHERE t.seq = c.last_seq)"
_COMMIT_ID: Final = (
    "coalesce((SELECT lower(hex(f.prev_commit)) FROM main.signed_commit AS f"
    " WHERE f.last_seq > c.last_seq ORDER BY f.last_seq LIMIT 1),"
    " hourbook_commit_id(c.commit_no, c.first_seq, c.last_seq, c.head_hash, c.prev_commit,"
    " c.parents, c.hlc, c.key, c.signature))"
)

ENTRIES: Final = View(
    "entries",
    "what was written, one row an entry",
    (
        Column("seq", "INTEGER", "1, 2, 3 ... without gaps: the order of the book; a key", "e.seq"),
        Column("time", "TEXT", "when it was sequenced, RFC 3339 in UTC", time_text("e.time_ns")),
        Column("time_ns", "INTEGER", "the same, nanoseconds since 1970", "e.time_ns"),
        Column(
            "bound_ns",
            "INTEGER",
            "UTC was within `time_ns` ± this; NULL: nothing could be promised",
            "nullif(e.bound_ns, -1)",
        ),
        Column("hlc", "INTEGER", "hybrid logical time, rising with `seq`", "e.hlc"),
        Column("branch", "INTEGER", "0 is main", "e.branch"),
        Column("writer", "TEXT", "name of the instance that wrote it; a key", "e.writer"),
        Column("session", "TEXT", 'name of its session, "" for none; a key', "e.session"),
        Column("nonce", "TEXT", "the writer's own name for it, hex", _hex("e.nonce")),
        Column("kind", "TEXT", "`log`, or the operation that it stands for", "e.kind"),
        Column("action", "TEXT", "what was done", "e.action"),
        Column("entity", "TEXT", "to what", "e.entity"),
        Column(
            "details",
            "TEXT",
            "JSON as `tail --json` shows it; NULL: none, or `missing`",
            _details("e"),
        ),
        Column(
            "missing",
            "TEXT",
            "JSON: why there are no details any more; NULL: there are, or there never were",
            "CASE WHEN e.details_hash IS NOT NULL THEN hourbook_missing(e.seq) END",
        ),
        Column(
            "tags",
            "TEXT",
            "JSON array of texts",
            "CASE WHEN e.tags = x'90' THEN '[]' ELSE hourbook_tags(e.tags) END",
        ),
        Column("parent_hash", "TEXT", "`hash` of `seq` - 1, hex", _hex("e.parent_hash")),
        Column("hash", "TEXT", "SHA-256 of the entry, hex", _hex("e.hash")),
    ),
    _entries,
)
COMMITS: Final = View(
    "commits",
    "groups of entries that were written and signed together",
    (
        Column("commit_no", "INTEGER", "1, 2, 3 ... without gaps", "c.commit_no"),
        Column("first_seq", "INTEGER", "its first entry", "c.first_seq"),
        Column("last_seq", "INTEGER", "its last entry; a key", "c.last_seq"),
        Column("time", "TEXT", "when it was written, RFC 3339 in UTC", time_text(_COMMIT_TIME_NS)),
        Column("time_ns", "INTEGER", "the same, nanoseconds since 1970", _COMMIT_TIME_NS),
        Column("hlc", "INTEGER", "hybrid logical time of its last entry", "c.hlc"),
        Column("id", "TEXT", "SHA-256 that the next commit names it by, hex", _COMMIT_ID),
        Column("prev_commit", "TEXT", "`id` of the commit before, hex", _hex("c.prev_commit")),
        Column(
            "parents",
            "TEXT",
            "JSON array of ids of other books' commits",
            "CASE WHEN c.parents = x'90' THEN '[]' ELSE hourbook_parents(c.parents) END",
        ),
        Column("head_hash", "TEXT", "`hash` of `last_seq`, hex", _hex("c.head_hash")),
        Column("key", "TEXT", "Ed25519 public key, hex", _hex("c.key")),
        Column("signature", "TEXT", "Ed25519 signature, hex", _hex("c.signature")),
    ),
    _commits,
)
INSTANCES: Final = View(
    "instances",
    "names that agents have registered, each with its last registration",
    (
        Column("name", "TEXT", "of the instance", "n.entity"),
        Column(
            "is_held", "INTEGER", "1: registered and not released since; else 0", "x.seq IS NULL"
        ),
        Column("pid", "INTEGER", "of the process", f"json_extract({_details('r')}, '$.pid')"),
        Column(
            "pid_ns",
            "INTEGER",
            "the pid namespace that it counts in (as `lsns` lists it); NULL: unknown",
            f"nullif(json_extract({_details('r')}, '$.pid_ns'), 0)",
        ),
        Column("registered_seq", "INTEGER", "entry of its last registration", "n.registered_seq"),
        Column("registered_ns", "INTEGER", "when that was, nanoseconds since 1970", "r.time_ns"),
        Column("released_seq", "INTEGER", "entry of its release; NULL while held", "x.seq"),
        Column("released_ns", "INTEGER", "when that was; NULL while held", "x.time_ns"),
        Column(
            "reason",
            "TEXT",
            "`closed`, or what befell its process; NULL while held",
            f"json_extract({_details('x')}, '$.reason')",
        ),
        Column(
            "seen_ns",
            "INTEGER",
            "when it was last heard of, nearly; NULL as of a moment",
            "i.seen_ns",
        ),
        Column(
            "position",
            "INTEGER",
            "last seq that it is done with, nearly; NULL as of a moment",
            "p.position",
        ),
    ),
    _instances,
)
VIEWS: Final = (ENTRIES, STORE, STORE_HISTORY, COMMITS, INSTANCES)
"""In the order in which `hourbook schema` prints them."""
