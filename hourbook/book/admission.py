"""Telling what is new from what was seen: every request is done once, whatever its sender resends.

A nonce is its writer's own name for a request and never used for another. Nonces above a writer's
highest cannot be in the book and skip the look-up; a lower one may still be new, since requests
overtake each other.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from hourbook.book import journal
from hourbook.book.changes import outcomes
from hourbook.book.changes.group import Kinds
from hourbook.book.changes.outcomes import Outcome
from hourbook.book.nonces import contents, last_nonce, nonce_count, overlap, require_same
from hourbook.book.rows import ENTRY_COLUMNS
from hourbook.book.store.volatile import VolatileStage
from protocols import errors
from protocols.book_messages import Append
from protocols.change import Change

__all__ = ["RESEND_WINDOW_NS", "Admission"]

RESEND_WINDOW_NS: Final = 24 * 3600 * 1_000_000_000
"""A first attempt older than this is forgotten: a resend of it is refused, not written twice."""
WRITERS_REMEMBERED_MAX: Final = 10_000


class Admission:
    """What an open book knows of nonces; for the writer's one thread."""

    def __init__(
        self, connection: sqlite3.Connection, kinds: Kinds, volatile: VolatileStage | None = None
    ) -> None:
        self._connection, self._kinds, self._volatile = connection, kinds, volatile
        self._highest: dict[str, int] = {}  # nonce that each writer has used

    def is_above(self, request: Append | Change) -> bool:
        """Return whether the nonce of a checked request is above all that its writer has used.

        Then it is new, and to be done; otherwise, or where those are not known yet, ask
        :meth:`is_new`.
        """
        highest = self._highest.get(request.writer)
        nonce = int.from_bytes(request.nonce, "big")
        if highest is None or nonce <= highest:
            return False
        self._highest[request.writer] = nonce + nonce_count(request) - 1
        return True

    def is_new(
        self, request: Append | Change, pending: Iterable[Append | Change], now_ns: int
    ) -> bool:
        """Return whether a checked request is to be done; False when it was, or waits to be.

        Args:
            request: to be judged.
            pending: requests accepted and not yet committed.
            now_ns: UTC.

        Raises:
            NonceExpired: its first attempt lies too far back to know what became of it.
            BadRequest: its nonces were used for something else.
        """
        if request.writer not in self._highest:
            self._load_highest(request.writer, pending)
        if self.is_above(request):
            return True
        for other in pending:
            if other.writer == request.writer and overlap(other, request):
                _require_equal(other, request)
                return False
        if isinstance(request, Append):
            if self.rows_of(request):
                return False
        elif self.outcome_of(request) is not None:
            return False
        self._require_young(request, now_ns)
        last = int.from_bytes(last_nonce(request), "big")
        self._highest[request.writer] = max(last, self._highest[request.writer])
        return True

    def rows_of(self, request: Append) -> list[journal.Row]:
        """Return the rows that an append already has in the book; [] when it is not there.

        Raises:
            BadRequest: its nonces were used for other entries.
        """
        rows = self._rows(request)
        if rows:
            require_same([(row[7], row[8], row[9], row[10], row[13]) for row in rows], request)
        return rows

    def outcome_of(self, change: Change) -> Outcome | None:
        """Return what a change was answered; None where it was never done.

        Raises:
            BadRequest: its nonce was used for something else.
            NonceExpired: it was done, and its answer is no longer known.
        """
        outcome = outcomes.find(self._connection, change)
        if outcome is None and self._volatile is not None:
            outcome = outcomes.find(self._volatile.connection, change)
        if outcome is not None:
            return outcome
        rows = self._rows(change)
        if not rows:
            return None
        replay = self._kinds[type(change)].replay
        if replay is None:
            raise errors.NonceExpired(
                "Expected a nonce of the last 24 h, got one whose answer is forgotten",
                field="nonce",
                value=change.nonce.hex(),
            )
        return Outcome(outcomes.encode_answer(replay(change, rows)))

    def _rows(self, request: Append | Change) -> list[journal.Row]:
        return self._connection.execute(
            f"SELECT {ENTRY_COLUMNS} FROM entry"  # noqa: S608 - constants
            " WHERE writer = ? AND nonce BETWEEN ? AND ? ORDER BY nonce",
            (request.writer, request.nonce, last_nonce(request)),
        ).fetchall()

    def _load_highest(self, writer: str, pending: Iterable[Append | Change]) -> None:
        """Look for the highest nonce that `writer` has used, what is not yet in the book too."""
        if len(self._highest) >= WRITERS_REMEMBERED_MAX:
            self._highest.clear()
        rows = self._connection.execute(
            "SELECT max(nonce) FROM entry WHERE writer = ?"
            " UNION ALL SELECT max(nonce) FROM outcome WHERE writer = ?",
            (writer, writer),
        ).fetchall()
        if self._volatile is not None:
            sql = "SELECT max(nonce) FROM outcome WHERE writer = ?"
            rows += self._volatile.connection.execute(sql, (writer,)).fetchall()
        known = [row[0] or b"" for row in rows]
        known += [last_nonce(other) for other in pending if other.writer == writer]
        self._highest[writer] = int.from_bytes(max(known), "big")

    def _require_young(self, request: Append | Change, now_ns: int) -> None:
        """Refuse a nonce that was passed over longer ago than the resend window.

        Counters are used in order: a later one of the same incarnation, written a day ago, says
        that this one was first sent before that.
        """
        row = self._connection.execute(
            "SELECT nonce, time_ns FROM entry WHERE writer = ? AND nonce > ?"
            " ORDER BY nonce LIMIT 1",
            (request.writer, request.nonce),
        ).fetchone()
        if row is None or row[0][:8] != request.nonce[:8]:
            return
        if now_ns - row[1] > RESEND_WINDOW_NS:
            raise errors.NonceExpired(
                f"Expected a nonce of the last 24 h, got one that {request.writer} passed"
                f" {(now_ns - row[1]) // 3_600_000_000_000} h ago",
                field="nonce",
                value=request.nonce.hex(),
            )


def _require_equal(waiting: Append | Change, request: Append | Change) -> None:
    if isinstance(waiting, Append) and isinstance(request, Append):
        require_same(contents(waiting), request)
    elif waiting != request:
        raise errors.BadRequest(
            f"Expected a nonce of its own for each request, got one that {request.writer}"
            " used for another",
            field="nonce",
            value=request.nonce.hex(),
        )
