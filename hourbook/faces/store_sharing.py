"""The part of a Store by which processes wait for each other: locks, and what others have done."""

from typing import TYPE_CHECKING

import msgspec

from hourbook.book.branches import MAIN
from hourbook.book.moment import MomentLike
from hourbook.book.store.glob import parse_glob
from hourbook.faces.living import Living
from hourbook.faces.store_link import StoreLink
from hourbook.home import Home
from protocols import errors
from protocols.kv_messages import ListLocks, Locks
from protocols.kv_messages import Lock as HeldLock

if TYPE_CHECKING:
    from hourbook.faces.lock import Lock
    from hourbook.faces.watch import Watch

__all__ = ["LOCK_TTL_S", "LOCK_WAIT_S", "StoreSharing"]

LOCK_TTL_S = 30.0
LOCK_WAIT_S = 10.0
_decode_locks = msgspec.msgpack.Decoder(Locks).decode


class StoreSharing:
    """What the processes that use a namespace tell each other by it."""

    namespace: str
    _link: StoreLink
    _branch: int
    _home: Home

    def __init__(self) -> None:
        """Begin unwatched."""
        self._watches: Living[Watch] = Living()

    def lock(self, key: str, *, ttl_s: float = LOCK_TTL_S, wait_s: float = LOCK_WAIT_S) -> "Lock":
        """Return a lock of a key, to be held by this thread: ``with store.lock("k") as lock:``.

        The key need not be there. The lock keeps others out who ask for it, and no write that names
        no token, unless the key is of type ``locked``; name ``lock.token`` in the writes it is for,
        and one that comes too late is refused. First come, first served.

        Args:
            key: 1 B to 1 KiB of text.
            ttl_s: how long the lease outlives its holder's last sign of life (0.1 s to 7 days); a
                process that ends is found out at once.
            wait_s: how long to wait for others (0 s to 12 hours).

        Raises:
            BadRequest, LimitExceeded: no key, no such time, or a branch, which has no locks.
        """
        from hourbook.faces.lock import Lock  # noqa: PLC0415 - few stores are locked

        self._require_main("locks")
        return Lock(self.namespace, key, ttl_s, wait_s, self._link)

    def locks(self) -> list[HeldLock]:
        """Return the locks of this namespace that are held, by key, and who waits for them.

        Raises:
            ActorUnreachable, OutcomeUnknown: journal_writer, which alone knows, did not say.
            BookClosed, UsedAfterFork: this connection cannot be used.
        """
        envelope = self._link.client.request("lock.list", ListLocks(self.namespace))
        return _decode_locks(envelope.body).locks

    def watch(self, glob: str = "*", *, since: MomentLike | None = None) -> "Watch":
        """Return an endless iterator over what is done to the keys that fit: woken, never polling.

        Sets, deletes and expiries of durable keys, and grants, releases and expiries of locks, in
        the order of the book. Nothing is missed, however slow the watcher; no writer waits for it.
        Works with ``for`` and with ``async for``; close it when you have seen enough.

        Args:
            glob: which keys, as in ``Store.keys``.
            since: `position` of an earlier watch, or another seq, or a time, to go on after; None:
                from now on.

        Raises:
            BadRequest, LimitExceeded: a bad glob, no such moment, or a branch, which has no watch.
            Compacted: the position lies before what is kept; `value` is the first seq that is.
            ActorUnreachable: there is no feed: the tree has not run since the boot.
            BookMissing: there is no book yet.
        """
        from hourbook.faces.watch import Watch  # noqa: PLC0415 - few stores are watched

        self._require_main("watch")
        self._link.client.check_usable()
        made = Watch(self._home, self.namespace, parse_glob(glob), since)
        self._watches.add(made)
        return made

    def end_watches(self) -> None:
        """End every watch of this store."""
        for watch in self._open_watches():
            watch.close()

    def _open_watches(self) -> list["Watch"]:
        """Return the watches of this store that somebody has and nobody has closed."""
        return [watch for watch in self._watches.all() if not watch.is_closed]

    def _require_main(self, what: str) -> None:
        if self._branch != MAIN:
            raise errors.BadRequest(
                f"Expected main, got a branch, which has no {what}", field="branch"
            )
