"""The book as it was at one commit: what it held then, and nothing that came later. Reads only.

A moment and a branch both select entries, and combine: a view is of one branch, as it was then.
"""

from collections.abc import Iterator

from hourbook.book.as_of import find_commit_at
from hourbook.book.branches import branch_number, tail_of, view_of
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
from protocols.entry import Commit, Entry

__all__ = ["BookView", "seq_at", "view_at"]


class BookView:
    """A read-only view that never changes. It uses its reader, and can be used as long as that.

    Attributes:
        commit: the last one that it shows.
        seq: the last entry that it shows.
        branch: name of the branch whose entries it shows; "" is main.
    """

    __slots__ = ("_home", "_number", "_reader", "branch", "commit", "seq")

    def __init__(
        self, home: Home, reader: BookReader, commit: Commit, branch: str, number: int
    ) -> None:
        """Use :func:`view_at`, or ``Book.at``."""
        self._home = home
        self._reader = reader
        self._number = number
        self.branch = branch
        self.commit = commit
        self.seq = commit.last_seq

    def tail(self, count: int = 10) -> list[Entry]:
        """Return the last `count` entries (>= 0) of that state, oldest first."""
        return self._reader.query(
            lambda connection: tail_of(connection, self._number, count, self.seq)
        )

    def entry(self, seq: int) -> Entry | None:
        """Return one entry, of whichever branch; None when there was none of this seq."""
        return self._reader.entry(seq) if seq <= self.seq else None

    def since(self, after_seq: int) -> Iterator[Entry]:
        """Yield the entries that follow `after_seq`, page by page, to the end of that state."""
        seen = dict(
            self._reader.query(lambda connection: view_of(connection, self._number, self.seq))
        )
        for entry in self._reader.since(after_seq, until_seq=self.seq):
            if entry.seq <= seen.get(entry.branch, 0):
                yield entry

    def query(
        self,
        sql: str,
        parameters: Parameters = (),
        *,
        branch: str | None = None,
        limit: int = ROWS_DEFAULT,
        timeout_s: float = TIMEOUT_DEFAULT_S,
    ) -> QueryResult:
        """Ask in SQL (``Book.query``): of all branches, unless one is named."""
        return run_query(
            self._home,
            sql,
            parameters,
            at_seq=self.seq,
            branch=branch,
            limit=limit,
            timeout_s=timeout_s,
        )


def view_at(home: Home, reader: BookReader, at: MomentLike, branch: str = "") -> BookView:
    """Return the book as of a seq, a time or a hash.

    Args:
        home: whose book.
        reader: open on it.
        at: the moment (``moment.parse_moment``).
        branch: name of the one whose entries are shown, as of then; "" is main.

    Raises:
        BadRequest: not a moment, or a hash that several begin with.
        UnknownName: there was no such branch then.
        NotInBook: no such seq or hash, a time before the book began, or one to come.
        UnsupportedVersion: the book was last written by an older program.
    """
    moment = parse_moment(at)
    reader.query(lambda connection: require_views(connection, home))
    now_ns = 0 if moment.time_ns is None else StampSource(home, SystemTimebase()).time_ns()
    commit = reader.query(lambda connection: find_commit_at(home, connection, moment, now_ns))
    number = reader.query(lambda opened: branch_number(opened, branch, commit.last_seq))
    return BookView(home, reader, commit, branch, number)


def seq_at(home: Home, at: MomentLike) -> int:
    """Return the last seq of the book as of a moment; raises what :func:`view_at` does."""
    with BookReader(home) as reader:
        return view_at(home, reader, at).seq
