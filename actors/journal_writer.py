"""journal_writer: the only process that writes the book.

Owns the database, the signing key in use and the feed ring of the segment. Hears ``book.append``
and ``book.maintain``. Everything that waits in the mailbox becomes one transaction and one fsync;
then the ring wakes the followers, then the writers are answered: who was told ``durable`` is right,
and who follows is early. A lone request costs one fsync, a burst shares it.

What goes wrong: no room refuses the group and later ones work; a book that does not verify, or that
SQLite finds malformed, is left alone and every append refused (readers, and the clock, go on); any
other failure of the disk ends the process at once, without closing the database, since closing
would ask the disk again.
"""

import logging
import os
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

from actors.base import Actor, Degraded, Handler, Outcome, Ready, Request
from actors.config import JournalWriterConfig
from hourbook.book import distrust, schema
from hourbook.book.journal import Row, row_payload
from hourbook.book.stamps import StampSource
from hourbook.book.writer import BookWriter
from protocols import entry, errors, hlc
from protocols.book_messages import Append, Appended, Maintain, Maintained, check_append
from protocols.control import Snapshot
from shm.writer import RingWriter

__all__ = ["JournalWriter"]

FRAME_BYTES_MAX: Final = entry.ENTRY_BYTES_MAX + (64 << 10)
"""The largest entry, and room for its other fields."""
GROUP_BYTES_MAX: Final = 1 << 20
REFUSALS_REMEMBERED_MAX: Final = 10_000
RETRY_S: Final = 5.0
TIDY_PERIOD_S: Final = 1.0
EXIT_DISK_FAILED: Final = 74
"""EX_IOERR of sysexits.h."""
_NS: Final = 1e-9


