"""The part of journal_writer that keeps the store: what its readers are told, and what has ended.

Readers in other processes keep values of their own for as long as the counters of the segment say
that they may (``hourbook.book.store.generations``). Where the segment was replaced, who still reads
the old one must not believe its counters any more: they stay odd for ever. A predecessor that died
could not do that; so who finds a table that nobody has used begins when every reader has looked
anew (``docs/SEGMENT.md``).
"""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from actors.config import JournalWriterConfig
from actors.contract import Handler, Reactor, Request
from actors.lock_desk import LockDesk
from actors.store_tally import StoreTally
from hourbook.book.stamps import StampSource
from hourbook.book.store.key_files import find_due
from hourbook.book.store.rows import BUCKETS
from hourbook.book.store.stage import Name
from hourbook.book.store.volatile import Capacity, VolatileStage
from hourbook.book.store.volatile_file import is_of_boot, open_volatile
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from hourbook.link.nonce_source import new_nonces
from protocols import errors
from protocols.book_messages import Append
from protocols.change import JOURNAL_WRITER, Change
from protocols.control import Snapshot
from protocols.kv_figures import FIGURES_KIND, AskFigures, StoreFigures
from protocols.kv_messages import Check, KvUsed, KvWrite, Sweep
from shm.segment import current_boot_id
from shm.writer import GenerationWriter

__all__ = ["SegmentGenerations", "StoreDesk"]

_ALL: Final = range(BUCKETS)
_LEASES_S: Final = 0.04
"""Twice as long as a reader trusts the segment that it has mapped (``shm/store_cache.c``)."""
_WAIT_S_MAX: Final = 60.0
_RETRY_S: Final = 1.0
_S_NS: Final = 1_000_000_000

_log = logging.getLogger(__name__)


