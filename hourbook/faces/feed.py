"""Following the book: what is new comes from the shared ring, what is older from the database.

A follower holds a position in the ring and sleeps in the kernel until there is more: it polls
nothing, and its writer does not know it. Who falls behind by more than the ring holds is *lapped*,
reads on in the database, and returns to the ring when it has caught up. Entries come in the order
of seq, without gaps; the ring is published after the commit: what it has is in the database too.
"""

import time
from collections.abc import Iterator
from copy import copy
from itertools import chain
from typing import TYPE_CHECKING, Final

from hourbook.book.entry_filter import EntryFilter, RawFilter, Sieve
from hourbook.book.reader import PAGE_ENTRIES, BookReader
from hourbook.forks import own_pid
from hourbook.home import Home
from protocols import errors
from protocols.entry import Entry
from protocols.entry_decoder import decode_entry
from shm import segment
from shm.reader import Lapped, RingReader

if TYPE_CHECKING:
    from hourbook.faces.feed_async import AsyncFollower

__all__ = ["EVERYTHING", "Follower", "check_since"]

LOOK_MAX: Final = 256
"""Records that are looked at together."""
WAIT_S: Final = 1.0
"""Longest sleep; a follower looks around then, whether it was closed or its segment replaced."""
_LOOK_NS: Final = 500_000_000
"""Between two such looks, where somebody polls more often than that."""

EVERYTHING: Final = EntryFilter(branch=None)


