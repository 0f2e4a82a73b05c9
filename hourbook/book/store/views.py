"""One namespace as a branch sees it, or as the book was once; the same questions as `reading` has.

Reads only. A state of the past never changes, so all pages of it are of one moment; a branch goes
on, and each page of it is of its own.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, TypeVar

from hourbook.book.as_of import find_commit_at
from hourbook.book.branches import MAIN
from hourbook.book.moment import MomentLike, parse_moment
from hourbook.book.store.files import StoreFiles
from hourbook.book.store.glob import Glob
from hourbook.book.store.past import KeyVersion, PastReader
from hourbook.book.store.reading import Item
from protocols.kv_keys import check_key

__all__ = ["ViewReader", "view_at"]

_ENDLESS: Final = (1 << 63) - 1
"""As far as SQLite counts."""
_T = TypeVar("_T")


class ViewReader:
    """Reads one namespace of a branch, or of a moment; threads may share it."""

    def __init__(
        self,
        files: StoreFiles,
        ns: str,
        branch: int = MAIN,
        until_seq: int | None = None,
        now_ns: int | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            files: of the home.
            ns: the namespace.
            branch: number of the branch; 0 is main.
            until_seq: the last entry that counts; None: all do.
            now_ns: UTC of the moment, at which time limits are judged; None: always now.
        """
        self._files, self._now_ns = files, now_ns
        self._past = PastReader(ns, branch, until_seq)

    def load(self, key: str) -> tuple[Any, int] | None:
        """Return (value, 0), None where the key is absent."""
        found = self.find(key)
        return None if found is None else (found.value, 0)

    def find(self, key: str) -> Item | None:
        """Return a key with all that is known of it; None where it is absent.

        Raises:
            BadRequest, LimitExceeded: no key.
            Compacted: it is not known any more. Redacted: its value was dropped for good.
        """
        check_key(key)
        found = self.read(lambda connection: self._past.state(connection, key))
        return None if found is None or found.is_over(self._now()) else found.item

    def version(self, key: str, version: int) -> KeyVersion:
        """Return one write of a key; raises NotInBook, Compacted."""
        check_key(key)
        return self.read(lambda connection: self._past.version(connection, key, version))

    def history(self, key: str, limit: int, before: int | None = None) -> list[KeyVersion]:
        """Return up to `limit` writes of a key, the newest first; only versions below `before`."""
        check_key(key)
        end = _ENDLESS if before is None else min(before, _ENDLESS)
        count = min(limit, _ENDLESS)
        return self.read(lambda opened: self._past.history(opened, key, end, count))

    def many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those keys that are there; raises what :meth:`find` does."""
        found = [self.find(key) for key in keys]
        return {item.key: item.value for item in found if item is not None}

    def scan(self, glob: Glob) -> Iterator[tuple[str, Any]]:
        """Yield key and value of all that fit, by key."""
        for found in self._present(glob):
            yield found.key, found.value

    def keys(self, glob: Glob) -> Iterator[str]:
        """Yield the keys that fit, rising as UTF-8 does."""
        for found in self._present(glob):
            yield found.key

    def count(self, glob: Glob) -> int:
        """Return how many keys fit."""
        return sum(1 for _ in self._present(glob))

    def read(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what `read` finds in the book."""
        return read_book(self._files, read)

    def _present(self, glob: Glob) -> Iterator[KeyVersion]:
        after: str | None = ""
        while after is not None:
            rows, after = self.read(partial(self._page, glob, after))
            now_ns = self._now()
            yield from (found for found in rows if not found.is_over(now_ns))

    def _page(
        self, glob: Glob, after: str, connection: sqlite3.Connection
    ) -> tuple[list[KeyVersion], str | None]:
        return self._past.page(connection, glob, after)

    def _now(self) -> int:
        return self._files.time_ns() if self._now_ns is None else self._now_ns


def view_at(files: StoreFiles, ns: str, at: MomentLike, branch: int = MAIN) -> ViewReader:
    """Return a namespace as it was.

    Args:
        files: of the home.
        ns: the namespace.
        at: a seq, a time or a hash (``hourbook.book.moment``). Time limits are judged by that time,
            or by the time of the commit that a seq or a hash means.
        branch: number of the branch; 0 is main.

    Raises:
        BadRequest: no moment. NotInBook: none of this book.
    """
    moment = parse_moment(at)

    def resolve(connection: sqlite3.Connection) -> tuple[int, int]:
        commit = find_commit_at(files.home, connection, moment, files.time_ns())
        row = connection.execute("SELECT time_ns FROM entry WHERE seq = ?", (commit.last_seq,))
        return commit.last_seq, row.fetchall()[0][0]

    last_seq, time_ns = read_book(files, resolve)
    now_ns = time_ns if moment.time_ns is None else moment.time_ns
    return ViewReader(files, ns, branch, last_seq, now_ns)


def read_book(files: StoreFiles, read: Callable[[sqlite3.Connection], _T]) -> _T:
    """Return what `read` finds in the book."""
    return files.read(lambda line: read(line.connection))
