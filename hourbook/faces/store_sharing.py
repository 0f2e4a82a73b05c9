"""The part of a Store by which processes wait for each other: locks, and what others have done."""

from typing import TYPE_CHECKING

import msgspec

from hourbook.faces.store_link import StoreLink
from protocols import errors
from protocols.kv_messages import ListLocks, Locks
from protocols.kv_messages import Lock as HeldLock

if TYPE_CHECKING:
    from hourbook.faces.lock import Lock

__all__ = ["LOCK_TTL_S", "LOCK_WAIT_S", "StoreSharing"]

LOCK_TTL_S = 30.0
LOCK_WAIT_S = 10.0
_MAIN = 0
_decode_locks = msgspec.msgpack.Decoder(Locks).decode


class StoreSharing:
    """What the processes that use a namespace tell each other by it."""

    namespace: str
    _link: StoreLink
    _branch: int

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
        return Lock(self.namespace, key, ttl_s, wait_s, self._link, self._link.keeper)

    def locks(self) -> list[HeldLock]:
        """Return the locks of this namespace that are held, by key, and who waits for them.

        Raises:
            ActorUnreachable, OutcomeUnknown: journal_writer, which alone knows, did not say.
            BookClosed, UsedAfterFork: this connection cannot be used.
        """
        envelope = self._link.client.request("lock.list", ListLocks(self.namespace))
        return _decode_locks(envelope.body).locks

    def _require_main(self, what: str) -> None:
        if self._branch != _MAIN:
            raise errors.BadRequest(
                f"Expected main, got a branch, which has no {what}", field="branch"
            )
