"""The store in asyncio: ``async with``, ``await``; the same words and the same rules.

``get`` is no coroutine: a value that was read before is there within a fraction of a microsecond,
and one that was not within a few; to await it would cost more. Writes wait for the disk and are
awaited. Scans read their pages in a thread.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from hourbook.book.moment import MomentLike
from hourbook.book.store.past import KeyVersion
from hourbook.book.store.reading import Item
from hourbook.faces.entry_future import WriteFuture
from hourbook.faces.lock_async import AsyncLock
from hourbook.faces.store import HISTORY_LIMIT, Getter, Store
from hourbook.faces.store_sharing import LOCK_TTL_S, LOCK_WAIT_S
from hourbook.faces.store_stats import StoreStats
from hourbook.faces.store_steps import check_count, delete_step, increment_step, set_step
from hourbook.faces.store_transaction import Transaction
from hourbook.faces.store_writes import (
    UPDATE_ATTEMPTS,
    never_converged,
    pause_before,
    stored_value,
    update_step,
)
from protocols import errors
from protocols.kv_messages import KvWritten, Op, ValueType

if TYPE_CHECKING:
    from hourbook.faces.watch import Watch

__all__ = ["AsyncStore", "AsyncTransaction"]

_PAGE: Final = 256
_T = TypeVar("_T")


class AsyncStore:
    """One namespace, for the tasks of an event loop; made by ``Store.asynchronous``.

    Attributes:
        get: as ``Store.get``; not awaited.
        namespace: its name.
    """

    def __init__(self, store: Store) -> None:
        """Use ``Store.asynchronous``."""
        self._store = store
        self.get: Getter = store.get
        self.namespace: Final = store.namespace

    async def get_item(self, key: str, *, at: MomentLike | None = None) -> Item | None:
        """Return a key with all that is known of it; as ``Store.get_item``."""
        return await asyncio.to_thread(self._store.get_item, key, at=at)

    async def get_many(
        self, keys: Iterable[str], *, at: MomentLike | None = None
    ) -> dict[str, Any]:
        """Return the values of those keys that are there; as ``Store.get_many``."""
        return await asyncio.to_thread(self._store.get_many, keys, at=at)

    def keys(self, glob: str = "*", *, at: MomentLike | None = None) -> AsyncIterator[str]:
        """Return an asynchronous iterator over the keys that fit; as ``Store.keys``."""
        return _in_thread(self._store.keys(glob, at=at))

    def scan(
        self, glob: str = "*", *, at: MomentLike | None = None
    ) -> AsyncIterator[tuple[str, Any]]:
        """Return an asynchronous iterator over (key, value); as ``Store.scan``."""
        return _in_thread(self._store.scan(glob, at=at))

    async def count(self, glob: str = "*", *, at: MomentLike | None = None) -> int:
        """Return how many keys fit; as ``Store.count``."""
        return await asyncio.to_thread(self._store.count, glob, at=at)

    async def history(
        self, key: str, *, limit: int = HISTORY_LIMIT, before: int | None = None
    ) -> list[KeyVersion]:
        """Return what was done to a key; as ``Store.history``."""
        return await asyncio.to_thread(self._store.history, key, limit=limit, before=before)

    async def stats(self) -> StoreStats:
        """Return figures; as ``Store.stats``."""
        return await asyncio.to_thread(self._store.stats)

    async def set(
        self,
        key: str,
        value: object,
        *,
        ttl_s: float | None = None,
        keep_ttl: bool = False,
        type: ValueType = "",  # noqa: A002 - as the store calls it
        if_version: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        token: int = 0,
    ) -> int:
        """Give a key a value; as ``Store.set``."""
        step = set_step(
            key,
            value,
            ttl_s=ttl_s,
            keep_ttl=keep_ttl,
            type=type,
            if_version=if_version,
            metadata=metadata,
            token=token,
        )
        return (await self._write([step])).versions[0]

    async def delete(self, key: str, *, if_version: int | None = None, token: int = 0) -> int:
        """Take a key away; as ``Store.delete``."""
        step = delete_step(key, if_version=if_version, token=token)
        return (await self._write([step])).versions[0]

    async def increment(
        self,
        key: str,
        by: float = 1,
        *,
        ttl_s: float | None = None,
        type: ValueType = "",  # noqa: A002 - as the store calls it
        if_version: int | None = None,
        token: int = 0,
    ) -> int | float:
        """Add to a number; as ``Store.increment``."""
        step = increment_step(key, by, ttl_s=ttl_s, type=type, if_version=if_version, token=token)
        return (await self._write([step])).numbers[0]

    async def update(
        self,
        key: str,
        change: Callable[[Any], Any],
        *,
        default: Any = None,  # noqa: ANN401 - any value
        attempts: int = UPDATE_ATTEMPTS,
        token: int = 0,
    ) -> Any:  # noqa: ANN401 - any value
        """Set a key to what `change`, a plain function, makes of it; as ``Store.update``."""
        check_count(attempts, "attempts")
        for attempt in range(attempts):
            item = self._store.get_item(key)
            value = change(default if item is None else item.value)
            try:
                done = await self._write([update_step(key, value, item, token)])
            except errors.VersionConflict:
                await asyncio.sleep(pause_before(attempt, random.random()))  # noqa: S311 - no secret
            else:
                store = self._store
                return stored_value(store.get_item, store.get, key, value, done)
        raise never_converged(key, attempts)

    def transaction(self) -> "AsyncTransaction":
        """Return an asynchronous context manager; its steps are those of ``Store.transaction``."""
        return AsyncTransaction(self._store.get_item, self._write)

    def lock(
        self, key: str, *, ttl_s: float = LOCK_TTL_S, wait_s: float = LOCK_WAIT_S
    ) -> AsyncLock:
        """Return a lock for ``async with``; as ``Store.lock``."""
        return AsyncLock(self._store.lock(key, ttl_s=ttl_s, wait_s=wait_s))

    def watch(self, glob: str = "*", *, since: MomentLike | None = None) -> "Watch":
        """Return an endless iterator for ``async for``; as ``Store.watch``."""
        return self._store.watch(glob, since=since)

    async def _write(self, ops: list[Op]) -> KvWritten:
        return await _awaited(self._store.write_nowait(ops))


class AsyncTransaction(Transaction):
    """Steps to be done at once; only the end of the block is awaited."""

    def __init__(
        self, find: Callable[[str], Item | None], write: Callable[[list[Op]], Awaitable[KvWritten]]
    ) -> None:
        """Use ``AsyncStore.transaction``."""
        super().__init__(find, _refuse)
        self._write_later = write

    async def __aenter__(self) -> Self:
        return super().__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Do the steps, unless the block raised; raises what ``Transaction`` does."""
        self._is_done = True
        if kind is None and self._ops:
            self.result = self._trim(await self._write_later(self.steps))


def _refuse(_ops: list[Op]) -> KvWritten:
    raise errors.BadRequest("Expected `async with` around a transaction of asyncio, got `with`")


async def _awaited(future: WriteFuture[_T]) -> _T:
    """Wait for a write without holding up the loop; cancelled, it may happen all the same."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[None] = loop.create_future()

    def tell(_: object) -> None:
        loop.call_soon_threadsafe(partial(_settle, arrived))

    future.add_done_callback(tell)
    loop.call_soon(future.hasten)  # with what other tasks write before the loop comes around
    await arrived
    return future.result()


def _settle(arrived: "asyncio.Future[None]") -> None:
    if not arrived.done():
        arrived.set_result(None)


async def _in_thread(rows: Iterator[_T]) -> AsyncIterator[_T]:
    """Yield what an iterator yields, a page at a time from a thread."""

    def page() -> list[_T]:
        return list(itertools.islice(rows, _PAGE))

    while found := await asyncio.to_thread(page):
        for row in found:
            yield row
