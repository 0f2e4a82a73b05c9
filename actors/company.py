"""Whom a group of requests is worth waiting for: who comes back as soon as it is answered. Pure.

A commit costs some 0.4 ms however little is in it. Whoever was answered by the same one asks again
within moments of each other; and the first of them would have a commit to itself, for which all
others have to wait. Who did not come in time is not expected for some turns, so that one who takes
its time, among others who do not, hardly costs them anything.
"""

from collections.abc import Iterable
from typing import Final

__all__ = ["WAIT_NS", "Company"]

WAIT_NS: Final = 400_000
"""Eight clients on two processors need 0.1 to 0.4 ms until all have asked again."""
_TURNS_NEW: Final = 2
"""Whoever asks once or twice, as a command does, is expected by nobody."""
_TURNS_SPARED: Final = 8
_PEERS_MAX: Final = 10_000
"""That are remembered; who has gone is not told, so beyond that all are learnt anew."""


class Company:
    """The peers of one mailbox, as far as they are expected back."""

    __slots__ = ("_missing", "_turns", "_until_ns")

    def __init__(self) -> None:
        self._until_ns = 0
        self._missing: set[bytes] = set()
        self._turns: dict[bytes, int] = {}  # until one is expected

    def leave(self, peers: Iterable[bytes], now_ns: int) -> None:
        """Take in that peers were answered; who is still missing since before is so no longer."""
        turns = self._turns
        if len(turns) > _PEERS_MAX:
            turns.clear()
        self._missing = set()
        for peer in peers:
            if left := turns.get(peer, _TURNS_NEW):
                turns[peer] = left - 1
            else:
                self._missing.add(peer)
        self._until_ns = now_ns + WAIT_NS

    def arrive(self, peer: bytes) -> None:
        """Take in that a peer has asked."""
        self._missing.discard(peer)

    def is_expected(self, now_ns: int) -> bool:
        """Return whether somebody is likely to ask within moments."""
        if self._missing and now_ns >= self._until_ns:
            self._turns |= dict.fromkeys(self._missing, _TURNS_SPARED)
            self._missing = set()
        return bool(self._missing)
