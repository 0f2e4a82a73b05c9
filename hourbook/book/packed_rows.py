"""Many rows by one statement, which reads them out of one blob: two thirds of `executemany`'s cost.

`executemany` runs a statement for each row, and has each value copied that it binds. Here the rows,
each a MessagePack array, are handed over in one piece, and ``_packed_rows.c`` is what the statement
selects from. Where Python's `sqlite3` was built so that it loads no extensions, they are inserted
one by one.
"""

import functools
import importlib.util
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

__all__ = ["Insertion", "insert", "insertion", "pack", "teach"]

CAN_LOAD: Final = hasattr(sqlite3.Connection, "enable_load_extension")
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


def teach(connection: sqlite3.Connection) -> None:
    """Let a connection read packed rows: once, before it is used in :func:`insert`."""
    if not CAN_LOAD:
        return
    connection.enable_load_extension(True)  # noqa: FBT003 - it takes no keyword
    try:
        connection.load_extension(_library())
    finally:
        connection.enable_load_extension(False)  # noqa: FBT003 - the same


def insert(connection: sqlite3.Connection, statement: Insertion, rows: Sequence[bytes]) -> None:
    """Insert packed rows.

    Raises:
        sqlite3.Error: of one of them; those before it are inserted.
    """
    if CAN_LOAD:
        for packed in _joined(rows):
            connection.execute(statement.packed, (packed,))
    else:
        connection.executemany(statement.single, map(_values, rows))


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
def _library() -> str:
    spec = importlib.util.find_spec("hourbook.book._packed_rows")
    assert spec is not None, "it is built with everything else"
    assert spec.origin is not None, "it is a file"
    return spec.origin
