"""What every change has in common: a request that does something durable to the book's tables.

A plain append says its entries itself. A change says what it wants (``instance.register``, later
``kv.set``); journal_writer decides which entries that means, does it to the tables in the same
transaction, and keeps the answer, refusals included, under (writer, nonce) for a resend.

The entries of a change take consecutive nonces from its own on. How many there will be its sender
does not know, so a change reserves CHANGE_NONCES of them.
"""

import functools
from typing import Annotated, Final

import msgspec

from protocols import entry, errors
from protocols.names import check_name, check_sent_name

__all__ = [
    "CHANGE_NONCES",
    "JOURNAL_WRITER",
    "RESERVED_KINDS",
    "Change",
    "check_change",
    "check_kind",
    "check_nonce",
    "check_writer",
    "is_own_record",
]

CHANGE_NONCES: Final = 1 << 17
"""Counters that one change takes up, and so the most entries that it may mean."""
JOURNAL_WRITER: Final = "journal_writer"
"""Writes the book; under this name what it decides itself, as to release a dead instance's name."""
RESERVED_KINDS: Final = frozenset(
    ("instance", "session", "branch", "book", "key", "kv", "lock", "memory")
)
"""First words of the kinds that stand for a change of the book's tables; no append may use them."""
_I64_MAX: Final = (1 << 63) - 1
_COUNTERS: Final = 1 << 64


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The base of every change.

    Attributes:
        writer: name of the instance that asks (``[a-z0-9._-]{1,64}``).
        nonce: 16 bytes; the next CHANGE_NONCES - 1 counters are taken up too.
        session: name of a session, or "".
        hlc: the writer's hybrid logical time, merged into the book's; 0 is none.
    """

    writer: str
    nonce: bytes
    session: str = ""
    hlc: Annotated[int, msgspec.Meta(ge=0, le=_I64_MAX)] = 0


def check_change(change: Change) -> None:
    """Check what all changes have in common.

    Raises:
        BadRequest: naming the field.
    """
    check_writer(change.writer)
    if change.session:
        check_sent_name(change.session, "session")
    check_nonce(change.nonce, CHANGE_NONCES)


@functools.lru_cache(maxsize=1024)
def check_writer(writer: str) -> None:
    """Check the name of whoever asks for something to be written; most ask often.

    Raises:
        BadRequest: it is no name, or the one under which journal_writer writes.
    """
    check_name(writer, "writer")
    if writer == JOURNAL_WRITER:
        raise errors.BadRequest(
            f"Expected a name of your own, got {JOURNAL_WRITER}, which writes for itself",
            field="writer",
            value=JOURNAL_WRITER,
        )


def check_nonce(nonce: bytes, count: int) -> None:
    """Check the nonce of a request that takes up `count` of them.

    Raises:
        BadRequest: not 16 bytes, or its counter would overflow.
    """
    if len(nonce) != entry.NONCE_SIZE:
        raise errors.BadRequest(
            f"Expected a `nonce` of {entry.NONCE_SIZE} bytes, got {len(nonce)}", field="nonce"
        )
    if int.from_bytes(nonce[8:], "big") + count > _COUNTERS:
        raise errors.BadRequest("Expected a counter below 2^64", field="nonce")


def is_own_record(kind: str) -> bool:
    """Return whether an entry of this kind is the book's own record, whose details must stay."""
    word, dot, _ = kind.partition(".")
    return kind == "kv.schema" or (bool(dot) and word in RESERVED_KINDS - {"kv", "memory"})


def check_kind(kind: str) -> None:
    """Check that the kind of a plain entry is not one of ours.

    Raises:
        BadRequest: its first word is reserved.
    """
    word, dot, _ = kind.partition(".")
    if dot and word in RESERVED_KINDS:
        raise errors.BadRequest(
            f"Expected a `kind` of your own, got {kind!r}: {word}.* stands for changes that only"
            " Hourbook makes",
            field="kind",
            value=kind,
        )
