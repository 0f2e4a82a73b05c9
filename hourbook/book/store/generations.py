"""What tells readers that a key may have changed: a counter for each bucket of keys.

Odd from just before a COMMIT until it has ended, however it did; the protocol and its proof are in
``docs/SEGMENT.md``. Here only its face, since a book is written where no segment is, too.
"""

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Generations", "Unread"]


class Generations(Protocol):
    """The counters, for the one process that commits."""

    def begin(self, buckets: Sequence[int]) -> None:
        """Make counters odd: before the COMMIT. Buckets may repeat."""

    def end(self, buckets: Sequence[int]) -> None:
        """Make counters even: after the COMMIT, or after its rollback."""


class Unread:
    """Of a book that nobody else reads while it is written."""

    def begin(self, buckets: Sequence[int]) -> None:
        """Tell nobody."""

    def end(self, buckets: Sequence[int]) -> None:
        """Tell nobody."""
