"""What an instance has not seen yet: entries from its own durable cursor on.

Read, then ack: an entry is done with when the next one is asked for (or :meth:`Updates.ack` says
so), and how far that is goes along with the beats to journal_writer. A subscriber that is killed
resumes after the last entry that it was done with; it may see some once more, and misses none.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Final, Self

from hourbook.faces.feed import Follower
from hourbook.faces.membership import Membership
from protocols import errors
from protocols.entry import Entry

__all__ = ["Updates"]

ACK_ENTRIES_MAX: Final = 256
ACK_NS_MAX: Final = 100_000_000
"""After so many entries, or so long, a busy subscriber says how far it is; an idle one at once."""


class Updates(Iterator[Entry]):
    """An endless iterator over entries that remembers, in the book, how far it came; one thread."""

    def __init__(self, follower: Follower, membership: Membership) -> None:
        """Begin where `follower` stands; use ``Book.updates``."""
        self._follower, self._membership = follower, membership
        self._last: Entry | None = None
        self._done = self._told = follower.position
        self._told_mono_ns = time.monotonic_ns()

    @property
    def position(self) -> int:
        """The last seq that is done with."""
        return self._done

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Entry:
        """Take the entry before as done with, and return the next one.

        Raises:
            NameTaken: another process holds the name now, and reads under it.
        """
        entry = self.poll(0.0)
        if entry is None:
            entry = self._last = next(self._follower)
        return entry

    def poll(self, timeout_s: float) -> Entry | None:
        """Return the next entry as iterating does; None where none comes in `timeout_s`."""
        self._finish_last()
        self._last = self._follower.poll(0.0)
        if self._last is None or self._is_due():
            self._tell()
        if self._last is None and timeout_s > 0:
            self._last = self._follower.poll(timeout_s)
        return self._last

    def ack(self, entry: Entry | None = None) -> None:
        """Take an entry, and all before it, as done with: at once; None: the last one returned.

        Raises:
            ActorUnreachable, OutcomeUnknown: journal_writer could not be told; it will be.
        """
        if entry is None or entry is self._last:
            self._finish_last()
        elif entry.seq > self._done:
            self._done = entry.seq
        self._membership.beat(self._done)
        self._told = self._done

    def close(self) -> None:
        """End; what was returned last is not done with unless acked, or the next one asked for."""
        if self._done > self._told:
            self._tell()
        self._follower.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finish_last(self) -> None:
        if self._last is not None:
            self._done, self._last = max(self._done, self._last.seq), None

    def _is_due(self) -> bool:
        return (
            self._done - self._told >= ACK_ENTRIES_MAX
            or time.monotonic_ns() - self._told_mono_ns > ACK_NS_MAX
        )

    def _tell(self) -> None:
        """Say how far we are, where journal_writer can be told; else the next time."""
        if self._last is None:  # what the filter skipped is done with too
            self._done = max(self._done, self._follower.position)
        self._told_mono_ns = time.monotonic_ns()
        if self._done == self._told:
            return
        with contextlib.suppress(errors.WorldError, errors.OperatorError):
            self._membership.beat(self._done)
            self._told = self._done
