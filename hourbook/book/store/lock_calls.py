"""The calls that wait for locks, found by their nonce and by their process. Pure.

There may be thousands: a holder that hangs keeps everybody waiting, and each of them asks again
several times a second, since it cannot know that it was heard.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeVar

from hourbook.book.store.leases import LockName
from protocols import errors
from protocols.instance_messages import Holder
from protocols.kv_messages import AcquireLock

__all__ = ["WAITERS_MAX", "Calls", "Waiter"]

WAITERS_MAX: Final = 10_000
"""Of all locks together; the next one is refused."""
_GroupT = TypeVar("_GroupT")
_ItemT = TypeVar("_ItemT")


class Waiter:
    """One call that waits for a lock.

    Attributes:
        change: what was asked.
        until_boot_ns: when it gives up.
    """

    __slots__ = ("change", "until_boot_ns")

    def __init__(self, change: AcquireLock, until_boot_ns: int) -> None:
        self.change, self.until_boot_ns = change, until_boot_ns

    @property
    def since_boot_ns(self) -> int:
        """When it was asked."""
        return self.until_boot_ns - self.change.wait_ns

    @property
    def name(self) -> LockName:
        """What it waits for."""
        return self.change.ns, self.change.key


class Calls:
    """Who waits, whatever for."""

    def __init__(self) -> None:
        self._by_nonce: dict[str, dict[bytes, Waiter]] = {}
        self._by_holder: dict[Holder, dict[Waiter, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Waiter]:
        return (waiter for calls in self._by_nonce.values() for waiter in calls.values())

    def add(self, waiter: Waiter) -> None:
        """Take a call in.

        Raises:
            LimitExceeded: WAITERS_MAX wait already.
        """
        if self._count >= WAITERS_MAX:
            raise errors.LimitExceeded(
                f"Expected at most {WAITERS_MAX} calls that wait for locks, got one more",
                field="wait_ns",
            )
        self.take_back(waiter)

    def take_back(self, waiter: Waiter) -> None:
        """Take a call in that was let go, however many wait."""
        change = waiter.change
        self._by_nonce.setdefault(change.writer, {})[change.nonce] = waiter
        self._by_holder.setdefault(change.holder, {})[waiter] = None
        self._count += 1

    def remove(self, waiter: Waiter) -> None:
        """Let a call go that waits."""
        change = waiter.change
        _drop(self._by_nonce, change.writer, change.nonce)
        _drop(self._by_holder, change.holder, waiter)
        self._count -= 1

    def find(self, change: AcquireLock) -> Waiter | None:
        """Return the place of a call that may have come before; None where it has none.

        Raises:
            BadRequest: another one waits under its nonce.
        """
        waiter = self.named(change.writer, change.nonce)
        if waiter is not None and waiter.change != change:
            raise errors.BadRequest(
                f"Expected a nonce of its own for each request, got one that {change.writer}"
                " used for another",
                field="nonce",
                value=change.nonce.hex(),
            )
        return waiter

    def named(self, writer: str, nonce: bytes) -> Waiter | None:
        """Return the call of a name; None where it does not wait."""
        return self._by_nonce.get(writer, {}).get(nonce)

    def by_writer(self, writer: str) -> Iterator[Waiter]:
        """Return the calls of an instance, in the order in which they came."""
        return iter(self._by_nonce.get(writer, {}).values())

    def by_holder(self, holder: Holder) -> Iterator[Waiter]:
        """Return the calls of a process, in the order in which they came."""
        return iter(self._by_holder.get(holder, ()))


def _drop(groups: dict[_GroupT, dict[_ItemT, Any]], group: _GroupT, item: _ItemT) -> None:
    """Take an item out of its group, and a group that is empty away."""
    items = groups[group]
    del items[item]
    if not items:
        del groups[group]
