"""What the store holds now: one key, many keys, all keys that fit a glob. Reads only, asks nobody.

A key lies in one of two databases: the book, or that of volatile keys. Where both are looked into,
the book comes first; a key can only move by being deleted, so one that is found in neither was
absent at some moment in between.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from hourbook.book.store.files import Line, StoreFiles
from hourbook.book.store.glob import Glob
from hourbook.book.store.rows import (
    FIND_ROW,
    UNREADABLE,
    KvRow,
    corrupt_value,
    decode_stored,
    unpack_value,
)
from protocols import errors
from protocols.kv_keys import check_key

__all__ = ["Item", "KeyReader", "merge_pages"]

PAGE_ROWS: Final = 256
"""Keys of one short read transaction."""
PAGE_BYTES: Final = 4 << 20
"""Of values in one; the last one may go beyond."""
CACHED: Final = "cached"
_OVER: Final = object()
_CHARS_SURELY_SHORT: Final = 256
_VOLATILE_POINT: Final = (
    "SELECT encoding, value, expires_ns, version, type FROM kv WHERE ns = ? AND key = ?"
)
_POINT: Final = "SELECT encoding, value, expires_ns, version FROM kv WHERE ns = ? AND key = ?"
_PAGE: Final = (
    "SELECT key, expires_ns, encoding, value, version FROM kv"
    " WHERE ns = :ns AND key > :after AND key >= :first AND (:end IS NULL OR key < :end)"
    " ORDER BY key LIMIT :limit"
)
_NAMES: Final = _PAGE.replace("encoding, value, version", "0, NULL, version")
_COUNT: Final = (
    "SELECT (SELECT count(*) FROM kv WHERE ns = :ns AND key >= :first"
    " AND (:end IS NULL OR key < :end))"
    " - (SELECT count(*) FROM kv WHERE expires_ns <= :now AND ns = :ns AND key >= :first"
    " AND (:end IS NULL OR key < :end))"
)
_Loaded = tuple[Any, int] | tuple[Any, int, bool] | None
_Load = Callable[[str], _Loaded]
_decode = msgspec.msgpack.Decoder().decode


class Item(msgspec.Struct, frozen=True):
    """A key with all that is known of it.

    Attributes:
        key: its name.
        value: the caller's own copy.
        version: rises with each write; what `if_version` compares.
        created: version of the write that made the key.
        type: persistent, versioned, shared, locked, transient or cached.
        expires_ns: UTC from which on it is absent (nanoseconds since 1970); None: never.
        metadata: what the writer gave beside the value.
    """

    key: str
    value: Any
    version: int
    created: int
    type: str
    expires_ns: int | None
    metadata: dict[str, Any]


class Found(NamedTuple):
    """One row of a page."""

    key: str
    expires_ns: int | None
    encoding: int
    value: bytes | None
    version: int


class KeyReader:
    """Reads one namespace of main; threads and forked children may share it."""

    __slots__ = ("_files", "_ns", "load")

    def __init__(self, files: StoreFiles, ns: str) -> None:
        self._files, self._ns = files, ns
        self.load: Final = _loader(files, ns)
        """``load(key) -> (value, expires_ns or 0) | None``, for the cache; of a key of type cached
        a third member says that its uses count."""

    def find(self, key: str) -> Item | None:
        """Return a key with all that is known of it; None where it is absent now.

        Raises:
            BadRequest, LimitExceeded: no key. Redacted: its value was dropped for good.
        """
        check_key(key)

        def read(line: Line) -> Item | None:
            rows = line.durable(FIND_ROW, (self._ns, key)).fetchall()
            if not rows and (volatile := line.open_volatile(self._files.home)):
                rows = volatile(FIND_ROW, (self._ns, key)).fetchall()
            return _item(line, KvRow(*rows[0])) if rows else None

        found = self._files.read(read)
        return None if found is None or self._is_over(found.expires_ns) else found

    def many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those keys that are there, as they were at one moment.

        Volatile keys are read after the others, at one moment of their own.

        Raises:
            What :meth:`find` does.
        """
        wanted = list(keys)
        for key in wanted:
            check_key(key, "keys")
        wanted = list(dict.fromkeys(wanted))

        def read(line: Line) -> dict[str, Any]:
            found = _many(line, line.durable, self._ns, wanted, self._is_over)
            missing = [key for key in wanted if key not in found]
            if missing and (volatile := line.open_volatile(self._files.home)):
                found |= _many(line, volatile, self._ns, missing, self._is_over)
            return {key: found[key] for key in wanted if found.get(key, _OVER) is not _OVER}

        return self._files.read(read)

    def scan(self, glob: Glob) -> Iterator[tuple[str, Any]]:
        """Yield key and value of all that fit, by key; each page is of one moment."""
        for found, value in self._pages(glob, _PAGE):
            yield found.key, value

    def keys(self, glob: Glob) -> Iterator[str]:
        """Yield the keys that fit, rising as UTF-8 does; each page is of one moment."""
        for found, _ in self._pages(glob, _NAMES):
            yield found.key

    def count(self, glob: Glob) -> int:
        """Return how many keys fit."""
        if glob.pattern != f"{glob.prefix}*":
            return sum(1 for _ in self.keys(glob))
        now_ns = self._files.time_ns()
        values = {"ns": self._ns, "first": glob.prefix, "end": glob.end, "now": now_ns}

        def read(line: Line) -> int:
            count: int = line.durable(_COUNT, values).fetchall()[0][0]
            if volatile := line.open_volatile(self._files.home):
                count += volatile(_COUNT, values).fetchall()[0][0]
            return count

        return self._files.read(read)

    def _pages(self, glob: Glob, sql: str) -> Iterator[tuple[Found, Any]]:
        after: str | None = ""
        while after is not None:
            rows, after = self._files.read(partial(self._page, glob, sql, after))
            yield from rows

    def _page(
        self, glob: Glob, sql: str, after: str, line: Line
    ) -> tuple[list[tuple[Found, Any]], str | None]:
        """Return the next keys that fit, with their values, and after which to go on."""
        values = {
            "ns": self._ns,
            "after": after,
            "first": glob.prefix,
            "end": glob.end,
            "limit": PAGE_ROWS,
        }
        pages = [_fetch(line.connection, sql, values)]
        if line.open_volatile(self._files.home) and line.volatile_connection is not None:
            pages.append(_fetch(line.volatile_connection, sql, values))
        rows, following = merge_pages(pages)
        fitting = [
            (row, None if sql is _NAMES else _value(line, row))
            for row in rows
            if glob.matches(row.key) and not self._is_over(row.expires_ns)
        ]
        return fitting, following

    def _is_over(self, expires_ns: int | None) -> bool:
        return expires_ns is not None and expires_ns <= self._files.time_ns()


