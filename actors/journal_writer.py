"""journal_writer: the only process that writes the book.

Owns the database, the signing key in use and the feed ring of the segment. Hears ``book.append``,
every change (``hourbook.book.changes``), the beats of instances, and ``book.maintain``. Everything
that waits in the mailbox becomes one transaction and one fsync; then the ring wakes the followers,
then the writers are answered: who was told ``durable`` is right, and who follows is early. A lone
request costs one fsync, a burst shares it.

What goes wrong: no room refuses the group and later ones work; a book that does not verify, or that
SQLite finds malformed, is left alone and every append refused (readers, and the clock, go on); any
other failure of the disk ends the process at once (``actors.held_book``).
"""

import contextlib
import itertools
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from actors import guard
from actors.admission_desk import AdmissionDesk
from actors.base import Actor, ActorContext, Degraded, Handler, Outcome, Ready, Request
from actors.book_answers import appended_body
from actors.config import JournalWriterConfig
from actors.feed_publisher import FeedPublisher
from actors.held_book import HeldBook
from actors.instance_desk import InstanceDesk
from actors.lock_desk import LockDesk
from actors.repeats import Repeats
from actors.store_desk import StoreDesk
from actors.waiting_groups import Group, WaitingGroups
from actors.writer_figures import WriterFigures
from actors.writer_upkeep import WriterUpkeep
from hourbook.book import schema
from hourbook.book.changes.kinds import KINDS
from hourbook.book.changes.locks import ACQUIRE, RELEASE
from hourbook.book.changes.outcomes import Outcome as ChangeOutcome
from hourbook.book.changes.scope import ChangeKind
from hourbook.book.gathered_log import connect_gathering
from hourbook.book.screening import open_screen
from hourbook.book.sqlite_mode import enter_multi_thread_mode
from hourbook.book.stamps import StampSource
from hourbook.book.writer import BookWriter, Written
from protocols import entry, errors
from protocols.book_messages import Append, Appended, Maintain, Maintained, check_append
from protocols.change import Change
from protocols.control import Snapshot
from protocols.instance_messages import Register
from protocols.kv_messages import AcquireLock, CompactKeys, KvWrite, ReleaseLock

__all__ = ["JournalWriter"]

FRAME_BYTES_MAX: Final = entry.ENTRY_BYTES_MAX + (64 << 10)
"""The largest entry, and room for its other fields."""
GROUP_BYTES_MAX: Final = 1 << 20
TIDY_PERIOD_S: Final = 1.0
COMPANY_ENTRIES_MAX: Final = 16
"""With more, what a commit costs itself is little of what they cost."""