class StoreDesk:
    """The store as one incarnation of journal_writer keeps it.

    Attributes:
        generations: what its readers are told.
        tally: what is done with it.
    """

    def __init__(
        self,
        home: Home,
        config: JournalWriterConfig,
        reactor: Reactor,
        stamps: StampSource,
        write_own: Callable[[list[Change]], None],
    ) -> None:
        """Begin without a book.

        Raises:
            AlreadyRunning: another process commits here.
        """
        self._home, self._reactor, self._stamps, self._write_own = home, reactor, stamps, write_own
        self._capacity = Capacity(config.cached_max_mib << 20, config.transient_max_mib << 20)
        self._nonces = new_nonces()
        self._book: BookWriter | None = None
        self._volatile: VolatileStage | None = None
        self._inode = 0
        self._cancel: Callable[[], None] | None = None
        self._armed_ns: int | None = None
        self._is_resting = False  # the last sweep found no room; the timer tries again
        self._expired = self._sweeps = 0
        self.tally = StoreTally()
        self.generations = SegmentGenerations(home)

    def volatile(self) -> VolatileStage | None:
        """Return the volatile keys, from the file in the run directory; None: it cannot be."""
        if self._volatile is None:
            try:
                connection = open_volatile(self._home.volatile_db, current_boot_id())
                self._volatile = VolatileStage(connection, self.generations, self._capacity)
                self._inode = self._home.volatile_db.stat().st_ino
            except (OSError, sqlite3.Error):
                _log.exception("no volatile keys, at %s", self._home.volatile_db)
        return self._volatile

    def has_lost_volatile(self, *, thoroughly: bool = False) -> bool:
        """Return whether the file of volatile keys was removed, replaced or spoiled.

        No reader sees what is written then; whoever opens it anew makes another. The same goes for
        one that could not be made, as soon as it can.
        """
        if self._volatile is None:
            return not thoroughly and self._has_found_place()
        path = self._home.volatile_db
        try:
            if path.stat().st_ino != self._inode:
                return True
        except FileNotFoundError:
            return True
        return not is_of_boot(path, current_boot_id(), thoroughly=thoroughly)

    def _has_found_place(self) -> bool:
        try:
            open_volatile(self._home.volatile_db, current_boot_id()).close()
        except (OSError, sqlite3.Error):
            return False
        return True

    def open(self, book: BookWriter) -> None:
        """Serve the store of an opened book; what is over by now is taken away."""
        self._book = book
        if self._volatile is not None:
            book.query(self._volatile.give_way)
        book.store.main.soonest_ns = book.store.main.next_expiry_ns()
        self.generations.reset_all()
        self.settle()

    def settle(self) -> None:
        """Wake up when the next value's time comes; after each group."""
        soonest_ns = None if self._book is None else self._book.store.soonest_ns
        if soonest_ns is not None and (self._armed_ns is None or soonest_ns < self._armed_ns):
            left_s = (soonest_ns - self._stamps.time_ns()) / _S_NS
            self._arm(soonest_ns, max(0.0, min(left_s, _WAIT_S_MAX)))

    def tidy(self) -> None:
        """Look after what nobody has asked for; once a second."""
        self.generations.settle()
        if self._volatile is not None:
            with contextlib.suppress(errors.DiskFull):
                self._volatile.pay()
        self.sweep_due()

    def sweep_due(self) -> None:
        """Sweep where the clock was set past the time of a value; not where that found no room."""
        if self._is_resting or self._armed_ns is None:
            return
        if self._armed_ns <= self._stamps.time_ns():
            self._sweep()

    def make_way(self, group: Sequence[Append | Change]) -> None:
        """Do the same before a group; what that leaves for later and the group writes goes now.

        For readers such a key is absent; it must not be in the way of one of another type.
        """
        self.sweep_due()
        book = self._book
        if book is None or (due_ns := book.store.soonest_ns) is None:
            return
        now_ns = self._stamps.time_ns()
        if due_ns > now_ns:
            return
        writes = [body for body in group if isinstance(body, KvWrite) and not body.branch]
        names = dict.fromkeys((write.ns, op.key) for write in writes for op in write.ops)
        over = [name for name in names if book.store.is_over(name, now_ns)]
        if over:
            self._write_own([self._check_of(name) for name in over])
            self._expired += sum(not book.store.is_over(name, now_ns) for name in over)

    def handlers(self, locks: LockDesk) -> Mapping[str, Handler]:
        """Return the messages about the store that are no changes."""

        def figures(request: Request[AskFigures]) -> StoreFigures:
            return self._figures(request.body.ns, locks)

        return {
            FIGURES_KIND: Handler(AskFigures, figures),
            "kv.used": Handler(KvUsed, self.used),
        }

    def used(self, request: Request[KvUsed]) -> None:
        """Take in that cached keys were read, so that others go first."""
        if self._volatile is not None:
            ns = request.body.ns
            self._volatile.use((ns, key) for key in request.body.keys)

    def snapshot(self) -> Snapshot:
        """Return what was swept and put out, and what volatile keys weigh."""
        figures = self.tally.snapshot() | {
            "store_expired_total": float(self._expired),
            "store_sweeps_total": float(self._sweeps),
        }
        if (volatile := self._volatile) is not None:
            figures["store_evictions_total"] = float(volatile.evictions)
            figures["store_volatile_keys"] = float(len(volatile.weights.names))
            figures["store_cached_bytes"] = float(volatile.weights.cached_bytes)
            figures["store_transient_bytes"] = float(volatile.weights.transient_bytes)
        return figures

    def _figures(self, ns: str, locks: LockDesk) -> StoreFigures:
        lent = locks.snapshot()
        return StoreFigures(
            self.tally.figures(ns),
            0 if self._volatile is None else self._volatile.evictions,
            self._expired,
            self._sweeps + self.tally.compactions,
            int(lent["locks_held"]),
            int(lent["locks_waiting"]),
            self.tally.commits.histogram(),
            locks.waits.histogram(),
        )

    def close(self) -> None:
        """Give up what is held."""
        if self._volatile is not None:
            self._volatile.close()
        self.generations.close()

    def _arm(self, due_ns: int, delay_s: float) -> None:
        if self._cancel is not None:
            self._cancel()
        self._armed_ns = due_ns
        self._cancel = self._reactor.after(delay_s, self._sweep).cancel

    def _check_of(self, name: Name) -> KvWrite:
        """Return a write that takes a key away whose time has come, and does no more."""
        (ns, key), nonce = name, next(self._nonces)
        return KvWrite(writer=JOURNAL_WRITER, nonce=nonce, ns=ns, ops=[Check(key=key)])

    def _sweep(self) -> None:
        """Take away what is over, and sleep until the next is."""
        self._is_resting = False
        book, now_ns = self._book, self._stamps.time_ns()
        if book is None:
            return
        store, self._armed_ns = book.store, None
        due_ns = store.soonest_ns
        if due_ns is not None and due_ns <= now_ns:
            self._sweeps += 1
            is_rid_of_volatile = self._sweep_volatile(now_ns)
            is_done = self._sweep_book(book, now_ns) and is_rid_of_volatile
            store.main.soonest_ns = store.main.next_expiry_ns()
            if not is_done:
                self._is_resting = True
                self._arm(due_ns, _RETRY_S)
                return
        self.settle()

    def _sweep_volatile(self, now_ns: int) -> bool:
        """Take away volatile values that are over; return False where there was no room."""
        if (volatile := self._volatile) is None:
            return True
        count = volatile.expire(now_ns)
        self._expired += count
        return count > 0 or volatile.soonest_ns is None or volatile.soonest_ns > now_ns

    def _sweep_book(self, book: BookWriter, now_ns: int) -> bool:
        """Take away durable values that are over; return False where that was refused."""
        if not book.query(lambda connection: find_due(connection, now_ns)):
            return True
        before, nonce = book.head.seq, next(self._nonces)
        self._write_own([Sweep(writer=JOURNAL_WRITER, nonce=nonce)])
        count = book.head.seq - before
        self._expired += count
        return count > 0


class SegmentGenerations:
    """The counters in the segment of one home, wherever that is at the moment."""

    def __init__(self, home: Home) -> None:
        """Take the table.

        Raises:
            AlreadyRunning: another process commits here.
        """
        self._home = home
        self._table = GenerationWriter(home.segment)
        self._opened_s = time.monotonic()

    def begin(self, buckets: Sequence[int]) -> None:
        """Make counters odd; the first of a new segment wait until every reader has found it."""
        self._renew()
        if self._table.is_unused():
            time.sleep(max(0.0, self._left_s()))
            self._table.reset_all()
        self._table.begin(buckets)

    def end(self, buckets: Sequence[int]) -> None:
        """Make counters even; in a segment that came meanwhile, all of them."""
        self._table.end(buckets)
        self._renew()

    def reset_all(self) -> None:
        """Let every reader look anew: a predecessor may have died in the middle of a commit.

        In a new segment only once that is safe: until then nobody keeps anything.
        """
        if not self._table.is_unused() or self._left_s() <= 0:
            self._table.reset_all()

    def settle(self) -> None:
        """Let readers keep what they read, where that had to wait."""
        if self._table.is_unused():
            self.reset_all()

    def close(self) -> None:
        """Give the table up."""
        self._table.close()

    def _left_s(self) -> float:
        return self._opened_s + _LEASES_S - time.monotonic()

    def _renew(self) -> None:
        if self._table.segment.is_lost():
            self._table.begin(_ALL)
            self._table.close()
            self._table = GenerationWriter(self._home.segment)
            self._table.reset_all()