class Follower(Iterator[Entry]):
    """An endless iterator over entries; for one thread."""

    def __init__(
        self, home: Home, since: int | None = None, wanted: EntryFilter | Sieve = EVERYTHING
    ) -> None:
        """Begin after seq `since`, or now.

        Args:
            home: whose book.
            since: the last seq that the caller has seen (>= 0); None: only what comes from now on.
            wanted: which entries; the others are passed over.

        Raises:
            BadRequest: no entry ever has the seq `since`.
            ActorUnreachable: there is no ring to follow: the tree has not run since the boot.
            BookMissing: there is no book yet.
        """
        if since is not None:
            check_since(since)
        self._segment_path = home.segment
        try:
            self._ring = RingReader(segment.open_reader(home.segment))
        except errors.ClockUnavailable as error:
            raise errors.ActorUnreachable(
                f"Expected a feed to follow, got none, at {home.segment}",
                field=str(home.segment),
                hint="run `supervisor start`",
            ) from error
        self._reader = BookReader(home)
        sieve = RawFilter(wanted) if isinstance(wanted, EntryFilter) else wanted
        self._needles = sieve.needles
        self._passes = None if wanted == EVERYTHING else sieve.passes
        self._position, self._position_seq = self._ring.head()
        self._last = self._position_seq if since is None else since
        self._rest: Iterator[bytes | Entry] = iter([])
        """What was gathered and not looked at yet: whoever takes it, it says how far we are."""
        self._ready: Iterator[Entry] = iter(())
        """Decodes one when one is asked for: its memory is still warm when it is let go."""
        self._closed = False
        self._looks_mono_ns = 0
        self._pid = own_pid()

    def __del__(self) -> None:
        """Close with whoever drops it: descriptors do not wait for the garbage collector.

        A child leaves its parent's as they are.
        """
        if getattr(self, "_pid", 0) == own_pid():
            self.close()

    @property
    def position(self) -> int:
        """The last seq that was returned or passed over; what follows comes next."""
        following = next(copy(self._rest), None)
        if following is None:
            return self._last
        return (decode_entry(following) if isinstance(following, bytes) else following).seq - 1

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def __iter__(self) -> Iterator[Entry]:  # noqa: PYI034 - a loop over ourselves costs it more
        """Return an iterator over what ``next(follower)`` would return, without a call for each.

        It keeps nothing of its own: what one takes, by whatever way, no other gets.
        """
        return chain.from_iterable(self._batches())

    def __aiter__(self) -> "AsyncFollower":
        """Follow in asyncio: ``async for entry in book.follow()``; a thread of its own waits."""
        from hourbook.faces.feed_async import AsyncFollower  # noqa: PLC0415 - asyncio only where used

        return AsyncFollower(self)

    def __next__(self) -> Entry:
        while True:
            for entry in self._ready:
                return entry
            if self._closed:
                raise StopIteration
            self._fill(WAIT_S)

    def poll(self, timeout_s: float) -> Entry | None:
        """Return the next entry, or None when there is none within `timeout_s` (seconds, >= 0)."""
        wait_s, until_ns = 0.0, 0
        while True:
            for entry in self._ready:
                return entry
            until_ns = until_ns or time.monotonic_ns() + int(timeout_s * 1e9)
            if self._fill(wait_s):
                continue
            wait_s = max(0, until_ns - time.monotonic_ns()) / 1e9
            if wait_s == 0 and not self._fill(0.0):
                return None

    def wait_news(self, timeout_s: float) -> bool:
        """Return whether there is more than was returned, once there is or time is up."""
        if self.position < self._ring.head()[1]:
            return True
        if self._ring.wait(self._ring.head()[1], timeout_s):
            return True
        self._look_for_successor()
        return self._last < self._position_seq

    def skip_to_head(self) -> None:
        """Pass over everything that is there: only what comes from now on is wanted."""
        for _ in self._rest:
            pass
        self._position, self._position_seq = self._ring.head()
        self._last = self._position_seq

    def close(self) -> None:
        """End the iteration, also for a thread that sleeps in it (within a second)."""
        self._closed = True
        self._reader.close()

    def _batches(self) -> Iterator[Iterator[Entry]]:
        """Give what is ready; more is gathered when all of that is taken."""
        while True:
            ready = self._ready
            yield ready
            if ready is not self._ready:  # somebody else took the rest of it, and gathered more
                continue
            if self._closed:
                return
            self._fill(WAIT_S)

    def _fill(self, wait_s: float) -> bool:
        """Gather what is there, else what comes in `wait_s`; return whether anything moved."""
        if self._last < self._position_seq:
            self._read_database()
            return True
        try:
            payloads, last, position, position_seq = self._ring.read(
                self._position, self._last, LOOK_MAX, self._needles, wait_s
            )
        except Lapped:
            self._position, self._position_seq = self._ring.head()
            return True
        if position == self._position:
            self._look_for_successor()
            return False
        self._position, self._position_seq = position, position_seq
        rest = iter(payloads)
        self._offer(rest, map(decode_entry, rest))
        self._last = last
        return True

    def _look_for_successor(self) -> None:
        """Move to a new segment, where ours was closed or removed; else go on waiting."""
        now_ns = time.monotonic_ns()
        if now_ns < self._looks_mono_ns:
            return
        self._looks_mono_ns = now_ns + _LOOK_NS
        if not self._ring.segment.is_closed and not self._ring.segment.is_lost():
            return
        try:
            ring = RingReader(segment.open_reader(self._segment_path))
        except errors.HourbookError:
            return
        if ring.segment.segment_id != self._ring.segment.segment_id:
            self._ring = ring
            self._position, self._position_seq = ring.head()

    def _read_database(self) -> None:
        """Read the next page up to where our position in the ring begins."""
        limit = min(PAGE_ENTRIES, self._position_seq - self._last)
        page = self._reader.page(self._last, limit)
        if not page or page[0].seq != self._last + 1:
            raise errors.BookCorrupt(
                f"Expected seq {self._last + 1}, which the feed announced, got"
                f" {page[0].seq if page else 'nothing'}, from the database",
                field="seq",
                value=str(self._last + 1),
            )
        rest = iter(page)
        self._offer(rest, rest)
        self._last = page[-1].seq

    def _offer(self, rest: Iterator[bytes | Entry], entries: Iterator[Entry]) -> None:
        self._rest = rest
        self._ready = entries if self._passes is None else filter(self._passes, entries)


def check_since(since: int) -> int:
    """Return the seq after which somebody wants to follow.

    Raises:
        BadRequest: no entry ever has it.
    """
    if not 0 <= since < 1 << 63:
        raise errors.BadRequest(
            f"Expected a seq of 0 or more, of 63 bits, got {since}", field="since", value=str(since)
        )
    return since
