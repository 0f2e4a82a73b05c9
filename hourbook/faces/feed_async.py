"""Following the book in asyncio.

The kernel's futex cannot be waited for together with descriptors, so each follower has a thread
that waits, reads the ring and, where it was lapped, the database; the event loop only takes what is
ready. The thread holds at most BUFFER_ENTRIES_MAX entries and then waits for the loop. It ends with
whoever drops the iterator, which it does not know.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Self

from hourbook.faces.feed import Follower
from protocols import errors
from protocols.entry import Entry

__all__ = ["BUFFER_ENTRIES_MAX", "AsyncFollower"]

BUFFER_ENTRIES_MAX: Final = 1024
_WAIT_S: Final = 0.5
"""Longest sleep of the thread; only a closed follower looks around then."""


class AsyncFollower(AsyncIterator[Entry]):
    """An endless asynchronous iterator over entries; for one task."""

    def __init__(self, follower: Follower) -> None:
        """Take `follower` over; must be called in a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._feeder = _Feeder(follower, self._loop)
        self._thread = threading.Thread(
            target=self._feeder.run, name="hourbook-follow", daemon=True
        )
        self._thread.start()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        """Return the next entry.

        Raises:
            HourbookError: the book cannot be read any further.
        """
        feeder = self._feeder
        while not feeder.buffer:
            if feeder.is_closed:
                raise StopAsyncIteration
            if feeder.error is not None:
                raise feeder.error
            feeder.arrived.clear()
            if not feeder.buffer and feeder.error is None:
                await feeder.arrived.wait()
        entry = feeder.buffer.popleft()
        if len(feeder.buffer) == BUFFER_ENTRIES_MAX // 2:
            with feeder.room:
                feeder.room.notify()
        return entry

    async def aclose(self) -> None:
        """End the iteration and the thread (within half a second)."""
        self._feeder.is_closed = True
        self._feeder.arrived.set()
        with self._feeder.room:
            self._feeder.room.notify()
        await self._loop.run_in_executor(None, self._thread.join)

    def __del__(self) -> None:
        """End the thread with whoever drops us; it looks by itself, and may be what collects us."""
        if feeder := getattr(self, "_feeder", None):
            feeder.is_closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Feeder:
    """What the thread and the loop share.

    Attributes:
        buffer: entries that are ready.
        arrived: set for the loop when there is more to see here.
        room: notified for the thread when there is room in the buffer again.
        error: why there will be no more.
        is_closed: nobody wants more.
    """

    def __init__(self, follower: Follower, loop: asyncio.AbstractEventLoop) -> None:
        self._follower, self._loop = follower, loop
        self.buffer: deque[Entry] = deque()
        self.arrived = asyncio.Event()
        self.room = threading.Condition()
        self.error: errors.HourbookError | None = None
        self.is_closed = False

    def run(self) -> None:
        """Wait, read, hand over: in the thread."""
        try:
            while not self._is_over():
                entry = self._follower.poll(_WAIT_S)
                if entry is None:
                    if self._loop.is_closed():
                        return
                    continue
                self.buffer.append(entry)
                while len(self.buffer) < BUFFER_ENTRIES_MAX and (more := self._follower.poll(0.0)):
                    self.buffer.append(more)
                self._wake()
                with self.room:
                    while len(self.buffer) >= BUFFER_ENTRIES_MAX and not self._is_over():
                        self.room.wait(_WAIT_S)
        except errors.BookClosed:
            pass
        except errors.HourbookError as error:
            self.error = error
        finally:
            self.is_closed |= self.error is None
            self._follower.close()
            self._wake()

    def _is_over(self) -> bool:
        return self.is_closed or self._follower.is_closed

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self.arrived.set)
        except RuntimeError:  # the loop is closed: nobody asks any more
            self.is_closed = True
