"""What may become of the details of old entries: redacted, archived, dropped by a rule.

All three are changes (``protocols.change``): journal_writer does them, and signs an entry that says
what was done, why, and at whose wish. The entries themselves stay, with the hash of their details:
the chain verifies as before.
"""

from typing import Annotated, Final

import msgspec

from protocols.change import Change

__all__ = [
    "BOOK_ARCHIVE",
    "BOOK_REDACT",
    "BOOK_RETAIN",
    "SEALED_AGE_NS",
    "Archived",
    "Redact",
    "Redaction",
    "Retain",
    "Retained",
    "SealArchive",
]

BOOK_REDACT: Final = "book.redact"
BOOK_ARCHIVE: Final = "book.archive"
BOOK_RETAIN: Final = "book.retain"
SEALED_AGE_NS: Final = 24 * 3600 * 1_000_000_000
"""The resend window: details younger than this are neither archived nor dropped by a rule, since a
resend of their entry is told from a reused nonce by them."""
_Seq = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class Redact(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``book.redact``: drop the details of one entry for good.

    Attributes:
        seq: of the entry.
        why: 1 B to 1 KiB; it stays in the book for ever.
    """

    seq: _Seq
    why: str


class Redaction(msgspec.Struct, frozen=True):
    """The answer to ``book.redact``.

    Attributes:
        seq: of the entry that says so; of the earlier one, where the details were gone already.
        target: the entry whose details are gone.
        is_new: they were dropped just now.
    """

    seq: int
    target: int
    is_new: bool


class SealArchive(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``book.archive``: take the details that an archive file holds out of the database.

    Attributes:
        file: its name in the archive directory; it is there already, and synced.
        sha256: of its bytes.
    """

    file: str
    sha256: bytes


class Archived(msgspec.Struct, frozen=True):
    """The answer to ``book.archive``: its entry, how many details moved, their size (bytes)."""

    seq: int
    entries: int
    size_bytes: int


class Retain(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``book.retain``: drop details for good, as a rule of retention wants it.

    Attributes:
        rule: its words, for the record.
        ranges: of seqs, each (first, last), rising.
    """

    rule: str
    ranges: list[tuple[_Seq, _Seq]]


class Retained(msgspec.Struct, frozen=True):
    """The answer to ``book.retain``: its entry, how many details went, their size (bytes)."""

    seq: int
    entries: int
    size_bytes: int
