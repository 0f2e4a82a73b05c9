"""When journal_writer tidies up after itself: its log, and what it has dropped for good.

The log is moved into the database when a second went by without a commit, and cut back to nothing
when it has grown large. Pages of the log hold what was redacted until then, so after a redaction it
is cut back as soon as no reader needs it; the same goes for archive files that were made anew.
"""

from hourbook.book.writer import BookWriter
from protocols.book_messages import Maintain, Maintained

__all__ = ["WriterUpkeep"]


class WriterUpkeep:
    """What is still to be done about an open book; for the writer's one thread."""

    def __init__(self, wal_bytes_max: int) -> None:
        """Nothing is due.

        Args:
            wal_bytes_max: size of the log at which it is cut back to nothing (bytes).
        """
        self._wal_bytes_max = wal_bytes_max
        self._is_dirty = self._was_busy = False
        self._has_erased = True  # a predecessor may have died before it cut the log back

    def note_commit(self, *, has_erased: bool) -> None:
        """Say that a group was committed, and whether it dropped details for good."""
        self._is_dirty = self._was_busy = True
        self._has_erased |= has_erased

    def tidy(self, book: BookWriter) -> None:
        """Do what is due, once a second.

        Raises:
            sqlite3.Error: the disk failed.
        """
        is_idle, self._was_busy = not self._was_busy, False
        if self._has_erased:
            is_cut = book.checkpoint(truncate=True) == 0
            self._has_erased = not (book.sweep_archive() and is_cut)
        elif book.wal_bytes() > self._wal_bytes_max:
            book.checkpoint(truncate=True)
        elif is_idle and self._is_dirty:
            book.checkpoint()
            book.sweep_archive()
            self._is_dirty = False

    def maintain(self, book: BookWriter, command: Maintain) -> Maintained:
        """Do what compactor asks for (`checkpoint`, `vacuum`, `sweep`); raises as :meth:`tidy`."""
        free_pages = book.vacuum(command.pages) if command.op == "vacuum" else 0
        if command.op == "sweep":
            book.sweep_archive(force=True)
            return Maintained(wal_bytes=book.wal_bytes())
        wal_bytes = book.checkpoint(truncate=command.op == "checkpoint")
        return Maintained(wal_bytes=wal_bytes, free_pages=free_pages)