class JournalWriter(Actor[JournalWriterConfig]):
    """Sequences, signs, writes, publishes and acknowledges entries."""

    config_type = JournalWriterConfig
    frame_bytes_max = FRAME_BYTES_MAX
    drain_messages_max = entry.BATCH_ENTRIES_MAX
    drain_bytes_max = GROUP_BYTES_MAX

    @classmethod
    def main(cls, context: ActorContext) -> int:
        """Live one incarnation, in a process whose only thread to use SQLite is its own."""
        enter_multi_thread_mode()
        return super().main(context)

    def init(self) -> Outcome:
        """Open the book and announce its head to the followers."""
        self._waiting = WaitingGroups()
        self.is_full = False
        self._repeats = Repeats()
        self._sightings_due = False
        self._screen = open_screen(self.config.redact, self.config.redact_patterns)
        self._upkeep = WriterUpkeep(self.config.wal_truncate_mib << 20)
        self._figures = WriterFigures()
        self._feed = FeedPublisher(self.home, self.reactor, self.timebase)
        self._stamps = StampSource(self.home, self.timebase)
        self._store = StoreDesk(self.home, self.config, self.reactor, self._stamps, self._write_own)
        lost = self._store.has_lost_volatile
        self._held = HeldBook(self.home, self.reactor, self._open_book, self._begin, lost)
        self._door = AdmissionDesk(self._stamps, self._held, self._pending, self._figures)
        self._locks = LockDesk(self.reactor, self._write_for_locks, self._door.refuse)
        clocks = self.timebase, self._stamps
        self._instances = InstanceDesk(self.reactor, *clocks, self._write_own, self._store.tally)
        self.reactor.every(TIDY_PERIOD_S, self._tidy)
        self._held.open()
        return Ready() if self._held.refusal is None else Degraded(str(self._held.refusal))

    def handlers(self) -> Mapping[str, Handler]:
        """Return what this mailbox serves."""
        return {
            "book.append": Handler(Append, self._append),
            "book.maintain": Handler(Maintain, self._maintain),
            **self._instances.handlers(),
            **self._store.handlers(self._locks),
            **self._locks.handlers(),
            **{
                kind.name: Handler(kind.request, partial(self._change, kind))
                for kind in KINDS.values()
            },
            ACQUIRE.name: Handler(AcquireLock, self._acquire),
            RELEASE.name: Handler(ReleaseLock, self._release),
        }

    def wants_company(self) -> bool:
        """Return whether a commit has so little in it that more would hardly add to its cost."""
        return 0 < self._waiting.entries < COMPANY_ENTRIES_MAX

    def after_drain(self) -> None:
        """Commit what was gathered, in groups of at most BATCH_ENTRIES_MAX entries."""
        if not self._waiting.entries and not self._door.owes_answers:
            return
        self.is_full = False
        for group in self._waiting.take():
            self._commit(group)
        self._door.end_drain()
        self._locks.settle()
        self._store.settle()

    def snapshot(self) -> Snapshot:
        """Return what was done since the start, and how large the log is."""
        figures = self._figures.snapshot() | self._locks.snapshot() | self._store.snapshot()
        if self._screen is not None:
            figures["book_redacted_requests_total"] = float(self._screen.count)
        figures["book_writable"] = float(self._held.is_writable)
        if (book := self._held.book) is not None:
            figures["book_head_seq"] = float(book.head.seq)
            figures["book_wal_bytes"] = float(book.wal_bytes())
        return figures

    def stop(self) -> None:
        """Close the book, leaving its log for readers."""
        if (book := self._held.book) is not None:
            if self._instances.watch.sightings and self._held.is_writable:
                self._store_sightings(book)
            self._upkeep.tidy(book)
            book.close()
        self._instances.close()
        self._locks.close()
        self._store.close()

    # -- messages --------------------------------------------------------------------------------

    def _append(self, request: Request[Append]) -> Appended | None:
        """Queue a request for the next commit, or answer it from the book when it was seen."""
        body = request.body
        book = self._held.require_writable()
        check_append(body)
        if self._screen is not None and (clean := self._screen.append(body)) is not body:
            check_append(clean)
            request.body = body = clean
        if self._door.is_new(request, book):
            if body.branch:
                book.require_branch(body.branch)
            self.is_full = self._waiting.add(request, len(body.entries))
        return Appended() if body.ack == "received" else None

    def _change(self, kind: ChangeKind[Any], request: Request[Change]) -> None:
        """Queue a change for the next commit, or have it answered as it was before."""
        book = self._take(kind, request)
        change, count = request.body, 1
        if isinstance(change, KvWrite):
            count = len(change.ops)
            self._locks.prepare(change)
        elif isinstance(change, Register):
            self._instances.prepare(change)
        if self._door.is_new(request, book):
            self.is_full = self._waiting.add(request, count, kind)

    def _acquire(self, request: Request[AcquireLock]) -> None:
        """Do the same for a lock, or let the call wait for it."""
        book = self._take(ACQUIRE, request)
        self._door.require_welcome(request.body, book)
        if self._locks.keeps_place(request):
            self._figures.resends += 1
        elif self._door.is_new(request, book) and not self._locks.must_wait(request):
            self.is_full = self._waiting.add(request, 1)

    def _release(self, request: Request[ReleaseLock]) -> None:
        """Do the same for a lock that is let go; who is next gets it in the same commit."""
        if self._door.is_new(request, self._take(RELEASE, request)):
            heir = self._locks.heir(request.body)
            entries = 1 if heir is None else 2  # with the room of both
            self.is_full = self._waiting.add(request, entries)
            if heir is not None:
                self._waiting.add(heir, 0)

    def _take(self, kind: ChangeKind[Any], request: Request[Any]) -> BookWriter:
        """Check a change, and take out its secrets; return the book that it is for."""
        book, change = self._held.require_writable(), request.body
        kind.check(change)
        if self._screen is not None and (clean := self._screen.change(change)) is not change:
            kind.check(clean)
            request.body = clean
        return book

    def _pending(self, body: Append | Change) -> Iterable[Append | Change]:
        """Return what is under way and not in the book, of the writer of `body` at least."""
        return itertools.chain(self._waiting.bodies(), self._locks.waiting(body.writer))

    def _maintain(self, request: Request[Maintain]) -> Maintained:
        body = request.body
        if body.op == "distrust":
            self._held.take_for_bad(body.first_bad_seq, body.problem)
            return Maintained()
        if body.op == "trust":
            self._held.trust_again()
            return Maintained()
        book = self._held.require_open()
        try:
            return self._upkeep.maintain(book, body)
        except sqlite3.Error as error:
            self._held.die(error)

    # -- groups ----------------------------------------------------------------------------------

    def _commit(self, group: Group) -> None:
        """Write one group and answer it."""
        bodies = [request.body for request in group]
        self._store.make_way(bodies)
        try:
            book = self._held.require_writable()
            written = self._write(book, bodies)
        except errors.HourbookError as error:
            self._refuse(group, error)
            return
        self._answer(group, written)

    def _answer(self, group: Group, written: Written) -> None:
        """Tell each request of a group what it has come to."""
        position, outcomes, tally = 0, iter(written.outcomes), self._store.tally
        has_writes = False
        for request in group:
            body = request.body
            if isinstance(body, Append):
                end = position + len(body.entries)
                if body.ack == "durable":
                    request.reply(appended_body(written.rows[position:end], body))
                position = end
                continue
            outcome = next(outcomes)
            position += outcome.entries
            if isinstance(body, KvWrite):
                has_writes = True
                tally.count(body, outcome.error)
            else:
                tally.compactions += type(body) is CompactKeys and outcome.error is None
                self._instances.note(body, outcome)
                self._locks.note(body, outcome)
            if outcome.error is None:
                request.reply(msgspec.Raw(outcome.body))
            elif isinstance(outcome.error, errors.DiskFull):
                self._door.refuse(request, outcome.error)  # a full volatile file has not kept it
            else:
                request.refuse(outcome.error)
        if has_writes:
            tally.commits.add(self._figures.last_commit_ns)

    def _write(self, book: BookWriter, group: Sequence[Append | Change]) -> Written:
        """Commit and publish a group, with what the beats have said where that is due.

        Raises:
            DiskFull, BookCorrupt: nothing of it was written.
        """
        started_ns = self.timebase.mono_ns()
        is_due = self._sightings_due and bool(self._instances.watch.sightings)
        beside = self._instances.watch.store if is_due else None
        try:
            written = book.write(group, self._stamps.read(), beside)
        except errors.DiskFull:
            self._figures.disk_full += 1
            raise
        except sqlite3.Error as error:
            raise self._held.distrust_or_die(error) from None
        committed_ns = self.timebase.mono_ns()
        if is_due:
            self._instances.watch.stored()
            self._sightings_due = False
        rows = written.rows
        if rows:
            self._feed.publish(written)
        published_ns = self.timebase.mono_ns()
        self._figures.count(rows, committed_ns - started_ns, published_ns - committed_ns)
        self._upkeep.note_commit(has_erased=written.has_erased)
        if written.has_erased:
            self._feed.forget(book.head.seq)
        return written

    def _write_own(self, changes: list[Change]) -> None:
        """Do what nobody has asked for; where there is no room now, `_tidy` asks again."""
        try:
            written = self._write(self._held.require_writable(), changes)
        except errors.HourbookError:
            return
        for change, outcome in zip(changes, written.outcomes, strict=True):
            self._instances.note(change, outcome)

    def _write_for_locks(self, changes: list[Change]) -> Sequence[ChangeOutcome]:
        """Do what the locks need at once; raises what :meth:`_write` raises."""
        return self._write(self._held.require_writable(), changes).outcomes

    def _store_sightings(self, book: BookWriter) -> None:
        """Keep how far the instances have read; nothing else may be waiting to be written."""
        self._sightings_due = True
        with contextlib.suppress(errors.HourbookError):
            self._write(book, ())

    def _refuse(self, group: Group, error: errors.HourbookError) -> None:
        """Refuse a group, and remember it: a resend under way must hear the same.

        Who was to get a lock behind its release goes on waiting for it.
        """
        if (remark := self._repeats.remark(error.code, self.timebase.mono_ns())) is not None:
            self.log.warning("refused a group of %d: %s%s", len(group), error, remark)
        for request in group:
            if isinstance(request.body, Change) and self._locks.drop(request):
                continue
            if isinstance(request.body, KvWrite):
                self._store.tally.count(request.body, error)
            self._door.refuse(request, error)

    # -- the book --------------------------------------------------------------------------------

    def _open_book(self) -> BookWriter:
        about = self.context.name, self.home, self.timebase.wall_ns, schema.has_failed
        return BookWriter.open(
            self.home.book_db,
            self.home.keys_dir,
            connect=connect_gathering,
            size_max_bytes=self.config.size_max_mib << 20,
            attempt=guard.containing(*about),
            generations=self._store.generations,
            volatile=self._store.volatile(),
        )

    def _begin(self, book: BookWriter) -> None:
        """Go on where an opened book ends, with those who hold a name in it."""
        self._store.open(book)
        self._feed.rewind(book.head.seq)
        self._instances.open(book)
        self._locks.open(book)

    def _tidy(self) -> None:
        """Move the log into the database when a second went by without a commit."""
        book = self._held.book
        if book is None:
            return
        self._feed.renew(book.head.seq)
        self._instances.release_dead()
        self._held.check_volatile()
        self._store.tidy()
        self._sightings_due = True
        if self._instances.watch.has_moved and self._held.is_writable:
            self._store_sightings(book)
        try:
            self._upkeep.tidy(book)
        except sqlite3.Error as error:
            self._held.die(error)
