"""Names for requests: nonces that rise, and that nobody else of the same writer has used. An edge.

The first half of a nonce is the *incarnation*: milliseconds (of 2^20 ns) since 1970 and 20 random
bits. So the nonces of a later connection are above those of an earlier one, and two that begin in
the same millisecond differ.
"""

import os
import threading
import time
from typing import Final

from protocols import entry

__all__ = ["NonceSource"]

_RANDOM_BITS: Final = 20
_U64: Final = (1 << 64) - 1


class NonceSource:
    """The nonces of one connection; for all of its threads."""

    def __init__(self) -> None:
        """Begin a new incarnation."""
        millisecond = time.time_ns() >> _RANDOM_BITS
        random = int.from_bytes(os.urandom(4), "big") >> (32 - _RANDOM_BITS)
        self._incarnation = (millisecond << _RANDOM_BITS | random) & _U64
        self._counter = 1
        self._lock = threading.Lock()

    def take(self, count: int) -> bytes:
        """Return the first of `count` nonces that nobody else will get."""
        with self._lock:
            first = self._counter
            self._counter = first + count
        return entry.make_nonce(self._incarnation, first)
