"""The stable views of the store: what its keys hold, and every version of them. Pure.

Both are made of entries: `kv` and `kv_log` say which. As of a moment and on a branch a key holds
what its last entry says, of the branch, else of its parent up to where it began. Volatile keys lie
in another database, and are not here.
"""

from collections.abc import Sequence
from typing import Final

from hourbook.book.sql.view import Column, Extent, View, time_text

__all__ = ["STORE", "STORE_HISTORY"]

_MAIN: Final = 0
_ENDLESS: Final = (1 << 63) - 1


def _part(name: str) -> str:
    return f"hourbook_kv(e.seq, e.details, '{name}')"


def _now(extent: Extent) -> str:
    return (
        "main.kv AS s JOIN main.entry AS e ON e.seq = s.version"
        f" WHERE (s.expires_ns IS NULL OR s.expires_ns > {extent.now_ns:d})"
    )


def _state(extent: Extent) -> str:
    if extent.at_seq is None and extent.stretches is None:
        return _now(extent)
    stretches = extent.stretches or [(_MAIN, extent.at_seq or 0)]
    last = [_last_of(stretches[:index], *each) for index, each in enumerate(stretches)]
    floor = "(SELECT coalesce(max(first_seq), 0) FROM main.kv_floor)"
    return (
        f"({' UNION ALL '.join(last)}) AS s JOIN main.entry AS e ON e.seq = s.version"
        f" WHERE e.kind = 'kv.set' AND hourbook_kv_kept({floor}, {stretches[-1][1]:d})"
        f" AND coalesce({_part('expires_ns')} > {extent.now_ns:d}, 1)"
    )


def _last_of(own: Sequence[tuple[int, int]], branch: int, last_seq: int) -> str:
    """Return SQL for the last entries of a branch's keys, but for those that `own` wrote."""
    hidden = "".join(
        " AND NOT EXISTS (SELECT 1 FROM main.kv_log AS o WHERE o.ns = l.ns AND o.key = l.key"  # noqa: S608 - numbers
        f" AND o.branch = {number:d} AND o.seq <= {last:d})"
        for number, last in own
    )
    return (
        "SELECT l.ns AS ns, l.key AS key, max(l.seq) AS version FROM main.kv_log AS l"  # noqa: S608 - constants, and numbers
        f" WHERE l.branch = {branch:d} AND l.seq <= {min(last_seq, _ENDLESS):d}{hidden}"
        " GROUP BY l.ns, l.key"
    )


def _log(extent: Extent) -> str:
    terms = [] if extent.at_seq is None else [f"s.seq <= {extent.at_seq:d}"]
    if extent.stretches is not None:
        seen = (f"s.branch = {branch:d} AND s.seq <= {last:d}" for branch, last in extent.stretches)
        terms.append(f"({' OR '.join(seen)})")
    source = "main.kv_log AS s JOIN main.entry AS e ON e.seq = s.seq"
    return source + (f" WHERE {' AND '.join(terms)}" if terms else "")


_HELD: Final = (
    Column(
        "value", "TEXT", "JSON of what it held then; NULL: nothing, or `missing`", _part("value")
    ),
    Column("type", "TEXT", "of the value, `persistent` and so on", _part("type")),
    Column(
        "expires_ns",
        "INTEGER",
        "UTC from which on it is absent; NULL: never",
        _part("expires_ns"),
    ),
    Column(
        "metadata",
        "TEXT",
        "JSON of what was given beside the value; NULL: none",
        _part("metadata"),
    ),
    Column(
        "missing",
        "TEXT",
        "JSON: why its value is gone; NULL: it is not",
        "CASE WHEN e.details_hash IS NOT NULL THEN hourbook_missing(e.seq) END",
    ),
)
_WRITTEN: Final = (
    Column("time", "TEXT", "when it was written, RFC 3339 in UTC", time_text("e.time_ns")),
    Column("time_ns", "INTEGER", "the same, nanoseconds since 1970", "e.time_ns"),
    Column("writer", "TEXT", "name of the instance that wrote it", "e.writer"),
)
STORE: Final = View(
    "store",
    "what the durable keys of the store hold, one row a key",
    (
        Column("namespace", "TEXT", "of the key; a key with `key`", "s.ns"),
        Column("key", "TEXT", "its name", "s.key"),
        Column("version", "INTEGER", "seq of the entry that wrote it", "s.version"),
        *_HELD,
        *_WRITTEN,
    ),
    _state,
)
STORE_HISTORY: Final = View(
    "store_history",
    "every version of the durable keys that is still kept",
    (
        Column("namespace", "TEXT", "of the key", "s.ns"),
        Column("key", "TEXT", "its name", "s.key"),
        Column("branch", "INTEGER", "0 is main", "s.branch"),
        Column("version", "INTEGER", "seq of the entry that wrote it", "s.seq"),
        Column("action", "TEXT", "`set`, `increment`, `delete` or `expire`", "e.action"),
        *_HELD,
        *_WRITTEN,
    ),
    _log,
)
