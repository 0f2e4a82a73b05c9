"""What became of each change, kept for as long as a resend of it may come.

One row for each answer or refusal, in the order in which they were given; so the oldest are the
first, and are dropped a few at a time by later changes.
"""

import hashlib
import sqlite3
from collections.abc import Callable
from typing import Final

import msgspec

from protocols import errors
from protocols.change import Change
from protocols.wire import ErrorBody

__all__ = ["OUTCOME_KEPT_NS", "Outcome", "encode_answer", "find", "refuse", "store"]

OUTCOME_KEPT_NS: Final = 24 * 3600 * 1_000_000_000
"""As long as the window in which a nonce may come again."""
_DROPPED_AT_ONCE: Final = 16
_DIGEST_SIZE: Final = 16
encode_answer: Final[Callable[[msgspec.Struct], bytes]] = msgspec.msgpack.Encoder().encode
"""Returns the body of the outcome of a change that was done."""
_encode = msgspec.msgpack.Encoder().encode
_decode_error = msgspec.msgpack.Decoder(ErrorBody).decode


class Outcome(msgspec.Struct, frozen=True):
    """What a change is answered.

    Attributes:
        body: the encoded answer; of a refusal, its encoded ErrorBody.
        error: why it was refused, None where it was done.
        entries: how many it recorded (0 where the outcome was read back).
    """

    body: bytes
    error: errors.HourbookError | None = None
    entries: int = 0


def refuse(error: errors.HourbookError) -> Outcome:
    """Return the outcome of a change that was refused."""
    body = ErrorBody(error.code, error.message, error.field, error.value, error.hint)
    return Outcome(_encode(body), error)


def store(connection: sqlite3.Connection, change: Change, outcome: Outcome, time_ns: int) -> None:
    """Keep an outcome, and drop the oldest ones that nobody can ask for any more."""
    connection.execute(
        "INSERT INTO outcome (writer, nonce, time_ns, digest, refused, body)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            change.writer,
            change.nonce,
            time_ns,
            _digest(change),
            outcome.error is not None,
            outcome.body,
        ),
    )
    connection.execute(
        "DELETE FROM outcome WHERE id IN (SELECT id FROM outcome ORDER BY id LIMIT ?)"
        " AND time_ns < ?",
        (_DROPPED_AT_ONCE, time_ns - OUTCOME_KEPT_NS),
    )


def find(connection: sqlite3.Connection, change: Change) -> Outcome | None:
    """Return what a change was answered before; None where it is not known.

    Raises:
        BadRequest: its nonce was used for another change.
    """
    row = connection.execute(
        "SELECT digest, refused, body FROM outcome WHERE writer = ? AND nonce = ?",
        (change.writer, change.nonce),
    ).fetchone()
    if row is None:
        return None
    digest, refused, body = row
    if digest != _digest(change):
        raise errors.BadRequest(
            f"Expected a nonce of its own for each request, got one that {change.writer}"
            " used for another change",
            field="nonce",
            value=change.nonce.hex(),
        )
    if not refused:
        return Outcome(body)
    known = _decode_error(body)
    error = errors.from_code(
        known.code, known.message, field=known.field, value=known.value, hint=known.hint
    )
    return Outcome(body, error)


def _digest(change: Change) -> bytes:
    """Return what tells one change from another; a resend may carry a later hybrid time."""
    said = (type(change).__name__, msgspec.structs.replace(change, hlc=0))
    return hashlib.sha256(_encode(said)).digest()[:_DIGEST_SIZE]
