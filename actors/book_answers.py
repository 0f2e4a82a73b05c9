"""What journal_writer answers to what it has written. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from hourbook.book.changes.outcomes import Outcome
from hourbook.book.journal import Row
from protocols import errors
from protocols.book_messages import Append

__all__ = ["appended_body", "outcome_body"]


def appended_body(rows: Sequence[Row], body: Append) -> dict[str, Any]:
    """Return the body of an ``Appended``, without a struct for each entry."""
    acks = [(row[0], row[1], row[2], row[3], row[12], row[15], row[16]) for row in rows]
    redacted = getattr(body, "redacted", ())
    return {"entries": acks, "redacted": redacted} if redacted else {"entries": acks}


def outcome_body(outcome: Outcome) -> msgspec.Raw | errors.HourbookError:
    """Return what a change is answered: its encoded body, or why it was refused."""
    return msgspec.Raw(outcome.body) if outcome.error is None else outcome.error
