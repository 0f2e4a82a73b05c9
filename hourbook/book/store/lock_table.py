"""Who holds a lock, until when, and who is next. Pure: boot-time nanoseconds come in from outside.

A lock is *free*; *being granted*, while the grant is on its way into the book; *held*; or held and
*past its deadline*, which only its expiry ends: nobody is given a lock that the book says is held.
Deadlines count boot time, and are this writer's own. After its start, and after a suspend during
which no holder could renew, each lease that is held has its whole time again. Where the writer was
late itself, what came due meanwhile has a moment more, once: its renewals may lie in the mailbox.

Who waits is first in, first out, and known by the nonce of its call: one that is sent again keeps
its place. A lock is the call's that it was granted to, so who holds it and asks again waits too.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, Literal

from hourbook.book.store.leases import FREE, Lease, LockName, require_token
from hourbook.book.store.lock_calls import Calls, Waiter
from protocols import errors
from protocols.instance_messages import Holder
from protocols.kv_messages import AcquireLock, Lock

__all__ = ["LockTable", "Verdict"]

Verdict = Literal["grant", "wait", "refuse"]
_WAITS_NAMED_MAX: Final = 100
"""Of a holder that are looked through for one that waits for us."""


class _Place:
    """One lock: its lease, and who waits; forgotten when there is neither."""

    __slots__ = ("deadline_boot_ns", "heir", "is_excused", "is_granting", "lease", "waiters")

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.heir: Waiter | None = None
        self.deadline_boot_ns = 0
        self.is_granting = self.is_excused = False
        self.waiters: dict[Waiter, None] = {}
        """In the order in which they came."""

    def begin(self, now_boot_ns: int) -> None:
        """Let the lease that is held, or was granted now, have its whole time."""
        assert self.lease is not None
        self.deadline_boot_ns = now_boot_ns + self.lease.ttl_ns
        self.is_excused = False

    def first(self) -> Waiter | None:
        """Return who is next."""
        return next(iter(self.waiters), None)


class LockTable:
    """All locks of one book, as its one writer knows them.

    Attributes:
        vacant: locks that may have become free since :meth:`next_in_line` was asked.
    """

    def __init__(self) -> None:
        self._places: dict[LockName, _Place] = {}
        self._calls = Calls()
        self.vacant: set[LockName] = set()

    # -- holders ---------------------------------------------------------------------------------

    def grant(self, lease: Lease, now_boot_ns: int) -> None:
        """Take in that a lock is held, for its whole time from now on."""
        place = self._places.setdefault(lease.name, _Place())
        place.lease, place.heir, place.is_granting = lease, None, False
        place.begin(now_boot_ns)

    def free(self, name: LockName, token: int) -> bool:
        """Take in that a lease has ended; return False where it was not in force."""
        place = self._places.get(name)
        if place is None or place.lease is None or place.lease.token != token:
            return False
        place.lease = None
        self._tidy(name, place)
        return True

    def renew(self, name: LockName, token: int, now_boot_ns: int) -> Lease:
        """Give a lease its whole time again, and return it.

        Raises:
            TokenStale: it is not in force, or past its deadline; `value` is the token in force.
        """
        place = self._places.get(name)
        lease = None if place is None else place.lease
        if place is None or lease is None or self.is_past(name, lease.token, now_boot_ns):
            require_token(*name, token, FREE, is_locked=True)
            raise AssertionError("a free lock has no token in force")
        require_token(*name, token, lease.token, is_locked=True)
        place.begin(now_boot_ns)
        return lease

    def resume(self, now_boot_ns: int) -> None:
        """Give every lease its whole time again: nobody could renew."""
        for place in self._places.values():
            if place.lease is not None:
                place.begin(now_boot_ns)

    def excuse(self, now_boot_ns: int, grace_ns: int) -> None:
        """Give what is past its deadline `grace_ns` more at most, once until it is renewed."""
        for place in self._places.values():
            if place.lease is None or place.is_excused or place.deadline_boot_ns > now_boot_ns:
                continue
            place.deadline_boot_ns = now_boot_ns + min(grace_ns, place.lease.ttl_ns)
            place.is_excused = True

    def is_past(self, name: LockName, token: int, now_boot_ns: int) -> bool:
        """Return whether a lease is in force in the book alone: its deadline has come."""
        place = self._places.get(name)
        if place is None or place.lease is None or place.lease.token != token:
            return False
        return place.deadline_boot_ns <= now_boot_ns

    def past(self, now_boot_ns: int) -> list[Lease]:
        """Return every lease whose deadline has come."""
        return [
            place.lease
            for place in self._places.values()
            if place.lease is not None and place.deadline_boot_ns <= now_boot_ns
        ]

    def leases(self) -> Iterator[Lease]:
        """Return every lease."""
        return (place.lease for place in self._places.values() if place.lease is not None)

    def lease_of(self, name: LockName) -> Lease | None:
        """Return who holds a lock."""
        place = self._places.get(name)
        return None if place is None else place.lease

    def next_due_ns(self) -> int | None:
        """Return the boot time at which the next lease or wait is over; None: there is none."""
        deadlines = [place.deadline_boot_ns for place in self._places.values() if place.lease]
        deadlines += [waiter.until_boot_ns for waiter in self._calls]
        return min(deadlines, default=None)

    # -- those who want one ----------------------------------------------------------------------

    def ask(self, change: AcquireLock, now_boot_ns: int) -> Verdict:
        """Decide on a new call: it gets the lock, waits for it, or has not the time to.

        A lock that is granted is being granted until :meth:`grant` or :meth:`give_back`.

        Raises:
            LimitExceeded: WAITERS_MAX wait already.
        """
        place = self._places.setdefault((change.ns, change.key), _Place())
        if _is_vacant(place) and not place.waiters:
            place.is_granting = True
            return "grant"
        if change.wait_ns == 0:
            return "refuse"
        waiter = Waiter(change, now_boot_ns + change.wait_ns)
        self._calls.add(waiter)
        place.waiters[waiter] = None
        return "wait"

    def waiting(self, writer: str) -> list[AcquireLock]:
        """Return the calls of an instance that wait."""
        return [waiter.change for waiter in self._calls.by_writer(writer)]

    def waiters_of(self, holder: Holder) -> list[Waiter]:
        """Return who waits in a process."""
        return list(self._calls.by_holder(holder))

    def next_in_line(self) -> list[Waiter]:
        """Return the first waiter of each lock that is free, and grant it that lock."""
        found = []
        for name in sorted(self.vacant):
            place = self._places.get(name)
            if place is not None and _is_vacant(place) and place.waiters:
                place.is_granting = True
                found.append(next(iter(place.waiters)))
        self.vacant.clear()
        return found

    def heir(self, name: LockName, token: int) -> Waiter | None:
        """Return who gets a lock in the transaction that releases it, and grant it; None: nobody.

        It has left its line. Until the lease is ended it is still in force.
        """
        place = self._places.get(name)
        if place is None or place.lease is None or place.lease.token != token:
            return None
        if place.is_granting or (waiter := place.first()) is None:
            return None
        self.leave(waiter)
        place.heir, place.is_granting = waiter, True
        return waiter

    def wait_on(self, name: LockName) -> Waiter | None:
        """Take in that the transaction of an heir was not written; it is the first in line again.

        None: there was no heir, and the lock is as :meth:`give_back` leaves it.
        """
        place = self._places.get(name)
        waiter = None if place is None else place.heir
        if place is not None and waiter is not None:
            self._calls.take_back(waiter)
            place.waiters = {waiter: None, **place.waiters}
        self.give_back(name)
        return waiter

    def give_back(self, name: LockName) -> None:
        """Take in that a lock that was being granted could not be: it is free."""
        place = self._places.get(name)
        if place is not None:
            place.heir, place.is_granting = None, False
            self._tidy(name, place)

    def leave(self, waiter: Waiter) -> None:
        """Let a waiter go: it has its lock, or its wait is over."""
        place = self._places.get(waiter.name)
        if place is None or waiter not in place.waiters:
            return
        del place.waiters[waiter]
        self._calls.remove(waiter)
        self._tidy(waiter.name, place)

    def waiter_of(self, change: AcquireLock) -> Waiter | None:
        """Return the place of a call in its line; None where it has none.

        Raises:
            BadRequest: another call waits under its nonce.
        """
        return self._calls.find(change)

    def waiter_named(self, writer: str, nonce: bytes) -> Waiter | None:
        """Return the place of the call of a name; None where it has none."""
        return self._calls.named(writer, nonce)

    def overdue(self, now_boot_ns: int) -> list[Waiter]:
        """Return every waiter whose wait is over, except where its lock is being granted to it."""
        return [
            waiter
            for waiter in self._calls
            if waiter.until_boot_ns <= now_boot_ns and not self._is_being_granted(waiter)
        ]

    def _is_being_granted(self, waiter: Waiter) -> bool:
        place = self._places[waiter.name]
        return place.is_granting and place.first() is waiter

    # -- what is said of them --------------------------------------------------------------------

    def timeout_error(self, change: AcquireLock) -> errors.LockTimeout:
        """Return the refusal of a call that had not the time, naming who holds what.

        Where the holder waits for a lock of the caller's process, both are named.
        """
        name = (change.ns, change.key)
        lease = self.lease_of(name)
        wanted = f"Expected lock {change.ns}/{change.key} within {change.wait_ns / 1e9:g} s"
        if lease is None:
            return errors.LockTimeout(
                f"{wanted}; others wait for it", field="key", value=change.key
            )
        text = f"{wanted}; it is held by {_who(lease)}"
        for waiter in islice(self._calls.by_holder(lease.holder), _WAITS_NAMED_MAX):
            theirs = self.lease_of(waiter.name)
            if theirs is not None and theirs.holder == change.holder and waiter.name != name:
                text += f", who waits for {theirs.ns}/{theirs.key}, held by {_who(theirs)}"
                break
        return errors.LockTimeout(text, field="key", value=change.key)

    def list_locks(self, ns: str, now_boot_ns: int) -> list[Lock]:
        """Return every lock of a namespace ("" for all) that is held, by name."""
        return [
            Lock(
                *(lease.ns, lease.key, lease.token, lease.writer, lease.holder, lease.granted_ns),
                lease.ttl_ns,
                max(0, place.deadline_boot_ns - now_boot_ns),
                [waiter.change.writer for waiter in place.waiters],
            )
            for _, place in sorted(self._places.items())
            if (lease := place.lease) is not None and ns in ("", lease.ns)
        ]

    def take_over(self, leases: Iterable[Lease], now_boot_ns: int) -> None:
        """Begin anew with what a book says is held; who waits keeps waiting."""
        for name, place in list(self._places.items()):
            place.lease, place.heir, place.is_granting = None, None, False
            self._tidy(name, place)
        for lease in leases:
            self.grant(lease, now_boot_ns)

    def counts(self) -> tuple[int, int]:
        """Return how many locks are held, and how many calls wait."""
        return sum(place.lease is not None for place in self._places.values()), len(self._calls)

    def _tidy(self, name: LockName, place: _Place) -> None:
        if _is_vacant(place):
            if place.waiters:
                self.vacant.add(name)
            else:
                self._places.pop(name, None)


def _is_vacant(place: _Place) -> bool:
    return place.lease is None and not place.is_granting


def _who(lease: Lease) -> str:
    return f"{lease.writer} (process {lease.pid}, token {lease.token})"
