"""Keys of type `shared`: what all agents are shown of the store, newest first. Reads only.

Bounded on purpose: however many keys there are, and however large, the same number of rows and
bytes is read. The newest are found by an index that has no others (schema_7.sql).
"""

import sqlite3
from typing import Any, Final, Literal

import msgspec

from hourbook.book.store.rows import decode_stored, unpack_value
from protocols import errors

__all__ = ["VALUE_BYTES_MAX", "Shared", "read_shared"]

VALUE_BYTES_MAX: Final = 64 << 10
"""A larger value is not read: nothing of it would fit a context as it is."""
_STORED_BYTES_MAX: Final = 16 << 10
_WINDOW: Final = 1000
"""The newest shared keys, among which those are sought whose time is not over."""
_PLAIN: Final = 0
_HAS_INDEX: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'kv_shared'"
_NEWEST: Final = (
    "SELECT s.ns, s.key, s.version, e.writer, e.time_ns, s.encoding, length(s.value),"
    " CASE WHEN length(s.value) <= :stored THEN s.value END"
    " FROM (SELECT id, version, expires_ns FROM kv INDEXED BY kv_shared WHERE type = 'shared'"
    " ORDER BY version DESC LIMIT :window) AS newest"
    " CROSS JOIN kv AS s ON s.id = newest.id CROSS JOIN entry AS e ON e.seq = s.version"
    " WHERE newest.expires_ns IS NULL OR newest.expires_ns > :now"
    " ORDER BY newest.version DESC LIMIT :limit"
)


class Shared(msgspec.Struct, frozen=True):
    """A key that all agents are shown.

    Attributes:
        namespace: of the key.
        key: its name.
        version: the seq of the entry that wrote it.
        writer: who did.
        time_ns: UTC when.
        value: what it holds; None where `missing` says why it is not shown.
        missing: "", or `redacted`, `large` or `unreadable`.
    """

    namespace: str
    key: str
    version: int
    writer: str
    time_ns: int
    value: Any
    missing: Literal["", "redacted", "large", "unreadable"] = ""


def read_shared(connection: sqlite3.Connection, limit: int, now_ns: int) -> list[Shared]:
    """Return the shared keys of main that were written last, the newest first.

    Args:
        connection: to read.
        limit: how many (>= 0).
        now_ns: UTC; keys whose time is over by then are absent.
    """
    if connection.execute(_HAS_INDEX).fetchone() is None:
        return []  # a book of an earlier version
    bounds = {"stored": _STORED_BYTES_MAX, "window": _WINDOW, "now": now_ns, "limit": limit}
    return [_shared(*row) for row in connection.execute(_NEWEST, bounds).fetchall()]


def _shared(
    ns: str,
    key: str,
    version: int,
    writer: str,
    time_ns: int,
    encoding: int,
    size: int | None,
    stored: bytes | None,
) -> Shared:
    if size is None:
        return Shared(ns, key, version, writer, time_ns, None, "redacted")
    if stored is None or _size_of(encoding, stored) > VALUE_BYTES_MAX:
        return Shared(ns, key, version, writer, time_ns, None, "large")
    try:
        value = decode_stored(unpack_value(encoding, stored, key), key)
    except errors.BookCorrupt:
        return Shared(ns, key, version, writer, time_ns, None, "unreadable")
    return Shared(ns, key, version, writer, time_ns, value)


def _size_of(encoding: int, stored: bytes) -> int:
    """Return how long a value is as MessagePack; 0 where it cannot be read."""
    if encoding == _PLAIN:
        return len(stored)
    import zstandard  # noqa: PLC0415 - small values never need it

    try:
        return int(zstandard.frame_content_size(stored))
    except zstandard.ZstdError:
        return 0
