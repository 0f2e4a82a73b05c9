"""One entry's details dropped for good, on somebody's word: ``book.redact``.

Only details and salt go. What was done to what, by whom and when stays, and so does the hash of the
details: the chain verifies, and without the salt nobody can guess short details back.
"""

from typing import Final

from hourbook.book.changes.erasing import erase
from hourbook.book.changes.scope import ChangeKind, Scope
from protocols import entry, errors
from protocols.change import check_change, is_own_record
from protocols.keep_messages import BOOK_REDACT, Redact, Redaction

__all__ = ["REDACT", "check_text"]


def check_text(text: str, field: str) -> None:
    """Check what is kept as the reason of something.

    Raises:
        BadRequest, LimitExceeded: it is empty, or too long.
    """
    size = len(text.encode())
    if not text.strip():
        raise errors.BadRequest(f"Expected `{field}` to say something, got empty text", field=field)
    if size > entry.KEY_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected `{field}` of at most {entry.KEY_BYTES_MAX} bytes, got {size}",
            field=field,
            value=str(size),
        )


def _check(change: Redact) -> None:
    check_change(change)
    check_text(change.why, "why")


def _redact(change: Redact, scope: Scope) -> Redaction:
    connection, target = scope.connection, change.seq
    row = None
    if 0 < target <= scope.head_seq:
        row = connection.execute("SELECT kind FROM entry WHERE seq = ?", (target,)).fetchone()
    if row is None:
        raise errors.NotInBook(
            f"Expected a seq of the book, got {target}", field="seq", value=str(target)
        )
    if is_own_record(row[0]):
        raise errors.BadRequest(
            f"Expected an entry that an instance wrote, got {row[0]} at seq {target}: the book's"
            " own record",
            field="seq",
            value=str(target),
        )
    gone = connection.execute(
        "SELECT by_seq FROM detached WHERE seq = ? AND archive IS NULL", (target,)
    ).fetchone()
    if gone is not None:
        return Redaction(gone[0], target, is_new=False)
    said = erase(connection, scope.shelf, [target], scope.head_seq + 1)
    scope.store.erase(connection, [target])
    details = {"seq": target, "why": change.why, **said}
    seq = scope.record(BOOK_REDACT, "redacted", str(target), details)
    return Redaction(seq, target, is_new=True)


REDACT: Final = ChangeKind(BOOK_REDACT, Redact, _check, _redact)