class JournalWriter(Actor[JournalWriterConfig]):
    """Sequences, signs, writes, publishes and acknowledges entries."""

    config_type = JournalWriterConfig
    frame_bytes_max = FRAME_BYTES_MAX
    drain_messages_max = entry.BATCH_ENTRIES_MAX
    drain_bytes_max = GROUP_BYTES_MAX

    _book: BookWriter | None = None
    _ring: RingWriter
    _refusal: errors.HourbookError | None = None

    def init(self) -> Outcome:
        """Open the book and announce its head to the followers."""
        self._waiting: list[Request[Append]] = []
        self._waiting_entries = 0
        self._resent: list[Request[Append]] = []
        self._refused: dict[tuple[str, bytes], errors.HourbookError] = {}
        self._is_dirty = self._was_busy = False
        self._entries = self._commits = self._bytes = self._duplicates = self._disk_full = 0
        self._commit_ns = self._publish_ns = self._commit_ns_max = 0
        self._ring = RingWriter(self.home.segment)
        self._stamps = StampSource(self.home, self.timebase)
        self.reactor.every(TIDY_PERIOD_S, self._tidy)
        self._open_book()
        return Ready() if self._refusal is None else Degraded(str(self._refusal))

    def handlers(self) -> Mapping[str, Handler]:
        """Return what this mailbox serves."""
        return {
            "book.append": Handler(Append, self._append),
            "book.maintain": Handler(Maintain, self._maintain),
        }

    def is_full(self) -> bool:
        """End the drain when a group is full."""
        return self._waiting_entries >= entry.BATCH_ENTRIES_MAX

    def after_drain(self) -> None:
        """Commit what was gathered, in groups of at most BATCH_ENTRIES_MAX entries."""
        if not self._waiting and not self._resent:
            return
        waiting, self._waiting, self._waiting_entries = self._waiting, [], 0
        group: list[Request[Append]] = []
        count = 0
        for request in waiting:
            if count + len(request.body.entries) > entry.BATCH_ENTRIES_MAX:
                self._commit(group)
                group, count = [], 0
            group.append(request)
            count += len(request.body.entries)
        if group:
            self._commit(group)
        if self._resent:
            self._answer_resent()

    def snapshot(self) -> Snapshot:
        """Return what was done since the start, and how large the log is."""
        figures: Snapshot = {
            "book_entries_total": float(self._entries),
            "book_commits_total": float(self._commits),
            "book_details_bytes_total": float(self._bytes),
            "book_resends_total": float(self._duplicates),
            "book_disk_full_total": float(self._disk_full),
            "book_commit_seconds_sum": self._commit_ns * _NS,
            "book_commit_seconds_count": float(self._commits),
            "book_commit_seconds_max": self._commit_ns_max * _NS,
            "book_publish_seconds_sum": self._publish_ns * _NS,
            "book_writable": float(self._book is not None and self._refusal is None),
        }
        if self._book is not None:
            figures["book_head_seq"] = float(self._book.head.seq)
            figures["book_wal_bytes"] = float(self._book.wal_bytes())
        return figures

    def stop(self) -> None:
        """Close the book, leaving its log for readers."""
        if self._book is not None:
            self._book.close()

    # -- messages --------------------------------------------------------------------------------

    def _append(self, request: Request[Append]) -> Appended | None:
        """Queue a request for the next commit, or answer it from the book when it was seen."""
        body = request.body
        if self._book is None or self._refusal is not None:
            raise self._refusal or errors.InternalError("Expected an open book")
        check_append(body)
        now_ns = self._stamps.time_ns()
        if body.hlc > self._book.head.hlc:  # ours may be far ahead, where our clock once was
            hlc.merge(0, body.hlc, now_ns)
        if self._refused and (refusal := self._refused.get((body.writer, body.nonce))) is not None:
            raise refusal
        try:
            is_new = self._book.is_new(body, self._pending(), now_ns)
        except sqlite3.Error as error:
            raise self._distrust_or_die(error) from None
        if is_new:
            self._waiting.append(request)
            self._waiting_entries += len(body.entries)
        else:
            self._duplicates += 1
            self._resent.append(request)
        return Appended() if body.ack == "received" else None

    def _pending(self) -> Iterable[Append]:
        return (request.body for request in self._waiting)

    def _maintain(self, request: Request[Maintain]) -> Maintained:
        body = request.body
        if body.op == "distrust":
            found = distrust.Distrust(body.first_bad_seq, body.problem)
            self._refuse_from_now_on(found.as_error(self.home.book_db))
            return Maintained()
        if body.op == "trust":
            self._trust_again()
            return Maintained()
        if self._book is None:
            raise self._refusal or errors.InternalError("Expected an open book")
        try:
            free_pages = self._book.vacuum(body.pages) if body.op == "vacuum" else 0
            wal_bytes = self._book.checkpoint(truncate=body.op == "checkpoint")
        except sqlite3.Error as error:
            self._die(error)
        return Maintained(wal_bytes=wal_bytes, free_pages=free_pages)

    # -- groups ----------------------------------------------------------------------------------

    def _commit(self, group: list[Request[Append]]) -> None:
        book = self._book
        if book is None or self._refusal is not None:
            self._refuse(group, self._refusal or errors.InternalError("Expected an open book"))
            return
        started_ns = self.timebase.mono_ns()
        try:
            rows = book.commit([request.body for request in group], self._stamps.read())
        except errors.DiskFull as error:
            self._disk_full += 1
            self._refuse(group, error)
            return
        except sqlite3.Error as error:
            self._refuse(group, self._distrust_or_die(error))
            return
        committed_ns = self.timebase.mono_ns()
        self._ring.publish(rows[0][0], [row_payload(row) for row in rows])
        self._count(rows, committed_ns - started_ns, self.timebase.mono_ns() - committed_ns)
        position = 0
        for request in group:
            end = position + len(request.body.entries)
            if request.body.ack == "durable":
                request.reply(_acks(rows[position:end]))
            position = end

    def _count(self, rows: list[Row], commit_ns: int, publish_ns: int) -> None:
        self._is_dirty = self._was_busy = True
        self._commits += 1
        self._entries += len(rows)
        self._bytes += sum([len(row[13]) for row in rows])
        self._commit_ns += commit_ns
        self._commit_ns_max = max(self._commit_ns_max, commit_ns)
        self._publish_ns += publish_ns

    def _refuse(self, group: list[Request[Append]], error: errors.HourbookError) -> None:
        """Refuse a group, and remember it: a resend under way must hear the same."""
        self.log.warning("refused %d requests: %s", len(group), error)
        for request in group:
            if len(self._refused) >= REFUSALS_REMEMBERED_MAX:
                self._refused.pop(next(iter(self._refused)))
            self._refused[request.body.writer, request.body.nonce] = error
            if request.body.ack == "durable":
                request.refuse(error)

    def _answer_resent(self) -> None:
        resent, self._resent = self._resent, []
        for request in resent:
            body = request.body
            if body.ack == "received":
                continue
            try:
                rows = self._book.recall(body) if self._book is not None else []
            except sqlite3.Error as error:
                request.refuse(self._distrust_or_die(error))
                continue
            refusal = self._refused.get((body.writer, body.nonce))
            if rows:
                request.reply(_acks(rows))
            elif refusal is not None:
                request.refuse(refusal)

    # -- the book --------------------------------------------------------------------------------

    def _open_book(self) -> None:
        try:
            self._book = BookWriter.open(
                self.home.book_db,
                self.home.keys_dir,
                size_max_bytes=self.config.size_max_mib << 20,
            )
        except errors.HourbookError as error:
            self._refusal = error
            self.reactor.degrade(str(error))
            self.reactor.after(RETRY_S, self._open_book)
            return
        self._refusal = None
        self._ring.rewind(self._book.head.seq)
        if (standing := distrust.load(self.home)) is not None:
            self._refuse_from_now_on(standing.as_error(self.home.book_db))
            return
        self.reactor.recover()

    def _distrust_or_die(self, error: sqlite3.Error) -> errors.BookCorrupt:
        """Leave a malformed book alone from now on; return what every append is refused with."""
        if schema.error_code(error) & 0xFF != sqlite3.SQLITE_CORRUPT or self._book is None:
            self._die(error)
        found = distrust.Distrust(self._book.head.seq + 1, f"unreadable: {error}")
        try:
            distrust.store(self.home, found)
        except OSError:
            self._die(error)
        refusal = found.as_error(self.home.book_db)
        self._refuse_from_now_on(refusal)
        return refusal

    def _refuse_from_now_on(self, error: errors.HourbookError) -> None:
        self._refusal = error
        self.reactor.degrade(str(error))

    def _trust_again(self) -> None:
        """Open a distrusted book as it is now: what was repaired may be another than we knew."""
        if self._book is None or self._refusal is None:
            return
        try:
            self._book.close()
        except sqlite3.Error as error:
            self._die(error)
        self._book = None
        self._open_book()

    def _tidy(self) -> None:
        """Move the log into the database when a second went by without a commit."""
        if self._book is None:
            return
        if self._ring.segment.is_lost():
            self._ring.close()
            self._ring = RingWriter(self.home.segment)
            self._ring.rewind(self._book.head.seq)
        is_idle, self._was_busy = not self._was_busy, False
        try:
            if self._book.wal_bytes() > self.config.wal_truncate_mib << 20:
                self._book.checkpoint(truncate=True)
            elif is_idle and self._is_dirty:
                self._book.checkpoint()
                self._is_dirty = False
        except sqlite3.Error as error:
            self._die(error)

    def _die(self, error: sqlite3.Error) -> NoReturn:
        """End at once: what is on the disk is unknown, and must be read again from there."""
        self.log.critical("the disk failed: %s, at %s", error, self.home.book_db)
        logging.shutdown()
        os._exit(EXIT_DISK_FAILED)


def _acks(rows: list[Row]) -> dict[str, Any]:
    """Return the body of an ``Appended``, without a struct for each entry."""
    return {
        "entries": [(row[0], row[1], row[2], row[3], row[12], row[15], row[16]) for row in rows]
    }
