"""The schemas of namespaces, as their one writer asks them about every value that is to be written.

Compiled when one is asked for first (``json_schema``), and read anew after any was changed.
"""

import sqlite3
from typing import Final

from hourbook.book.store.json_schema import Compiled, check_value, compile_schema

__all__ = ["Schemas"]

NAMESPACES_MAX: Final = 1000
"""Whose schemas are known at a time."""
_SCHEMA: Final = "SELECT schema FROM kv_schema WHERE ns = ?"


class Schemas:
    """The schemas of one book, for its writer."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Compile nothing yet."""
        self._connection = connection
        self._known: dict[str, Compiled | None] = {}

    def has(self, ns: str) -> bool:
        """Return whether values of a namespace must fit one."""
        return self._find(ns) is not None

    def check(self, ns: str, key: str, raw: bytes) -> None:
        """Check a value that is to be written.

        Raises:
            SchemaViolation, LimitExceeded: as of ``json_schema.check_value``.
        """
        compiled = self._find(ns)
        if compiled is not None:
            check_value(compiled, ns, key, raw)

    def forget(self) -> None:
        """Read them anew: one was changed, or a change of one was undone."""
        self._known = {}

    def _find(self, ns: str) -> Compiled | None:
        if ns not in self._known:
            if len(self._known) >= NAMESPACES_MAX:
                self._known = {}
            row = self._connection.execute(_SCHEMA, (ns,)).fetchone()
            self._known[ns] = None if row is None else compile_schema(row[0])
        return self._known[ns]
