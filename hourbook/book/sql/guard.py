"""What SQL of a stranger may do on a connection: read the stable views, for a while, and no more.

Assumes a connection that was opened read-only. SQLite asks :class:`Guard` about each thing that a
statement would do while it is compiled, and now and then while it runs. Denied is everything but
SELECT over the views: tables by name, writing, ATTACH, PRAGMA, transactions, functions that load
code. SQLite itself limits the size of values and of statements.
"""

import sqlite3
from typing import Final

from hourbook.book.sql.functions import FUNCTION_PREFIX
from hourbook.book.sql.views import VIEWS

__all__ = ["SQL_BYTES_MAX", "VALUE_BYTES_MAX", "Guard", "limit_sizes"]

VALUE_BYTES_MAX: Final = 24 << 20
"""Of one value: the largest details (16 MiB) still fit as base64."""
SQL_BYTES_MAX: Final = 256 << 10
PROGRESS_STEPS: Final = 1000
"""Steps of SQLite's machine between two looks at the clock: about 20 us."""

_LIMITS: Final = (
    (sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX),
    (sqlite3.SQLITE_LIMIT_COLUMN, 500),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 100),
    (sqlite3.SQLITE_LIMIT_VDBE_OP, 100_000),
    (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 100),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
    (sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 1000),
    (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)
_VIEW_NAMES: Final = frozenset(view.name for view in VIEWS)
_TABLE_FUNCTIONS: Final = frozenset({"json_each", "json_tree"})
_SCHEMA_TABLES: Final = frozenset({"sqlite_master", "sqlite_temp_master"})
_FORBIDDEN_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer"})
_ACTIONS: Final = {
    getattr(sqlite3, f"SQLITE_{name}"): name.replace("_", " ")
    for name in (
        "ALTER_TABLE",
        "ANALYZE",
        "ATTACH",
        "CREATE_INDEX",
        "CREATE_TABLE",
        "CREATE_TEMP_INDEX",
        "CREATE_TEMP_TABLE",
        "CREATE_TEMP_TRIGGER",
        "CREATE_TEMP_VIEW",
        "CREATE_TRIGGER",
        "CREATE_VIEW",
        "CREATE_VTABLE",
        "DELETE",
        "DETACH",
        "DROP_INDEX",
        "DROP_TABLE",
        "DROP_TEMP_TABLE",
        "DROP_TEMP_VIEW",
        "DROP_TRIGGER",
        "DROP_VIEW",
        "INSERT",
        "PRAGMA",
        "REINDEX",
        "SAVEPOINT",
        "TRANSACTION",
        "UPDATE",
    )
}


class Guard:
    """Judges what one statement wants; remembers what it was refused first.

    Attributes:
        denied: in words, such as "the table entry"; "" while nothing was.
    """

    def __init__(self, inner_prefix: str, tables: frozenset[str]) -> None:
        """Make a guard.

        Args:
            inner_prefix: how the inner names of the views start (``views.view_statements``).
            tables: names of all that the database has, in lower case.
        """
        self._inner_prefix = inner_prefix
        self._tables = tables
        self.denied = ""
        self._read_for_views: set[str] = set()

    def authorize(
        self,
        action: int,
        first: str | None,
        second: str | None,
        database: str | None,
        on_behalf_of: str | None,
    ) -> int:
        """Answer SQLite's authorizer: SQLITE_OK or SQLITE_DENY."""
        is_ours = (on_behalf_of or "").startswith(self._inner_prefix)
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ:
            return self._authorize_read(first or "", second or "", database, is_ours=is_ours)
        if action == sqlite3.SQLITE_FUNCTION:
            name = (second or "").lower()
            if name not in _FORBIDDEN_FUNCTIONS and (
                is_ours or not name.startswith(FUNCTION_PREFIX)
            ):
                return sqlite3.SQLITE_OK
            return self._deny(f"the function {name}")
        if action == sqlite3.SQLITE_UPDATE and first in _SCHEMA_TABLES:
            return self._deny("a table that SQLite makes up")  # PRAGMA functions, dbstat
        return self._deny(_ACTIONS.get(action, "something else"))

    def _authorize_read(
        self, table: str, column: str, database: str | None, *, is_ours: bool
    ) -> int:
        if is_ours:
            self._read_for_views.add(table)
            return sqlite3.SQLITE_OK
        is_view = table in _VIEW_NAMES or table.startswith(self._inner_prefix)
        if (is_view and database == "temp") or table in _TABLE_FUNCTIONS:
            return sqlite3.SQLITE_OK
        # `SELECT count(*) FROM entries` reads no column. SQLite asks of that in nobody's name, and
        # by the name that was written, which may be that of a common table expression.
        name = table.lower()
        if not column and (name in self._read_for_views or not self._is_table(name)):
            return sqlite3.SQLITE_OK
        return self._deny(f"the table {table}")

    def _is_table(self, name: str) -> bool:
        return name in self._tables or name.startswith(("sqlite_", "pragma_"))

    def _deny(self, what: str) -> int:
        self.denied = self.denied or what
        return sqlite3.SQLITE_DENY


def limit_sizes(connection: sqlite3.Connection) -> None:
    """Set SQLite's own limits: of values, statements, and what a statement may be made of."""
    for limit, value in _LIMITS:
        connection.setlimit(limit, value)
