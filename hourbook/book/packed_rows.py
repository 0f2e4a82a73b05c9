"""Many rows by one statement, which reads them out of one blob: two thirds of `executemany`'s cost.

`executemany` runs a statement for each row, and has each value copied that it binds. Here the rows,
each a MessagePack array, are handed over in one piece, and ``_packed_rows.c`` is what the statement
selects from: an extension that SQLite is given for all connections to come ("Automatically Load
Statically Linked Extensions"). Where it takes none, rows are inserted one by one.
"""

import contextlib
import ctypes
import functools
import importlib.util
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from hourbook.book.sqlite_library import open_sqlite_library

__all__ = ["Insertion", "insert", "insertion", "offer", "pack"]

PACKED_BYTES_MAX: Final = 64 << 20
"""Of one statement; SQLite takes 1 GB, and has a copy."""

pack = msgspec.msgpack.Encoder().encode
"""Returns a row as :func:`insert` takes it; a tuple of text in it is kept as MessagePack."""
_unpack = msgspec.msgpack.Decoder(list[Any]).decode


class Insertion(NamedTuple):
    """A statement that inserts rows: all of them, or one."""

    packed: str
    single: str


def insertion(table: str, columns: str, conflict: str = "") -> Insertion:
    """Return the statement that inserts rows of some columns (``"a, b"``), up to 17 of them.

    What fails is for the caller to undo: SQLite would keep a copy of every page that the statement
    changes, to undo it alone ("INSERT OR FAIL").

    Args:
        table: of the rows.
        columns: in the order of their values.
        conflict: an ``ON CONFLICT`` clause.
    """
    count = columns.count(",") + 1
    into = f"INSERT OR FAIL INTO {table} ({columns})"
    found = ", ".join(f"c{number}" for number in range(count))
    return Insertion(
        f"{into} SELECT {found} FROM packed_rows(?) WHERE true {conflict}",  # noqa: S608 - constants
        f"{into} VALUES ({', '.join('?' * count)}) {conflict}",
    )


def insert(connection: sqlite3.Connection, statement: Insertion, rows: Sequence[bytes]) -> None:
    """Insert packed rows.

    Raises:
        sqlite3.Error: of one of them; those before it are inserted.
    """
    if _can_read():
        for packed in _joined(rows):
            connection.execute(statement.packed, (packed,))
    else:
        connection.executemany(statement.single, map(_values, rows))


def offer() -> None:
    """Let connections that this process opens from now on read packed rows, where they can.

    Once more after ``sqlite3_shutdown``, which forgets it; otherwise it is no work.
    """
    if (library := open_sqlite_library()) is not None:
        library.sqlite3_auto_extension(_extension().sqlite3_extension_init)


@functools.cache
def _can_read() -> bool:
    """Return whether connections that were opened after an offer can read packed rows."""
    offer()
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("SELECT 1 FROM packed_rows(x'')")
        except sqlite3.OperationalError:
            return False
    return True


def _joined(rows: Sequence[bytes]) -> Iterator[bytes]:
    if sum(map(len, rows)) <= PACKED_BYTES_MAX:
        yield b"".join(rows)
        return
    piece: list[bytes] = []
    size = 0
    for row in rows:
        if size + len(row) > PACKED_BYTES_MAX and piece:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(row)
        size += len(row)
    yield b"".join(piece)


def _values(row: bytes) -> list[Any]:
    return [pack(value) if isinstance(value, list) else value for value in _unpack(row)]


@functools.cache
def _extension() -> ctypes.CDLL:
    spec = importlib.util.find_spec("hourbook.book._packed_rows")
    assert spec is not None, "it is built with everything else"
    return ctypes.CDLL(spec.origin)
