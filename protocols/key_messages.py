"""``key.rotate``: the book goes on under a new signing key, which the old one names."""

from typing import Final

import msgspec

from protocols.change import Change

__all__ = ["KEY_ROTATE", "KeyRotated", "RotateKey", "key_statement"]

KEY_ROTATE: Final = "key.rotate"
"""Kind of the entry that names the next key: 64 hex digits, its entity. The commit that holds it is
signed by the old key, the next one by the new."""

_DOMAIN: Final = b"hourbook/key/1"


def key_statement(prev_commit: bytes, previous: bytes) -> bytes:
    """Return what the new key signs: the commit before the one that names it, and the old key."""
    return _DOMAIN + prev_commit + previous


class RotateKey(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``key.rotate``: make a new signing key; the old one signs for it, and is then destroyed.

    Attributes:
        why: kept in the book (1 KiB of UTF-8).
    """

    why: str = ""


class KeyRotated(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``key.rotate``.

    Attributes:
        seq: of the entry that names the new key.
        key: the new public key (32 bytes); it signs the commits that follow.
        previous: the public key before (32 bytes).
    """

    seq: int
    key: bytes
    previous: bytes
