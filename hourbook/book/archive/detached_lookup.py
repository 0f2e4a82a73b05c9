"""Details that are no longer in the database, for SQL that asks for them row by row. Reads only.

It has a reader of its own, opened at the first such row, and reads a page of entries ahead, since
most queries go through the book in its order.
"""

from typing import Final

from hourbook.book.reader import BookReader
from hourbook.home import Home
from protocols import errors
from protocols.entry import Entry, Missing

__all__ = ["DetachedLookup"]

PAGE_ENTRIES: Final = 128


class DetachedLookup:
    """What became of details, by seq; for one query.

    Attributes:
        failure: why details that are in the archive could not be read, once that happened.
    """

    def __init__(self, home: Home) -> None:
        """Open nothing yet."""
        self.failure: errors.HourbookError | None = None
        self._home = home
        self._reader: BookReader | None = None
        self._page: dict[int, Entry] = {}

    def details(self, seq: int) -> bytes | None:
        """Return the archived details of an entry; None where they were dropped for good.

        Raises:
            ArchiveDamaged: the file is missing or damaged; `failure` says so too.
        """
        entry = self._entry(seq)
        if entry.details_raw is None and entry.missing and entry.missing.cause == "unreadable":
            self.failure = errors.ArchiveDamaged(
                f"Expected the details of seq {seq}: {entry.missing.why}", field="details"
            )
            raise self.failure
        return entry.details_raw

    def missing(self, seq: int) -> Missing | None:
        """Return why an entry has no details any more; None where they are in the archive."""
        return self._entry(seq).missing

    def close(self) -> None:
        """Close the reader, where one was opened."""
        if self._reader is not None:
            self._reader.close()

    def _entry(self, seq: int) -> Entry:
        if seq not in self._page:
            if self._reader is None:
                self._reader = BookReader(self._home)
            self._page = {entry.seq: entry for entry in self._reader.page(seq - 1, PAGE_ENTRIES)}
        return self._page[seq]
