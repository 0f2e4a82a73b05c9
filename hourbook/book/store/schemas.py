"""The schemas of namespaces, as their one writer asks them about every value that is to be written.

Compiled when one is asked for first (``json_schema``), and read anew after any was changed.
"""

import sqlite3
from typing import Final

from hourbook.book.store.json_schema import Compiled, compile_schema

__all__ = ["Schemas"]

NAMESPACES_MAX: Final = 1000
"""Whose schemas are known at a time."""
_SCHEMA: Final = "SELECT schema FROM kv_schema WHERE ns = ?"


class Schemas(dict[str, Compiled | None]):
    """What values of each namespace of one book must fit; None: anything does.

    To be asked by subscript, which reads what is not known; to be cleared when one was changed, or
    a change of one was undone.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Compile nothing yet."""
        super().__init__()
        self._connection = connection

    def __missing__(self, ns: str) -> Compiled | None:
        if len(self) >= NAMESPACES_MAX:
            self.clear()
        row = self._connection.execute(_SCHEMA, (ns,)).fetchone()
        self[ns] = found = None if row is None else compile_schema(row[0])
        return found
