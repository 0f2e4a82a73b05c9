"""The next signing key: ``key.rotate``. The old key signs the entry that names the new one."""

from typing import Final

from hourbook.book.changes.scope import ChangeKind, Scope
from protocols import entry, errors
from protocols.change import check_change
from protocols.key_messages import KEY_ROTATE, KeyRotated, RotateKey

__all__ = ["ROTATE_KEY"]


def _check(change: RotateKey) -> None:
    check_change(change)
    size = len(change.why.encode())
    if size > entry.KEY_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected `why` of at most {entry.KEY_BYTES_MAX} bytes, got {size}",
            field="why",
            value=str(size),
        )


def _rotate(change: RotateKey, scope: Scope) -> KeyRotated:
    previous, key = scope.keys.current.public, scope.keys.stage()
    details = {"why": change.why, "previous": previous.hex()}
    # The entity can never be dropped, so the chain of keys can always be followed.
    seq = scope.record(KEY_ROTATE, "rotated", key.hex(), details)
    return KeyRotated(seq, key, previous)


ROTATE_KEY: Final = ChangeKind(KEY_ROTATE, RotateKey, _check, _rotate)
