"""The next signing key: ``key.rotate``. The old key signs the entry that names the new one.

In that entry the new key signs too: for the commit before, and the key that it follows.
"""

from typing import Final

from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.proof.key_chain import head_id
from protocols import entry, errors
from protocols.change import check_change
from protocols.key_messages import KEY_ROTATE, KeyRotated, RotateKey, key_statement

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
    previous, following = scope.keys.current.public, scope.keys.stage()
    proof = following.sign(key_statement(head_id(scope.connection), previous))
    details = {"why": change.why, "previous": previous.hex(), "proof": proof}
    # The entity can never be dropped, so the chain of keys can always be followed.
    seq = scope.record(KEY_ROTATE, "rotated", following.public.hex(), details)
    return KeyRotated(seq, following.public, previous)


ROTATE_KEY: Final = ChangeKind(KEY_ROTATE, RotateKey, _check, _rotate)
