"""Telling a resend from a new request, and both from a nonce that was used twice. Pure.

A nonce is the writer's own name for an entry, never used for another. A request of n entries uses n
of them in a row, a change CHANGE_NONCES.
"""

from collections.abc import Sequence

from protocols import entry, errors
from protocols.book_messages import Append
from protocols.change import CHANGE_NONCES, Change

__all__ = [
    "Content",
    "contents",
    "last_nonce",
    "nonce_after",
    "nonce_count",
    "nonces_from",
    "overlap",
    "require_same",
]

Content = tuple[bytes, str, str, str, bytes | None]
"""What tells a resend from a reused nonce: nonce, kind, action, entity, details."""


def nonce_after(nonce: bytes, count: int) -> bytes:
    """Return the nonce that comes `count` after another."""
    if not count:
        return nonce
    return (int.from_bytes(nonce, "big") + count).to_bytes(entry.NONCE_SIZE, "big")


def nonces_from(first: bytes, count: int) -> list[bytes]:
    """Return so many nonces in a row (>= 1)."""
    if count == 1:
        return [first]
    number = int.from_bytes(first, "big")
    return [n.to_bytes(entry.NONCE_SIZE, "big") for n in range(number, number + count)]


def last_nonce(request: Append | Change) -> bytes:
    """Return the last nonce that a request takes up."""
    return nonce_after(request.nonce, nonce_count(request) - 1)


def nonce_count(request: Append | Change) -> int:
    """Return how many nonces a request takes up."""
    return len(request.entries) if isinstance(request, Append) else CHANGE_NONCES


def overlap(one: Append | Change, other: Append | Change) -> bool:
    """Return whether two requests of one writer use a nonce in common."""
    return one.nonce <= last_nonce(other) and other.nonce <= last_nonce(one)


def contents(request: Append) -> list[Content]:
    """Return what a request says, entry by entry."""
    return [
        (
            nonce_after(request.nonce, index),
            new.kind,
            new.action,
            new.entity,
            bytes(new.details),
        )
        for index, new in enumerate(request.entries)
    ]


def require_same(known: Sequence[Content], request: Append) -> None:
    """Check that `request` says what is `known` under its nonces.

    Raises:
        BadRequest: it says something else, or more, or less.
    """
    sent = contents(request)
    same = len(known) == len(sent) and all(
        # Details that were dropped since cannot be compared; the rest can.
        old[:4] == new[:4] and old[4] in (None, new[4])
        for old, new in zip(known, sent, strict=True)
    )
    if not same:
        raise errors.BadRequest(
            f"Expected a nonce of its own for each request, got one that {request.writer}"
            " used for other entries",
            field="nonce",
            value=request.nonce.hex(),
        )
