"""Following the book in asyncio.

The kernel's futex cannot be waited for together with descriptors, so each follower has a thread
that waits, reads the ring and, where it was lapped, the database; the event loop only takes what is
ready. The thread holds at most BUFFER_ENTRIES_MAX entries and then waits for the loop.
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
        self._follower = follower
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._room = threading.Condition()
        self._buffer: deque[Entry] = deque()
        self._error: errors.HourbookError | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="hourbook-follow", daemon=True)
        self._thread.start()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        """Return the next entry.

        Raises:
            HourbookError: the book cannot be read any further.
        """
        while not self._buffer:
            if self._is_closed:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            if not self._buffer and self._error is None:
                await self._arrived.wait()
        entry = self._buffer.popleft()
        if len(self._buffer) == BUFFER_ENTRIES_MAX // 2:
            with self._room:
                self._room.notify()
        return entry

    async def aclose(self) -> None:
        """End the iteration and the thread (within half a second)."""
        self._end()
        await self._loop.run_in_executor(None, self._thread.join)

    def _end(self) -> None:
        self._is_closed = True
        self._arrived.set()
        with self._room:
            self._room.notify()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _run(self) -> None:
        """Wait, read, hand over: in the thread."""
        try:
            while not self._is_over():
                entry = self._follower.poll(_WAIT_S)
                if entry is None:
                    if self._loop.is_closed():
                        return
                    continue
                self._buffer.append(entry)
                while len(self._buffer) < BUFFER_ENTRIES_MAX and (more := self._follower.poll(0.0)):
                    self._buffer.append(more)
                self._wake()
                with self._room:
                    while len(self._buffer) >= BUFFER_ENTRIES_MAX and not self._is_over():
                        self._room.wait(_WAIT_S)
        except errors.BookClosed:
            pass
        except errors.HourbookError as error:
            self._error = error
        finally:
            self._is_closed |= self._error is None
            self._follower.close()
            self._wake()

    def _is_over(self) -> bool:
        return self._is_closed or self._follower.is_closed

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # the loop is closed: nobody asks any more
            self._is_closed = True
