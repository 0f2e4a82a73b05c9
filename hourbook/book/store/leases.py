"""Who holds a lock, until when, and who is next. Pure: boot-time nanoseconds come in from outside.

A lock is *free*; *being granted*, while the grant is on its way into the book; *held*; or held and
*past its deadline*, which only its expiry ends: nobody is given a lock that the book says is held.
Deadlines count boot time, and are this writer's own. After its start, and after a suspend during
which no holder could renew, each lease that is held has its whole time again.

Who waits is first in, first out, and known by the nonce of its call: one that is sent again keeps
its place. A lock is the call's that it was granted to, so who holds it and asks again waits too.
Fencing: M. Kleppmann, "How to do distributed locking", 2016; a token is the seq of its grant.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

from protocols import errors
from protocols.instance_messages import Holder
from protocols.kv_messages import AcquireLock, Lock

__all__ = [
    "FREE",
    "TTL_NS_MAX",
    "TTL_NS_MIN",
    "WAITERS_MAX",
    "WAIT_NS_MAX",
    "Lease",
    "LockName",
    "LockTable",
    "Verdict",
    "Waiter",
    "require_token",
]

TTL_NS_MIN: Final = 100_000_000
"""Shorter, and a busy machine loses leases that it wanted to keep."""
TTL_NS_MAX: Final = 7 * 86_400 * 1_000_000_000
WAIT_NS_MAX: Final = 12 * 3600 * 1_000_000_000
"""Half of the time for which a nonce may come again."""
WAITERS_MAX: Final = 10_000
"""Of all locks together; the next one is refused."""
FREE: Final = 0
"""The token in force where nobody holds a lock."""

LockName: TypeAlias = tuple[str, str]
"""Namespace and key."""
Verdict = Literal["grant", "wait", "refuse"]


class Lease(NamedTuple):
    """One lock that is held, as table ``lease`` has it, column by column."""

    ns: str
    key: str
    token: int
    writer: str
    call: bytes
    boot_id: bytes
    pid: int
    start_ticks: int
    pid_ns: int
    granted_ns: int
    ttl_ns: int

    @property
    def name(self) -> LockName:
        """What is locked."""
        return self.ns, self.key

    @property
    def holder(self) -> Holder:
        """The process that holds it."""
        return Holder(self.boot_id, self.pid, self.start_ticks, self.pid_ns)


def require_token(ns: str, key: str, token: int, in_force: int, *, is_locked: bool = False) -> None:
    """Check the token that a write names for its key.

    Whoever calls it has had leases past their deadlines expired first (``LockDesk.expire_due``).

    Args:
        ns: the namespace.
        key: the key.
        token: named by the write; 0: none.
        in_force: of the lock of this name, FREE where nobody holds it.
        is_locked: the value is of type ``locked``, which may not be written without.

    Raises:
        TokenStale: no token where one is needed, or not the one in force, which is `value`.
    """
    if token == in_force != FREE or (token == FREE and not is_locked):
        return
    got = f"token {token}" if token else "no token"
    now = f"token {in_force} is in force" if in_force else "nobody holds the lock"
    raise errors.TokenStale(
        f"Expected a write under the lock of {ns}/{key}, got {got}, and {now}",
        field="token",
        value=str(in_force),
    )


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
    def name(self) -> LockName:
        """What it waits for."""
        return self.change.ns, self.change.key


class _Place:
    """One lock: its lease, and who waits; forgotten when there is neither."""

    __slots__ = ("deadline_boot_ns", "is_granting", "lease", "waiters")

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.deadline_boot_ns = 0
        self.is_granting = False
        self.waiters: list[Waiter] = []


class LockTable:
    """All locks of one book, as its one writer knows them."""

    def __init__(self) -> None:
        self._places: dict[LockName, _Place] = {}
        self._calls: dict[tuple[str, bytes], Waiter] = {}
        self._vacant: set[LockName] = set()

    # -- holders ---------------------------------------------------------------------------------

    def grant(self, lease: Lease, now_boot_ns: int) -> None:
        """Take in that a lock is held, for its whole time from now on."""
        place = self._places.setdefault(lease.name, _Place())
        place.lease, place.is_granting = lease, False
        place.deadline_boot_ns = now_boot_ns + lease.ttl_ns

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
        place.deadline_boot_ns = now_boot_ns + lease.ttl_ns
        return lease

    def resume(self, now_boot_ns: int) -> None:
        """Give every lease its whole time again: nobody could renew."""
        for place in self._places.values():
            if place.lease is not None:
                place.deadline_boot_ns = now_boot_ns + place.lease.ttl_ns

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
        deadlines += [waiter.until_boot_ns for waiter in self._calls.values()]
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
        if len(self._calls) >= WAITERS_MAX:
            raise errors.LimitExceeded(
                f"Expected at most {WAITERS_MAX} calls that wait for locks, got one more",
                field="wait_ns",
            )
        waiter = Waiter(change, now_boot_ns + change.wait_ns)
        place.waiters.append(waiter)
        self._calls[change.writer, change.nonce] = waiter
        return "wait"

    def waiting(self) -> Iterator[AcquireLock]:
        """Return every call that waits."""
        return (waiter.change for waiter in self._calls.values())

    def next_in_line(self) -> list[Waiter]:
        """Return the first waiter of each lock that is free, and grant it that lock."""
        found = []
        for name in sorted(self._vacant):
            place = self._places.get(name)
            if place is not None and _is_vacant(place) and place.waiters:
                place.is_granting = True
                found.append(place.waiters[0])
        self._vacant.clear()
        return found

    def heir(self, name: LockName, token: int) -> Waiter | None:
        """Return who gets a lock in the transaction that releases it, and grant it; None: nobody.

        It has left its line. Until the lease is ended it is still in force.
        """
        place = self._places.get(name)
        if place is None or place.lease is None or place.lease.token != token:
            return None
        if place.is_granting or not place.waiters:
            return None
        waiter = place.waiters[0]
        self.leave(waiter)
        place.is_granting = True
        return waiter

    def give_back(self, name: LockName) -> None:
        """Take in that a lock that was being granted could not be: it is free."""
        place = self._places.get(name)
        if place is not None:
            place.is_granting = False
            self._tidy(name, place)

    def leave(self, waiter: Waiter) -> None:
        """Let a waiter go: it has its lock, or its wait is over."""
        self._calls.pop((waiter.change.writer, waiter.change.nonce), None)
        place = self._places.get(waiter.name)
        if place is not None and waiter in place.waiters:
            place.waiters.remove(waiter)
            self._tidy(waiter.name, place)

    def waiter_of(self, change: AcquireLock) -> Waiter | None:
        """Return the place of a call in its line; None where it has none."""
        return self._calls.get((change.writer, change.nonce))

    def overdue(self, now_boot_ns: int) -> list[Waiter]:
        """Return every waiter whose wait is over, except where its lock is being granted to it."""
        return [
            waiter
            for waiter in self._calls.values()
            if waiter.until_boot_ns <= now_boot_ns and not self._is_being_granted(waiter)
        ]

    def _is_being_granted(self, waiter: Waiter) -> bool:
        place = self._places[waiter.name]
        return place.is_granting and place.waiters[0] is waiter

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
        for waiter in self._calls.values():
            theirs = self.lease_of(waiter.name)
            if waiter.change.holder != lease.holder or theirs is None or waiter.name == name:
                continue
            if theirs.holder == change.holder:
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
            place.lease, place.is_granting = None, False
            self._tidy(name, place)
        for lease in leases:
            self.grant(lease, now_boot_ns)

    def counts(self) -> tuple[int, int]:
        """Return how many locks are held, and how many calls wait."""
        return sum(place.lease is not None for place in self._places.values()), len(self._calls)

    def _tidy(self, name: LockName, place: _Place) -> None:
        if _is_vacant(place):
            if place.waiters:
                self._vacant.add(name)
            else:
                self._places.pop(name, None)


def _is_vacant(place: _Place) -> bool:
    return place.lease is None and not place.is_granting


def _who(lease: Lease) -> str:
    return f"{lease.writer} (process {lease.pid}, token {lease.token})"