def merge_pages(pages: Sequence[tuple[list[Any], bool]]) -> tuple[list[Any], str | None]:
    """Merge pages of rows that begin with their key, each sorted; the first page's row counts.

    Args:
        pages: rows, and whether more follow.

    Returns:
        Rows up to the last key that all pages have reached; and that key, None at the end.
    """
    ends = [rows[-1][0] for rows, has_more in pages if has_more]
    end = min(ends) if ends else None
    merged: dict[str, Any] = {}
    for rows, _ in pages:
        for row in rows:
            if end is None or row[0] <= end:
                merged.setdefault(row[0], row)
    ordered = list(merged.values())
    if len(pages) > 1:
        ordered.sort(key=lambda row: row[0])
    return ordered, end


def _loader(files: StoreFiles, ns: str) -> _Load:
    """Return the read of a miss, in as few steps as Python has."""
    take, give = files.take, files.give

    def load(key: str) -> _Loaded:
        if not key or len(key) > _CHARS_SURELY_SHORT or not key.isascii():
            check_key(key)
        line = take()
        try:
            rows = line.durable(_POINT, (ns, key)).fetchall()
            if not rows:
                loaded: _Loaded = _load_volatile(files, line, ns, key)
                give(line)
                return loaded
            encoding, value, expires_ns, version = rows[0]
            if not encoding and value is not None:
                loaded = _decode(value), expires_ns or 0
            else:
                found = Found(key, expires_ns, encoding, value, version)
                loaded = _value(line, found), expires_ns or 0
        except sqlite3.Error as error:
            files.drop(line, error)
        except UNREADABLE as error:
            line.close()
            raise corrupt_value(key, error) from None
        except BaseException:
            line.close()
            raise
        give(line)
        return loaded

    return load


def _load_volatile(files: StoreFiles, line: Line, ns: str, key: str) -> _Loaded:
    volatile = line.open_volatile(files.home)
    rows = volatile(_VOLATILE_POINT, (ns, key)).fetchall() if volatile is not None else ()
    for encoding, value, expires_ns, version, kind in rows:
        read = _value(line, Found(key, expires_ns, encoding, value, version))
        return (read, expires_ns or 0, True) if kind == CACHED else (read, expires_ns or 0)
    return None


def _many(
    line: Line,
    execute: Callable[..., sqlite3.Cursor],
    ns: str,
    keys: Sequence[str],
    is_over: Callable[[int | None], bool],
) -> dict[str, Any]:
    """Return what one database has of keys: values, and _OVER in place of those that are over."""
    found: dict[str, Any] = {}
    execute("BEGIN")
    try:
        for key in keys:
            for encoding, value, expires_ns, version in execute(_POINT, (ns, key)).fetchall():
                row = Found(key, expires_ns, encoding, value, version)
                found[key] = _OVER if is_over(expires_ns) else _value(line, row)
    finally:
        execute("ROLLBACK")
    return found


def _fetch(
    connection: sqlite3.Connection, sql: str, values: dict[str, Any]
) -> tuple[list[Found], bool]:
    """Return rows up to PAGE_ROWS or PAGE_BYTES, and whether there may be more."""
    rows, size = [], 0
    cursor = connection.execute(sql, values)
    for row in cursor:
        rows.append(Found(*row))
        size += len(row[3] or b"")
        if size > PAGE_BYTES:
            break
    cursor.close()  # one half read would hold its transaction
    return rows, size > PAGE_BYTES or len(rows) == PAGE_ROWS


def _value(line: Line, found: Found) -> Any:  # noqa: ANN401 - any MessagePack value
    if found.value is None:
        raise _redacted(line, found.key, found.version)
    return decode_stored(unpack_value(found.encoding, found.value, found.key), found.key)


def _redacted(line: Line, key: str, version: int) -> errors.HourbookError:
    """Return why the value of a key is gone, as the entry that wrote it has it."""
    entry = line.book.entry(version)
    try:
        if entry is not None:
            _ = entry.details
    except errors.HourbookError as error:
        return error
    return errors.Redacted(f"Expected the value of {key!r}, which is gone", field="value")


def _item(line: Line, row: KvRow) -> Item:
    value = _value(line, Found(row.key, row.expires_ns, row.encoding, row.value, row.version))
    metadata = {} if row.metadata is None else decode_stored(row.metadata, row.key)
    return Item(row.key, value, row.version, row.created, row.type, row.expires_ns, metadata)
