"""A lock of the store for a task of an event loop.

A lock belongs to a thread, and the tasks of a loop share theirs; so each of these has a thread of
its own that waits, holds and releases, while the loop goes on. Any task may name the token.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self, TypeVar

from hourbook.faces.lock import Lock
from protocols import errors

__all__ = ["AsyncLock"]

_T = TypeVar("_T")


class AsyncLock:
    """One lock, to be held once; an asynchronous context manager. Made by ``AsyncStore.lock``.

    Attributes:
        token: the fencing token once it is held, to be named in writes; 0 before.
    """

    def __init__(self, lock: Lock) -> None:
        """Take over a lock that was not acquired yet."""
        self._lock: Final = lock
        self._thread: ThreadPoolExecutor | None = None
        self.token = 0

    @property
    def is_held(self) -> bool:
        """Whether it was acquired and not released, and is not lost."""
        return self._lock.is_held

    @property
    def is_lost(self) -> bool:
        """Whether the lease has ended under us, or may have; as ``Lock.is_lost``."""
        return self._lock.is_lost

    async def acquire(self) -> Self:
        """Wait for the lock and return it held; a task that is cancelled meanwhile lets it go.

        Raises:
            What ``Lock.acquire`` does.
        """
        try:
            self.token = await self._do(lambda: self._lock.acquire().token)
        except errors.HourbookError:
            if not self.token:  # else it is held, and was asked for once more
                self._end_thread()
            raise
        except BaseException:
            self._lock.give_up()
            self._let_go()  # where it had come to be held after all
            raise
        return self

    async def renew(self) -> None:
        """Have the lease live for its whole time from now on; as ``Lock.renew``."""
        await self._do(self._lock.renew)

    async def release(self) -> bool:
        """Let it go; as ``Lock.release``. A task that is cancelled meanwhile lets it go, too."""
        if self.token and self._thread is None:  # it was let go before
            return not self._lock.is_lost
        try:
            released = await self._do(self._lock.release)
        except asyncio.CancelledError:
            self._let_go()  # its thread may not have come to that
            raise
        self._end_thread()
        return released

    async def __aenter__(self) -> Self:
        return await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        """Release; where that cannot be said, the lease runs out, since nobody renews it."""
        with contextlib.suppress(errors.WorldError, errors.OperatorError):
            await self.release()

    def _let_go(self) -> None:
        """Release without waiting for that; once more does no harm."""
        if self._thread is not None:
            self._thread.submit(self._lock.release)
        self._end_thread()

    def _end_thread(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _do(self, work: Callable[[], _T]) -> _T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="hourbook-lock")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
