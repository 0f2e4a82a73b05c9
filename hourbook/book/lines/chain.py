"""How the lines of one file hang together: parents, forks, nonces, and lines that come again.

Any file may be larger than memory, so what was seen goes into a temporary database of SQLite, which
lives in its cache until that is full and vanishes when it is closed. Nothing here reads a file or
the book.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from hourbook.book.lines.reading import FOUND_MAX, Problem, Reading

__all__ = ["LineChain"]

_DIGEST, _HASH, _PARENT, _NONCE = range(4)
_IN_BOOK: Final = 0
"""Stands for the number of a line that an earlier import has brought into the book."""
_CACHE_KIB: Final = 64 << 10


class LineChain:
    """What the lines so far have said of themselves; for one thread and one file."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=OFF")
        self._connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        self._connection.execute(
            "CREATE TABLE seen (kind INTEGER, key BLOB, line INTEGER, PRIMARY KEY (kind, key))"
            " WITHOUT ROWID"
        )
        self._connection.execute("BEGIN")
        self._has_first = False

    def remember(self, digests: Iterable[bytes]) -> None:
        """Learn the digests of lines that the book has already."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO seen VALUES (?, ?, ?)",
            ((_DIGEST, digest, _IN_BOOK) for digest in digests),
        )

    def is_known(self, reading: Reading) -> bool:
        """Say whether a line is in the book, or came before; the latter is noted as a problem."""
        earlier = self._first(_DIGEST, reading.digest, reading.number)
        if earlier:
            found = f"the same bytes as line {earlier}"
            reading.problems.append(Problem("repeated", "each line once", found))
        return earlier is not None

    def link(self, reading: Reading) -> None:
        """Note where the record of a line does not follow from those before it."""
        if reading.record is None:
            return
        parent, own, nonce = (reading.text(name) for name in ("parent_hash", "sha256", "nonce"))
        if parent and (problem := self._check_parent(parent, reading.number)) is not None:
            reading.problems.append(problem)
        if own:
            self._first(_HASH, own.encode(), reading.number)
        if nonce and (earlier := self._first(_NONCE, nonce.encode(), reading.number)):
            found = f"{nonce[:FOUND_MAX]}, as in line {earlier}"
            reading.problems.append(Problem("nonce", "a nonce of its own", found))
        self._has_first = True

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()

    def _check_parent(self, parent: str, number: int) -> Problem | None:
        if not parent.strip("0"):
            if not self._has_first:
                return None
            return Problem("parent", "the hash of a line before", "a second beginning")
        if self._line_of(_HASH, parent.encode()) is None:
            found = f"{parent[:FOUND_MAX]}, which no line before has"
            return Problem("parent", "the hash of a line before", found)
        if (earlier := self._first(_PARENT, parent.encode(), number)) is not None:
            return Problem("fork", "a parent of its own", f"that of line {earlier}")
        return None

    def _first(self, kind: int, key: bytes, number: int) -> int | None:
        """Return the line that said this first; None, and remember it, when it is this one."""
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (kind, key, number)
        )
        return None if cursor.rowcount else self._line_of(kind, key)

    def _line_of(self, kind: int, key: bytes) -> int | None:
        row = self._connection.execute(
            "SELECT line FROM seen WHERE kind = ? AND key = ?", (kind, key)
        ).fetchone()
        return None if row is None else int(row[0])
