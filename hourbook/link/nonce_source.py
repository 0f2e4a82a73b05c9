"""Names for requests: nonces that rise, and that nobody else of the same writer has used. An edge.

The first half of a nonce is the *incarnation*: milliseconds (of 2^20 ns) since 1970 and 20 random
bits. So the nonces of a later connection are above those of an earlier one, and two that begin in
the same millisecond differ. The second half rises by CHANGE_NONCES from each request to the next,
whatever it needs of them: there are enough for 2^47 requests.
"""

import itertools
import os
import time
from collections.abc import Iterator
from operator import methodcaller
from typing import Final

from protocols.change import CHANGE_NONCES
from protocols.entry import NONCE_SIZE, make_nonce

__all__ = ["new_nonces"]

_RANDOM_BITS: Final = 20
_U64: Final = (1 << 64) - 1


def new_nonces() -> Iterator[bytes]:
    """Return the nonces of a new connection: each is the first of CHANGE_NONCES that are its own.

    All threads of the connection may draw from it: a step runs no Python code, and so is atomic.
    """
    millisecond = time.time_ns() >> _RANDOM_BITS
    random = int.from_bytes(os.urandom(4), "big") >> (32 - _RANDOM_BITS)
    first = make_nonce((millisecond << _RANDOM_BITS | random) & _U64, 1)
    numbers = itertools.count(int.from_bytes(first, "big"), CHANGE_NONCES)
    return map(methodcaller("to_bytes", NONCE_SIZE, "big"), numbers)
