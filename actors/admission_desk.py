"""The door of journal_writer: whether a request is to be done, and what it hears if it was before.

A request is sent again until it is answered, so one that was done, or waits to be, comes in twice.
A copy is answered after the drain, when what it copies is in the book. One that was refused for the
moment hears the same again, even where it would be done by now: its sender has been told that
nothing was kept.
"""

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from actors.book_answers import appended_body, outcome_body
from actors.contract import Request
from actors.held_book import HeldBook
from actors.remembered_refusals import RememberedRefusals
from actors.writer_figures import WriterFigures
from hourbook.book.stamps import StampSource
from hourbook.book.writer import BookWriter
from protocols import errors, hlc
from protocols.book_messages import Append
from protocols.change import Change

__all__ = ["AdmissionDesk", "Pending"]

Pending = Callable[[Append | Change], Iterable[Append | Change]]
"""Returns what is under way and not in the book, of the writer of a request at least."""


class AdmissionDesk:
    """Who is let in, as one incarnation of journal_writer judges it."""

    def __init__(
        self, stamps: StampSource, held: HeldBook, pending: Pending, figures: WriterFigures
    ) -> None:
        """Begin with nothing refused."""
        self._stamps, self._held, self._pending = stamps, held, pending
        self._figures = figures
        self._refused = RememberedRefusals()
        self._resent: list[Request[Any]] = []
        self._hlc_max = 0

    @property
    def owes_answers(self) -> bool:
        """Whether requests that were seen before wait for :meth:`end_drain`."""
        return bool(self._resent)

    def is_new(self, request: Request[Any], book: BookWriter) -> bool:
        """Return whether a request is to be done; one that was seen is answered after the drain.

        Raises:
            HourbookError: what :meth:`require_welcome` and ``Admission.is_new`` raise.
        """
        body, admission = request.body, book.admission
        if body.hlc > self._hlc_max or self._refused:
            self.require_welcome(body, book)
        try:
            if admission.is_above(body) or admission.is_new(
                body, self._pending(body), self._stamps.time_ns()
            ):
                return True
        except sqlite3.Error as error:
            raise self._held.distrust_or_die(error) from None
        self._figures.resends += 1
        self._resent.append(request)
        return False

    def require_welcome(self, body: Append | Change, book: BookWriter) -> None:
        """Refuse what comes from too far ahead of our clock, or was refused before.

        Raises:
            HourbookError: why.
        """
        # Our own time may be far ahead, where our clock once was. It is asked once a drain.
        if body.hlc > self._hlc_max and body.hlc > book.head.hlc:
            now_ns = self._stamps.time_ns()
            hlc.merge(0, body.hlc, now_ns)
            self._hlc_max = now_ns + hlc.AHEAD_MAX_NS
        if (refusal := self._refused.find(body)) is not None:
            raise refusal

    def refuse(self, request: Request[Any], error: errors.HourbookError) -> None:
        """Tell a request that nothing of it was kept, and remember that for its copies."""
        body = request.body
        self._refused.add(body, error)
        if isinstance(body, Change) or body.ack == "durable":
            request.refuse(error)

    def end_drain(self) -> None:
        """Answer the copies: what was asked for before is in the book by now, or was refused.

        For what comes next the clock is asked anew.
        """
        self._hlc_max = 0
        resent, self._resent = self._resent, []
        for request in resent:
            body = request.body
            if isinstance(body, Append) and body.ack == "received":
                continue
            try:
                answer = self._known_answer(body)
            except sqlite3.Error as error:
                answer = self._held.distrust_or_die(error)
            except errors.HourbookError as error:
                answer = error
            if answer is not None:
                request.reply(answer)

    def _known_answer(self, body: Append | Change) -> object | None:
        """Return what a request was answered before, or a HourbookError; None for neither."""
        refusal = self._refused.find(body)
        book = self._held.book
        if book is None:
            return refusal
        if isinstance(body, Append):
            rows = book.admission.rows_of(body)
            return appended_body(rows, body) if rows else refusal
        outcome = book.admission.outcome_of(body)
        return refusal if outcome is None else outcome_body(outcome)
