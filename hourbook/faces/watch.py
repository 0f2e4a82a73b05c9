"""Watching keys: what is done to those that fit a glob, in the order of the book, from anywhere.

A watch is a follower of the feed that asks for the store's entries alone: it sleeps in the kernel,
is woken by the writer's ring, and reads on in the database where it was lapped. Nothing that fits
is missed or comes twice; `position` is where to go on another time. Volatile keys are in no journal
and cannot be watched.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Final, Literal, Self, cast

import msgspec

from hourbook.book.as_of import seq_since
from hourbook.book.entry_filter import RawFilter, make_filter
from hourbook.book.moment import MomentLike, parse_moment
from hourbook.book.reader import BookReader
from hourbook.book.store.glob import Glob
from hourbook.book.store.past import KeyVersion, floor_of
from hourbook.book.store.rows import KV_DELETE, KV_EXPIRE, KV_SET, split_entity
from hourbook.faces.feed import Follower
from hourbook.faces.feed_async import AsyncFollower
from hourbook.home import Home
from protocols import errors
from protocols.entry import Entry

__all__ = ["WATCHED_KINDS", "AsyncWatch", "EventKind", "StoreEvent", "Watch"]

EventKind = Literal["kv.set", "kv.delete", "kv.expire", "lock.grant", "lock.release", "lock.expire"]
LOCK_GRANT: Final = "lock.grant"
WATCHED_KINDS: Final = (KV_SET, KV_DELETE, KV_EXPIRE, LOCK_GRANT, "lock.release", "lock.expire")


class StoreEvent(KeyVersion, frozen=True):
    """One thing that was done to a key, or to its lock.

    `value`, `item`, `action`, `writer`, `time_ns` and `version` are as in `KeyVersion`; of a lock
    there is no value.
    """

    @property
    def kind(self) -> EventKind:
        """What was done."""
        return cast("EventKind", self.entry.kind)

    @property
    def token(self) -> int:
        """Of the lock that was granted or has ended; 0 of what was done to the key itself."""
        if not self.entry.kind.startswith("lock."):
            return 0
        return self.version if self.entry.kind == LOCK_GRANT else int(self.entry.details["token"])


class WatchFilter:
    """Which entries a watch wants, as bytes to look for and as a judgement of what was found."""

    def __init__(self, namespace: str, glob: Glob) -> None:
        """Prepare the bytes: the kinds, and with what each entity begins."""
        self._kinds = RawFilter(make_filter(kind=WATCHED_KINDS))
        self._namespace, self._glob = namespace, glob
        entity = f"{namespace}/{glob.prefix}"
        sought = msgspec.msgpack.encode(entity) if glob.is_literal else entity.encode()
        self.needles = (*self._kinds.needles, (sought,))

    def passes(self, entry: Entry) -> bool:
        """Return whether an entry is wanted."""
        if not self._kinds.passes(entry):
            return False
        namespace, key = split_entity(entry.entity)
        return namespace == self._namespace and self._glob.matches(key)


class Watch(Iterator[StoreEvent]):
    """An endless iterator over what is done to the keys that fit; for one thread.

    Works with ``for`` and with ``async for``; a context manager, or closed with its store.
    """

    def __init__(self, home: Home, namespace: str, glob: Glob, since: MomentLike | None) -> None:
        """Use ``Store.watch``."""
        begin = None if since is None else _begin(home, namespace, since)
        self._follower = Follower(home, begin, WatchFilter(namespace, glob))

    @property
    def position(self) -> int:
        """The last seq that was returned or passed over: `since` of a watch that goes on here."""
        return self._follower.position

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._follower.is_closed

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StoreEvent:
        """Return the next event, once there is one."""
        return _event(next(self._follower))

    def poll(self, timeout_s: float) -> StoreEvent | None:
        """Return the next event, or None where there is none within `timeout_s` (seconds, >= 0)."""
        entry = self._follower.poll(timeout_s)
        return None if entry is None else _event(entry)

    def close(self) -> None:
        """End the iteration, also for a thread that sleeps in it (within a second)."""
        self._follower.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> "AsyncWatch":
        """Watch in asyncio; a thread of its own waits."""
        return AsyncWatch(self, self._follower)


class AsyncWatch(AsyncIterator[StoreEvent]):
    """An endless asynchronous iterator over events; for one task."""

    def __init__(self, watch: Watch, follower: Follower) -> None:
        """Take `follower` of `watch` over, in a running event loop."""
        self._watch = watch  # which its store may end for as long as we are
        self._follower = AsyncFollower(follower)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StoreEvent:
        """Return the next event, once there is one."""
        return _event(await anext(self._follower))

    async def aclose(self) -> None:
        """End the iteration and its thread (within half a second)."""
        await self._follower.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _event(entry: Entry) -> StoreEvent:
    return StoreEvent(split_entity(entry.entity)[1], entry)


def _begin(home: Home, namespace: str, since: MomentLike) -> int:
    """Return the seq after which to begin.

    Raises:
        Compacted: what was done between that and the first version that is kept is not known.
    """
    moment = parse_moment(since, "since")
    with BookReader(home) as reader:
        begin = reader.query(lambda connection: seq_since(home, connection, moment))
        first = reader.query(lambda connection: floor_of(connection, namespace))
    if begin + 1 < first:
        raise errors.Compacted(
            f"Expected a position not before seq {first - 1}, after which namespace {namespace}"
            f" still knows what was done, got {begin}",
            field="since",
            value=str(first),
            hint=f"read the keys as they are, and watch on from there, or from seq {first - 1}",
        )
    return begin
