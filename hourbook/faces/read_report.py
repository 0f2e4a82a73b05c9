"""What a connection tells journal_writer in its beats: how much it has read of the store."""

import os
from collections.abc import Callable
from typing import Final

from protocols.kv_figures import ReadReport, Reads

__all__ = ["ReadReporter"]

_NAMESPACES_MAX: Final = 1000


class ReadReporter:
    """The reads of one connection; for its beats alone, which one thread makes."""

    def __init__(self) -> None:
        """Begin with no store."""
        self._life = int.from_bytes(os.urandom(7), "big")
        self._counters: dict[str, Callable[[], Reads]] = {}
        self._is_first = True

    def add(self, ns: str, counter: Callable[[], Reads]) -> None:
        """Tell of a store from now on; `counter` returns what was read of it so far."""
        self._counters[ns] = counter

    def make(self) -> ReadReport | None:
        """Return what was read since the connection began; None where it has no store."""
        stores = list(self._counters.items())[:_NAMESPACES_MAX]
        if not stores:
            return None
        counts = {ns: counter() for ns, counter in stores}
        return ReadReport(self._life, counts, self._is_first)

    def told(self) -> None:
        """Take in that a report was answered."""
        self._is_first = False
