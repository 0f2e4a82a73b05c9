"""Asking the book in SQL: one SELECT over the stable views, read-only and with limits. An edge.

Each query has a connection of its own, opened read-only, with views that end at the seq as of which
it asks; ``query_guard`` judges what it may do. It runs in one read transaction, so that it sees one
state of the book whatever is written meanwhile; its time is limited for the same reason: a reader
that lingers keeps the writer's log from shrinking.

A step of SQLite that computes one enormous thing cannot be interrupted here. Whoever runs SQL of
strangers gives it a process of its own, as `hourbook query` is (``hourbook.cli.query_command``).
"""

import contextlib
import math
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

from hourbook.book import schema
from hourbook.book.archive.detached_lookup import DetachedLookup
from hourbook.book.branches import branch_number, view_of
from hourbook.book.reader import BookReader
from hourbook.book.sql.functions import add_functions
from hourbook.book.sql.guard import PROGRESS_STEPS, Guard, limit_sizes
from hourbook.book.sql.view import Extent
from hourbook.book.sql.views import OLDEST_VERSION, VIEWS, view_statements
from hourbook.book.stamps import StampSource
from hourbook.home import Home
from hourbook.timebase import SystemTimebase
from protocols import errors

__all__ = [
    "RESULT_BYTES_MAX",
    "ROWS_DEFAULT",
    "ROWS_MAX",
    "TIMEOUT_DEFAULT_S",
    "TIMEOUT_MAX_S",
    "Parameters",
    "QueryResult",
    "Value",
    "check_limits",
    "require_views",
    "run_query",
]

ROWS_DEFAULT: Final = 10_000
ROWS_MAX: Final = 1_000_000
RESULT_BYTES_MAX: Final = 128 << 20
"""Of all rows of one result, about, as Python holds them."""
TIMEOUT_DEFAULT_S: Final = 5.0
TIMEOUT_MAX_S: Final = 60.0

Value = int | float | str | bytes | None
"""What SQLite has: INTEGER, REAL, TEXT, BLOB, NULL."""
Parameters = Sequence[Value] | Mapping[str, Value]
"""For ``?`` in their order, or for ``:name`` by name."""

_FETCH_ROWS: Final = 256
_ROW_BYTES: Final = 120
_VALUE_BYTES: Final = 40


class QueryResult(Sequence[sqlite3.Row]):
    """Rows, each to be indexed by position or by column name; ``dict(row)`` is a dict.

    Attributes:
        columns: names, as the query gave them.
        rows: at most as many as were asked for.
        is_truncated: there are more.
        seq: the last entry that the query could see; 0 in an empty book.
    """

    __slots__ = ("columns", "is_truncated", "rows", "seq")

    def __init__(
        self, columns: tuple[str, ...], rows: list[sqlite3.Row], *, is_truncated: bool, seq: int
    ) -> None:
        self.columns = columns
        self.rows = rows
        self.is_truncated = is_truncated
        self.seq = seq

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - a row, or a list of them for a slice
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[sqlite3.Row]:
        return iter(self.rows)


def run_query(
    home: Home,
    sql: str,
    parameters: Parameters = (),
    *,
    at_seq: int | None = None,
    branch: str | None = None,
    limit: int = ROWS_DEFAULT,
    timeout_s: float = TIMEOUT_DEFAULT_S,
) -> QueryResult:
    """Run one SELECT over the stable views (``hourbook.book.sql.views``).

    Args:
        home: whose book.
        sql: one statement; values stand in `parameters`.
        parameters: values for ``?`` or ``:name``.
        at_seq: the last seq that it may see, of a commit; None sees all.
        branch: only entries that this one, or ``main``, sees; None sees those of every branch.
        limit: rows at most (0..ROWS_MAX); whether there are more is told.
        timeout_s: how long it may take (seconds, > 0, <= TIMEOUT_MAX_S).

    Raises:
        BadRequest: no such SQL, more than reading the views, or parameters that do not fit.
        UnknownName: there is no such branch.
        LimitExceeded: a value or the result is too large.
        QueryTimeout: it takes longer.
        ArchiveDamaged: it asks for details whose archive file is missing or damaged.
        BookMissing, NeedsWriter, UnsupportedVersion, BookCorrupt: the book cannot be read.
    """
    check_limits(limit, timeout_s)

    def run(connection: sqlite3.Connection) -> QueryResult:
        require_views(connection, home)
        extent = _extent(connection, home, at_seq, branch)
        return _Query(connection, lookup, extent, timeout_s).run(sql, parameters, limit)

    lookup = DetachedLookup(home)
    with contextlib.closing(lookup), BookReader(home) as reader:
        return reader.query(run)


def check_limits(limit: int, timeout_s: float) -> None:
    """Check how much a query may return and how long it may take.

    Raises:
        BadRequest: more than anybody may have.
    """
    if not 0 <= limit <= ROWS_MAX:
        raise errors.BadRequest(
            f"Expected `limit` in 0..{ROWS_MAX}, got {limit}", field="limit", value=str(limit)
        )
    if not 0 < timeout_s <= TIMEOUT_MAX_S:
        raise errors.BadRequest(
            f"Expected `timeout_s` above 0, up to {TIMEOUT_MAX_S:g}, got {timeout_s:g}",
            field="timeout_s",
            value=str(timeout_s),
        )


