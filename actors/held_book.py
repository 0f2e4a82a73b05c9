"""The book as journal_writer holds it: open, or refused, or to be opened again in a while.

A book that cannot be opened is tried again every RETRY_S. One that does not verify, or that SQLite
finds malformed, stays open for those who read and is written no more, until somebody says that it
can be trusted. Where the disk failed nobody knows what is on it: the process ends at once, without
closing the database, since closing would ask the disk again.
"""

import logging
import os
import sqlite3
from collections.abc import Callable
from typing import Final, NoReturn

from actors.contract import Reactor
from hourbook.book import distrust, schema
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols import errors

__all__ = ["EXIT_DISK_FAILED", "HeldBook"]

RETRY_S: Final = 5.0
EXIT_DISK_FAILED: Final = 74
"""EX_IOERR of sysexits.h."""

_log = logging.getLogger(__name__)


class HeldBook:
    """One home's book, for the loop of the one actor that may write it.

    Attributes:
        book: open; None while it cannot be.
        refusal: why nothing is written; None while everything is well.
    """

    def __init__(
        self,
        home: Home,
        reactor: Reactor,
        open_book: Callable[[], BookWriter],
        on_open: Callable[[BookWriter], None],
        has_lost_volatile: Callable[..., bool],
    ) -> None:
        """Hold nothing yet.

        Args:
            home: whose book.
            reactor: is told how we are, and to try again later.
            open_book: as ``BookWriter.open``.
            on_open: called each time it was opened, also where it may not be written.
            has_lost_volatile: whether the other database is bad; `thoroughly` looks at all of it.
        """
        self._home, self._reactor = home, reactor
        self._open_book, self._on_open = open_book, on_open
        self._has_lost_volatile = has_lost_volatile
        self.book: BookWriter | None = None
        self.refusal: errors.HourbookError | None = None

    @property
    def is_writable(self) -> bool:
        """Whether it is open and may be written."""
        return self.book is not None and self.refusal is None

    def open(self) -> None:
        """Open the book, now or as soon as that is possible."""
        try:
            self.book = self._open_book()
        except errors.HourbookError as error:
            self.refuse_from_now_on(error)
            self._reactor.after(RETRY_S, self.open)
            return
        self.refusal = None
        self.book.sweep_archive(force=True)
        if (standing := distrust.load(self._home)) is not None:
            self.refuse_from_now_on(standing.as_error(self._home.book_db))
        else:
            self._reactor.recover()
        self._on_open(self.book)

    def require_open(self) -> BookWriter:
        """Return the book.

        Raises:
            HourbookError: it is not open, and why.
        """
        if self.book is None:
            raise self.refusal or errors.InternalError("Expected an open book")
        return self.book

    def require_writable(self) -> BookWriter:
        """Return the book; raises why it may not be written."""
        if self.book is None or self.refusal is not None:
            raise self.refusal or errors.InternalError("Expected an open book")
        return self.book

    def refuse_from_now_on(self, error: errors.HourbookError) -> None:
        """Write nothing more, and say why to whoever asks."""
        self.refusal = error
        self._reactor.degrade(str(error))

    def take_for_bad(self, first_bad_seq: int, problem: str) -> None:
        """Believe somebody who found that it does not verify."""
        found = distrust.Distrust(first_bad_seq, problem)
        self.refuse_from_now_on(found.as_error(self._home.book_db))

    def trust_again(self) -> None:
        """Open a distrusted book as it is now: what was repaired may be another than we knew."""
        if self.book is None or self.refusal is None:
            return
        try:
            self.book.close()
        except sqlite3.Error as error:
            self.die(error)
        self.book = None
        self.open()

    def check_volatile(self) -> None:
        """End this process where the volatile keys are lost: its successor begins with none."""
        if self._has_lost_volatile():
            self._end("the volatile keys are lost, at %s", self._home.volatile_db)

    def distrust_or_die(self, error: sqlite3.Error) -> errors.HourbookError:
        """Leave a malformed book alone from now on; return what every append is refused with."""
        if self._has_lost_volatile(thoroughly=True):  # then it is not the book that is malformed
            self._end("the volatile keys are lost: %s, at %s", error, self._home.volatile_db)
        if schema.error_code(error) & 0xFF != sqlite3.SQLITE_CORRUPT or self.book is None:
            self.die(error)
        found = distrust.Distrust(self.book.head.seq + 1, f"unreadable: {error}")
        try:
            distrust.store(self._home, found)
        except OSError:
            self.die(error)
        refusal = found.as_error(self._home.book_db)
        self.refuse_from_now_on(refusal)
        return refusal

    def die(self, error: sqlite3.Error) -> NoReturn:
        """End at once: what is on the disk is unknown, and must be read again from there."""
        self._end("the disk failed: %s, at %s", error, self._home.book_db)

    def _end(self, text: str, *arguments: object) -> NoReturn:
        _log.critical(text, *arguments)
        logging.shutdown()
        os._exit(EXIT_DISK_FAILED)
