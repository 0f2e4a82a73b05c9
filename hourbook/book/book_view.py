"""The book as it was at one commit: what it held then, and nothing that came later. Reads only."""

from collections.abc import Iterator

from hourbook.book.as_of import find_commit_at
from hourbook.book.moment import MomentLike, parse_moment
from hourbook.book.reader import BookReader
from hourbook.book.sql.query import (
    ROWS_DEFAULT,
    TIMEOUT_DEFAULT_S,
    Parameters,
    QueryResult,
    require_views,
    run_query,
)
from hourbook.book.stamps import StampSource
from hourbook.home import Home
from hourbook.timebase import SystemTimebase
from protocols import errors
from protocols.entry import Commit, Entry

__all__ = ["BookView", "seq_at", "view_at"]


class BookView:
    """A read-only view that never changes. It uses its reader, and can be used as long as that.

    Attributes:
        commit: the last one that it shows.
        seq: the last entry that it shows.
    """

    __slots__ = ("_home", "_reader", "commit", "seq")

    def __init__(self, home: Home, reader: BookReader, commit: Commit) -> None:
        """Use :func:`view_at`, or ``Book.at``."""
        self._home = home
        self._reader = reader
        self.commit = commit
        self.seq = commit.last_seq

    def tail(self, count: int = 10) -> list[Entry]:
        """Return the last `count` entries (>= 0) of that state, oldest first."""
        if count < 0:
            raise errors.BadRequest(f"count must be >= 0, got {count}", field="count")
        return self._reader.tail(count, until_seq=self.seq)

    def entry(self, seq: int) -> Entry | None:
        """Return one entry; None when there was none of this seq."""
        return self._reader.entry(seq) if seq <= self.seq else None

    def since(self, after_seq: int) -> Iterator[Entry]:
        """Yield the entries that follow `after_seq`, page by page, to the end of that state."""
        return self._reader.since(after_seq, until_seq=self.seq)

    def query(
        self,
        sql: str,
        parameters: Parameters = (),
        *,
        limit: int = ROWS_DEFAULT,
        timeout_s: float = TIMEOUT_DEFAULT_S,
    ) -> QueryResult:
        """Ask in SQL (``Book.query``)."""
        return run_query(
            self._home, sql, parameters, at_seq=self.seq, limit=limit, timeout_s=timeout_s
        )


def view_at(home: Home, reader: BookReader, at: MomentLike) -> BookView:
    """Return the book as of a seq, a time or a hash.

    Args:
        home: whose book.
        reader: open on it.
        at: the moment (``moment.parse_moment``).

    Raises:
        BadRequest: not a moment, or a hash that several begin with.
        NotInBook: no such seq or hash, a time before the book began, or one to come.
        UnsupportedVersion: the book was last written by an older program.
    """
    moment = parse_moment(at)
    reader.query(lambda connection: require_views(connection, home))
    now_ns = 0 if moment.time_ns is None else StampSource(home, SystemTimebase()).time_ns()
    commit = reader.query(lambda connection: find_commit_at(home, connection, moment, now_ns))
    return BookView(home, reader, commit)


def seq_at(home: Home, at: MomentLike) -> int:
    """Return the last seq of the book as of a moment; raises what :func:`view_at` does."""
    with BookReader(home) as reader:
        return view_at(home, reader, at).seq