def require_views(connection: sqlite3.Connection, home: Home) -> None:
    """Check that a book has all that the views and reading as of a time stand on.

    Raises:
        UnsupportedVersion: it was last written by an older program.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version < OLDEST_VERSION:
        raise errors.UnsupportedVersion(
            f"Expected a book of version {OLDEST_VERSION}, got {version}, at {home.book_db}",
            field="user_version",
            value=str(version),
            hint="run `supervisor start`, which brings it up to date",
        )


def _extent(
    connection: sqlite3.Connection, home: Home, at_seq: int | None, branch: str | None
) -> Extent:
    if at_seq is None:
        now_ns = StampSource(home, SystemTimebase()).time_ns()
    else:
        row = connection.execute("SELECT time_ns FROM entry WHERE seq = ?", (at_seq,)).fetchone()
        now_ns = row[0] if row else 0
    if branch is None:
        return Extent(at_seq, None, now_ns)
    number = branch_number(connection, branch, at_seq)
    return Extent(at_seq, view_of(connection, number, at_seq), now_ns)


class _Query:
    """One statement on a connection that is closed afterwards."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        lookup: DetachedLookup,
        extent: Extent,
        timeout_s: float,
    ) -> None:
        self._connection, self._lookup = connection, lookup
        self._timeout_s = timeout_s
        self._deadline_s = math.inf
        self._inner_prefix = f"v{secrets.token_hex(16)}"
        names = connection.execute("SELECT lower(name) FROM sqlite_schema").fetchall()
        self._guard = Guard(self._inner_prefix, frozenset(name for (name,) in names))
        connection.execute("PRAGMA query_only=OFF")  # it forbids TEMP views too; mode=ro remains
        connection.execute("PRAGMA cache_size=-16384")
        add_functions(connection, lookup)
        for statement in view_statements(self._inner_prefix, extent):
            connection.execute(statement)
        # SQLite makes these two on first use, in ways that the guard would have to refuse.
        connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')").fetchall()
        connection.execute("PRAGMA query_only=ON")
        connection.execute("BEGIN")
        seq = connection.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0]
        self._seq = seq if extent.at_seq is None else min(seq, extent.at_seq)
        limit_sizes(connection)
        connection.row_factory = sqlite3.Row
        connection.text_factory = _text
        connection.set_authorizer(self._guard.authorize)

    def run(self, sql: str, parameters: Parameters, limit: int) -> QueryResult:
        """Run it and gather its rows."""
        if "\0" in sql:
            raise errors.BadRequest("Expected SQL without NUL, got one", field="sql")
        self._deadline_s = time.monotonic() + self._timeout_s
        self._connection.set_progress_handler(self._is_late, PROGRESS_STEPS)
        try:
            cursor = self._connection.execute(sql, parameters)
            if cursor.description is None:
                raise errors.BadRequest("Expected a SELECT, got nothing to run", field="sql")
            rows = self._gather(cursor, limit + 1)
        except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError, TypeError) as error:
            self._refuse(error)
        except MemoryError:
            raise errors.LimitExceeded("Expected a query that fits into memory, got more") from None
        columns = tuple(column[0] for column in cursor.description)
        return QueryResult(columns, rows[:limit], is_truncated=len(rows) > limit, seq=self._seq)

    def _gather(self, cursor: sqlite3.Cursor, count: int) -> list[sqlite3.Row]:
        rows: list[sqlite3.Row] = []
        size = 0
        while len(rows) < count:
            page = cursor.fetchmany(min(_FETCH_ROWS, count - len(rows)))
            if not page:
                break
            size += sum(_size_of(row) for row in page)
            if size > RESULT_BYTES_MAX:
                raise errors.LimitExceeded(
                    f"Expected a result of up to {RESULT_BYTES_MAX >> 20} MiB, got more after"
                    f" {len(rows)} rows",
                    field="sql",
                    hint="ask for fewer rows or columns",
                )
            rows += page
        return rows

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline_s

    def _refuse(self, error: Exception) -> NoReturn:
        """Raise what a failure of SQLite means, in one line."""
        code = schema.error_code(error) & 0xFF if isinstance(error, sqlite3.Error) else 0
        text = str(error).replace(self._inner_prefix, "")
        if self._lookup.failure is not None:
            raise self._lookup.failure from None
        if self._guard.denied:
            views = ", ".join(view.name for view in VIEWS)
            raise errors.BadRequest(
                f"Expected a SELECT over the views {views}, got one that wants"
                f" {self._guard.denied}",
                field="sql",
                hint="`hourbook schema` prints them",
            ) from None
        match code:
            case sqlite3.SQLITE_INTERRUPT if not self._is_late():
                raise KeyboardInterrupt from None
            case sqlite3.SQLITE_INTERRUPT:
                raise errors.QueryTimeout(
                    f"Expected an answer within {self._timeout_s:g} s, got none",
                    field="timeout_s",
                    hint="filter by seq, or allow more time",
                ) from None
            case sqlite3.SQLITE_TOOBIG:
                raise errors.LimitExceeded(f"Expected smaller values, got: {text}") from None
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_IOERR:
                raise error
            case sqlite3.SQLITE_FULL:
                raise errors.DiskFull("Expected room for sorting, got a full disk") from None
        raise errors.BadRequest(f"Expected one SELECT, got: {text}", field="sql") from None


def _text(raw: bytes) -> str:
    """Decode a TEXT; a CAST can make one that is no UTF-8."""
    return raw.decode("utf-8", "replace")


def _size_of(row: sqlite3.Row) -> int:
    """Return about how much memory a row takes."""
    return _ROW_BYTES + sum(
        _VALUE_BYTES + (len(value) if isinstance(value, str | bytes) else 0) for value in row
    )
