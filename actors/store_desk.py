"""The part of journal_writer that keeps the store: what its readers are told, and what has ended.

Readers in other processes keep values of their own for as long as the counters of the segment say
that they may (``hourbook.book.store.generations``). Where the segment was replaced, who still reads
the old one must not believe its counters any more: they stay odd for ever.
"""

from collections.abc import Sequence
from typing import Final

from hourbook.book.store.rows import BUCKETS
from hourbook.home import Home
from shm.writer import GenerationWriter

__all__ = ["SegmentGenerations"]

_ALL: Final = range(BUCKETS)


class SegmentGenerations:
    """The counters in the segment of one home, wherever that is at the moment."""

    def __init__(self, home: Home) -> None:
        """Take the table.

        Raises:
            AlreadyRunning: another process commits here.
        """
        self._home = home
        self._table = GenerationWriter(home.segment)

    def begin(self, buckets: Sequence[int]) -> None:
        """Make counters odd."""
        self._renew()
        self._table.begin(buckets)

    def end(self, buckets: Sequence[int]) -> None:
        """Make counters even; in a segment that came meanwhile, all of them."""
        self._table.end(buckets)
        self._renew()

    def reset_all(self) -> None:
        """Let every reader look anew: a predecessor may have died in the middle of a commit."""
        self._table.reset_all()

    def close(self) -> None:
        """Give the table up."""
        self._table.close()

    def _renew(self) -> None:
        if self._table.segment.is_lost():
            self._table.begin(_ALL)
            self._table.close()
            self._table = GenerationWriter(self._home.segment)
            self._table.reset_all()
