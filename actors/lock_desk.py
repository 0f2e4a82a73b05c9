"""The part of journal_writer that lends locks: who waits, who has ended, whose time has come.

Grants, releases and expiries are changes (``hourbook.book.changes.locks``), durable before anybody
hears of them; who is next, and until when, ``hourbook.book.store.lock_table`` decides. This part
watches: the processes that hold locks (``actors.lock_holders``), and what is over next, by one
timer. A call that waits is answered when it is granted, or refused when its wait is over.

Timers count awake time, deadlines boot time: where the two part, the machine was suspended. A timer
that is late says that this process was: stopped, starved, or waiting for its disk.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.contract import Handler, Reactor, Request
from actors.lock_holders import LockHolders
from hourbook.book.changes.locks import find_lease, list_leases
from hourbook.book.changes.outcomes import Outcome
from hourbook.book.store.leases import Lease, LockName
from hourbook.book.store.lock_calls import Waiter
from hourbook.book.store.lock_table import LockTable
from hourbook.book.writer import BookWriter
from hourbook.latency_bins import LatencyBins
from hourbook.link.nonce_source import new_nonces
from protocols import errors
from protocols.change import JOURNAL_WRITER, Change
from protocols.control import Snapshot
from protocols.instance_messages import Holder
from protocols.kv_messages import (
    AcquireLock,
    KvWrite,
    LeaveLock,
    ListLocks,
    LockGranted,
    LockLeft,
    LockRenewed,
    Locks,
    ReleaseLock,
    RenewLock,
)
from shm.segment import current_boot_id

if TYPE_CHECKING:
    from actors.timers import Timer

__all__ = ["LockDesk"]

SUSPENDED_NS_MIN: Final = 50_000_000
"""Boot time that awake time does not have; less is how long it takes to read both."""
LATE_NS_MIN: Final = 50_000_000
"""By which our timer is late where we did not run, or were kept by the disk."""
GRACE_NS: Final = 250_000_000
"""In which whoever renewed meanwhile is heard, or has said so again."""
RETRY_NS: Final = 250_000_000
"""After which what found no room in the book is tried again."""
_decode_granted = msgspec.msgpack.Decoder(LockGranted).decode
_Write = Callable[[list[Change]], Sequence[Outcome]]
_Refuse = Callable[[Request[Any], errors.HourbookError], None]


class LockDesk:
    """The locks of the book, as one incarnation of journal_writer lends them.

    Attributes:
        waits: how long calls have waited until they were granted.
    """

    def __init__(self, reactor: Reactor, write: _Write, refuse: _Refuse) -> None:
        """Begin without a book.

        Args:
            reactor: watches the holders and the time.
            write: does changes at once, and returns what became of each.
            refuse: answers a call, and remembers that for a resend.
        """
        self._reactor, self._write, self._refuse = reactor, write, refuse
        self._nonces = new_nonces()
        self._book: BookWriter | None = None
        self._table = LockTable()
        self._requests: dict[Waiter, Request[AcquireLock]] = {}
        self._holders = LockHolders(reactor, self._on_end_of)
        self._ended: list[Lease] = []
        self._timer: Timer | None = None
        self._timer_boot_ns = 0
        self._suspended_ns = _suspended_ns()
        self._grants = self._expiries = self._timeouts = 0
        self.waits = LatencyBins()

    def open(self, book: BookWriter) -> None:
        """Take over the locks that `book` says are held, and free those of processes that ended."""
        self.close()
        self._book = book
        self._table.take_over(book.query(list_leases), _boot_ns())
        for lease in list(self._table.leases()):
            self._watch(lease)
        self.settle()
        self._wake_at(self._table.next_due_ns())

    # -- messages --------------------------------------------------------------------------------

    def handlers(self) -> Mapping[str, Handler]:
        """Return the messages about locks that are no changes."""
        return {
            "lock.leave": Handler(LeaveLock, self.leave),
            "lock.list": Handler(ListLocks, self.list_all),
            "lock.renew": Handler(RenewLock, self.renew),
        }

    def keeps_place(self, request: Request[Any]) -> bool:
        """Return whether a call that is sent again waits already; then this is to be answered.

        Raises:
            BadRequest: another one waits under its nonce.
        """
        waiter = self._table.waiter_of(request.body)
        if waiter is not None:
            self._requests[waiter] = request
        return waiter is not None

    def must_wait(self, request: Request[Any]) -> bool:
        """Take in a new call; return False where its change is to be done now.

        Otherwise it is answered from here, sooner or later.

        Raises:
            BadRequest: the holder does not live, and we would see it if it did.
            LimitExceeded: too many wait.
        """
        change: AcquireLock = request.body
        self._require_life(change.holder)
        self._note_absence()
        self._free_if_over((change.ns, change.key))
        verdict = self._table.ask(change, _boot_ns())
        if verdict == "grant":
            self.waits.add(0)
        elif verdict == "refuse":
            self._give_up(request)
        elif (waiter := self._table.waiter_of(change)) is not None:
            self._wait(waiter, request)
        return verdict != "grant"

    def heir(self, change: ReleaseLock) -> Request[Any] | None:
        """Return the call that is granted, behind it and in its transaction, what a release frees.

        One that waits is not made to wait for a second fsync.
        """
        name = (change.ns, change.key)
        while (waiter := self._table.heir(name, change.token)) is not None:
            request = self._requests.pop(waiter)
            if self._holders.can_live(waiter.change.holder):
                self.waits.add(_boot_ns() - waiter.since_boot_ns)
                return request
            self._table.give_back(name)
        return None

    def prepare(self, change: KvWrite) -> None:
        """See to it that no write rests on a lease whose deadline has come.

        Raises:
            DiskFull, BookCorrupt: its end could not be written.
        """
        for op in change.ops:
            if op.token:
                self._note_absence()
                name = (change.ns, op.key)
                lease = self._table.lease_of(name)
                if lease is not None and self._table.is_past(name, op.token, _boot_ns()):
                    self._end([lease], "expired")

    def renew(self, request: Request[RenewLock]) -> LockRenewed:
        """Give a lease its whole time again."""
        body = request.body
        self._note_absence()
        name = (body.ns, body.key)
        return LockRenewed(self._table.renew(name, body.token, _boot_ns()).ttl_ns)

    def leave(self, request: Request[LeaveLock]) -> LockLeft:
        """Let a call go that waits; one that was granted is its caller's to release."""
        waiter = self._table.waiter_named(request.body.writer, request.body.nonce)
        if waiter is not None:
            self._give_up(self._leave(waiter))
        return LockLeft(waited=waiter is not None)

    def list_all(self, request: Request[ListLocks]) -> Locks:
        """Return who holds what, and who waits."""
        return Locks(self._table.list_locks(request.body.ns, _boot_ns()))

    def waiting(self, writer: str) -> list[AcquireLock]:
        """Return the calls of an instance that wait: their nonces are taken."""
        return self._table.waiting(writer)

    # -- the book --------------------------------------------------------------------------------

    def note(self, change: Change, outcome: Outcome) -> None:
        """Take in what became of a change; :meth:`settle` follows once its group is answered."""
        if isinstance(change, AcquireLock):
            self._note_grant(change, outcome)
        elif isinstance(change, ReleaseLock) and outcome.error is None and outcome.entries:
            name = (change.ns, change.key)
            if (lease := self._table.lease_of(name)) and self._table.free(name, change.token):
                self._holders.note_release(lease.holder, lease.name)
            self._expiries += bool(change.reason)

    def drop(self, request: Request[Any]) -> bool:
        """Take in that the group of a change was not written; return whether its call waits on."""
        change = request.body
        is_call = isinstance(change, AcquireLock)
        waiter = self._table.wait_on((change.ns, change.key)) if is_call else None
        if waiter is not None:
            self._wait(waiter, request)
        return waiter is not None

    def settle(self) -> None:
        """Free what belongs to processes that have ended, and lend what is free to who is next."""
        while self._ended or self._table.vacant:
            ended, self._ended = self._ended, []
            waiters = [] if ended else self._table.next_in_line()
            try:
                self._end(ended, "ended")
                self._lend(waiters)
            except errors.HourbookError:
                self._ended += ended
                self._wake_at(_boot_ns() + RETRY_NS)
                return

    def snapshot(self) -> Snapshot:
        """Return how many locks are held and waited for, and what was done since the start."""
        held, waiting = self._table.counts()
        return {
            "locks_held": float(held),
            "locks_waiting": float(waiting),
            "lock_grants_total": float(self._grants),
            "lock_expiries_total": float(self._expiries),
            "lock_timeouts_total": float(self._timeouts),
            **self.waits.snapshot("lock_wait_seconds", 20, 36),
        }

    def close(self) -> None:
        """Watch nobody any more."""
        self._holders.close()
        self._ended = []

    def _note_grant(self, change: AcquireLock, outcome: Outcome) -> None:
        name = (change.ns, change.key)
        lease = None
        if outcome.error is None and self._book is not None:
            lease = self._book.query(lambda connection: find_lease(connection, *name))
        if lease is None or lease.token != _decode_granted(outcome.body).token:
            self._table.give_back(name)
            return
        now_ns = _boot_ns()
        self._table.grant(lease, now_ns)
        self._grants += 1
        self._watch(lease)
        self._wake_at(now_ns + lease.ttl_ns)

    def _lend(self, waiters: list[Waiter]) -> None:
        """Grant each waiter its lock, those that have ended left out, and answer it.

        Raises:
            DiskFull, BookCorrupt: nobody got any.
        """
        for waiter in waiters:
            if not self._holders.can_live(waiter.change.holder):
                self._leave(waiter)
                self._table.give_back(waiter.name)
        waiters = [waiter for waiter in waiters if waiter in self._requests]
        if not waiters:
            return
        try:
            outcomes = self._write([waiter.change for waiter in waiters])
        except errors.HourbookError:
            for waiter in waiters:
                self._table.give_back(waiter.name)
            raise
        for waiter, outcome in zip(waiters, outcomes, strict=True):
            request = self._leave(waiter)
            self.note(waiter.change, outcome)
            if outcome.error is None:
                self.waits.add(_boot_ns() - waiter.since_boot_ns)
                request.reply(msgspec.Raw(outcome.body))
            else:
                request.refuse(outcome.error)

    def _end(self, leases: list[Lease], why: str) -> None:
        """End leases in the book.

        Raises:
            DiskFull, BookCorrupt: they are still in force there, and nobody else gets them.
        """
        changes: list[Change] = [
            ReleaseLock(
                writer=JOURNAL_WRITER,
                nonce=next(self._nonces),
                ns=lease.ns,
                key=lease.key,
                token=lease.token,
                reason="rebooted" if lease.boot_id != current_boot_id() else why,  # type: ignore[arg-type]
            )
            for lease in leases
        ]
        if changes:
            for change, outcome in zip(changes, self._write(changes), strict=True):
                self.note(change, outcome)

    def _wait(self, waiter: Waiter, request: Request[AcquireLock]) -> None:
        self._requests[waiter] = request
        self._wake_at(waiter.until_boot_ns)

    def _leave(self, waiter: Waiter) -> Request[AcquireLock]:
        self._table.leave(waiter)
        return self._requests.pop(waiter)

    def _give_up(self, request: Request[AcquireLock]) -> None:
        self._timeouts += 1
        self._refuse(request, self._table.timeout_error(request.body))

    # -- time ------------------------------------------------------------------------------------

    def _wake_at(self, boot_ns: int | None) -> None:
        """See to it that we look again at `boot_ns`, or earlier."""
        if boot_ns is None or (self._timer is not None and self._timer_boot_ns <= boot_ns):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_boot_ns = boot_ns
        delay_s = max(0, boot_ns - _boot_ns()) / 1e9
        self._timer = self._reactor.after(delay_s, self._look)

    def _look(self) -> None:
        """End the leases and the waits that are over."""
        self._note_absence()
        self._timer = None
        now_ns = _boot_ns()
        overdue = self._table.overdue(now_ns)
        for waiter in overdue:  # all are told before any is forgotten: they may wait for each other
            self._give_up(self._requests[waiter])
        for waiter in overdue:
            self._leave(waiter)
        try:
            self._end(self._table.past(now_ns), "expired")
        except errors.HourbookError:
            self._wake_at(now_ns + RETRY_NS)
            return
        self.settle()
        self._wake_at(self._table.next_due_ns())

    def _note_absence(self) -> None:
        """Let nobody lose a lock because the machine slept, or this process did."""
        now_ns, suspended_ns = _boot_ns(), _suspended_ns()
        if suspended_ns - self._suspended_ns > SUSPENDED_NS_MIN:
            self._table.resume(now_ns)
        elif self._timer is not None and now_ns - self._timer_boot_ns > LATE_NS_MIN:
            self._table.excuse(now_ns, GRACE_NS)
        self._suspended_ns = suspended_ns

    # -- processes -------------------------------------------------------------------------------

    def _watch(self, lease: Lease) -> None:
        """Hear of the end of a holder; one that has ended already is freed by :meth:`settle`."""
        if not self._holders.note_grant(lease.holder, lease.name):
            self._ended.append(lease)

    def _on_end_of(self, holder: Holder, names: list[LockName]) -> None:
        leases = [self._table.lease_of(name) for name in names]
        self._ended += [lease for lease in leases if lease is not None and lease.holder == holder]
        for waiter in self._table.waiters_of(holder):
            self._leave(waiter)
        self.settle()

    def _free_if_over(self, name: LockName) -> None:
        """End a lease that stands in the way, where its process or its time has ended."""
        if (lease := self._table.lease_of(name)) is None:
            return
        is_past = self._table.is_past(name, lease.token, _boot_ns())
        if is_past or not self._holders.can_live(lease.holder):
            with contextlib.suppress(errors.HourbookError):  # then it is still held
                self._end([lease], "expired" if is_past else "ended")

    def _require_life(self, holder: Holder) -> None:
        if not self._holders.can_live(holder):
            raise errors.BadRequest(
                f"Expected a process that lives, got {holder.pid}, which is not there",
                field="holder",
                value=str(holder.pid),
            )


def _boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _suspended_ns() -> int:
    return _boot_ns() - time.monotonic_ns()
