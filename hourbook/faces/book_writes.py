"""The writing half of a Book: each call is one request to journal_writer, done whole or not.

What returns an entry returns after the fsync. What raises OutcomeUnknown may or may not have
happened.
"""

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Literal, overload

import msgspec

from hourbook.book.digest import last_session
from hourbook.book.nonces import nonce_after
from hourbook.book.reader import BookReader
from hourbook.faces.book_keeping import BookKeeping
from hourbook.faces.entry_future import EntryFuture, Received
from hourbook.faces.new_entry import NewLike, coerce_entry, make_entry
from hourbook.hybrid_clock import process_clock
from protocols import book_messages, errors, wire
from protocols.book_messages import Append, Appended, NewEntry
from protocols.entry import Entry
from protocols.session_messages import SessionStarted, StartSession

__all__ = ["BookWrites"]

_decode_appended = msgspec.msgpack.Decoder(Appended).decode


class BookWrites(BookKeeping):
    """What can be written to the book, and in which session; threads may share it."""

    name: str
    _on_branch: int
    _open_reader: Callable[[], BookReader]

    @property
    def session(self) -> str:
        """Name of the session that what is written here is in, or ""."""
        return self._link.session

    @session.setter
    def session(self, name: str) -> None:
        self._link.session = name

    @overload
    def log(
        self,
        action: str,
        entity: str,
        details: object = None,
        *,
        tags: Iterable[str] = (),
        kind: str = "log",
        ack: Literal["durable"] = "durable",
    ) -> Entry: ...

    @overload
    def log(
        self,
        action: str,
        entity: str,
        details: object = None,
        *,
        tags: Iterable[str] = (),
        kind: str = "log",
        ack: Literal["received"],
    ) -> Received: ...

    def log(
        self,
        action: str,
        entity: str,
        details: object = None,
        *,
        tags: Iterable[str] = (),
        kind: str = "log",
        ack: book_messages.AckLevel = "durable",
    ) -> Entry | Received:
        """Write one entry and return it as it stands in the book.

        Args:
            action: what was done (1 B to 1 KiB, as entity and kind; each tag up to 1 KiB).
            entity: to what.
            details: any value that MessagePack carries (up to 16 MiB).
            tags: up to 64.
            kind: ``log``, unless you define kinds of your own.
            ack: ``durable`` returns after the fsync; ``received`` once the writer has queued it.

        Raises:
            BadRequest, LimitExceeded: the entry cannot be kept; nothing was sent.
            DiskFull, BookCorrupt: refused; nothing was written.
            OutcomeUnknown: no answer in time; it may or may not have been written.
            ActorUnreachable: nobody to send it to; it was not written.
            BookClosed, UsedAfterFork: this connection cannot be used.
        """
        request = self._request([make_entry(action, entity, details, tags, kind)], ack)
        envelope = self._link.client.send("book.append", request).wait()
        if ack == "received":
            return Received(self.name, request.nonce, 1)
        return self._entry(request, _take_in(envelope), 0)

    @overload
    def log_many(
        self, entries: Iterable[NewLike], *, ack: Literal["durable"] = "durable"
    ) -> list[Entry]: ...

    @overload
    def log_many(self, entries: Iterable[NewLike], *, ack: Literal["received"]) -> Received: ...

    def log_many(
        self, entries: Iterable[NewLike], *, ack: book_messages.AckLevel = "durable"
    ) -> list[Entry] | Received:
        """Write up to 4096 entries together or not at all; return them as they stand in the book.

        Args:
            entries: each ``(action, entity)``, ``(action, entity, details)`` or a map with the
                arguments of :meth:`log`.
            ack: as in :meth:`log`.

        Raises:
            What :meth:`log` raises.
        """
        news = [coerce_entry(new) for new in entries]
        if not news and ack == "durable":
            return []
        book_messages.check_count(len(news))
        request = self._request(news, ack)
        envelope = self._link.client.send("book.append", request).wait()
        if ack == "received":
            return Received(self.name, request.nonce, len(news))
        appended = _take_in(envelope)
        return [self._entry(request, appended, index) for index in range(len(news))]

    def log_nowait(
        self,
        action: str,
        entity: str,
        details: object = None,
        *,
        tags: Iterable[str] = (),
        kind: str = "log",
    ) -> EntryFuture:
        """Send one entry and return at once; many in flight share one fsync, and one message.

        It leaves within a millisecond, and at once where anybody waits (``result``, ``flush``);
        later only while C code keeps the interpreter to itself.
        Up to 10 000 may be under way; the next one waits for the oldest. The order of sending is
        the order in the book, unless the writer is restarted meanwhile.

        Raises:
            BadRequest, LimitExceeded, BookClosed, UsedAfterFork: nothing was sent.
        """
        request = self._request([make_entry(action, entity, details, tags, kind)], "durable")
        reply = self._link.client.send("book.append", request, attended=False)
        return EntryFuture(reply, lambda envelope: self._entry(request, _take_in(envelope), 0))

    def start_session(self, name: str, purpose: str = "") -> Entry:
        """Begin a session, or go on with one; what is written here from now on is in it.

        Args:
            name: ``[a-z0-9._-]{1,64}``.
            purpose: what it is for (1 KiB).

        Raises:
            BadRequest, LimitExceeded: a name or purpose that does not fit.
            What :meth:`log` raises.
        """
        book_messages.check_name(name, "name")
        started = self._change(
            StartSession,
            "session.start",
            SessionStarted,
            session=name,
            name=name,
            purpose=purpose,
        )
        self.session = name
        return self._written(started.seq)

    def resume_session(self) -> str:
        """Go on in the session of this writer's last entry; return its name, "" for none."""
        with contextlib.suppress(errors.BookMissing):
            reader = self._open_reader()
            self.session = reader.query(lambda connection: last_session(connection, self.name))
        return self.session

    def _request(self, news: list[NewEntry], ack: book_messages.AckLevel) -> Append:
        if not self._link.membership.is_held:
            self._link.membership.require()
        return Append(
            self.name,
            next(self._link.nonces),
            news,
            ack,
            self._link.session,
            self._on_branch,
            process_clock.to_send(time.time_ns()) if process_clock.last else 0,
        )

    def _entry(self, request: Append, appended: Appended, index: int) -> Entry:
        """Join what we sent with what the writer added, of one entry of a request."""
        new, ack = request.entries[index], appended.entries[index]
        if index in appended.redacted:  # what was written is not what we sent
            return self._written(ack.seq)
        return Entry(
            ack.seq,
            ack.time_ns,
            ack.bound_ns,
            ack.hlc,
            request.branch,
            request.writer,
            request.session,
            nonce_after(request.nonce, index),
            new.kind,
            new.action,
            new.entity,
            new.tags,
            ack.salt,
            bytes(new.details),
            None,
            ack.parent_hash,
            ack.hash,
        )

    def _written(self, seq: int) -> Entry:
        """Return an entry that journal_writer has just acknowledged."""
        entry = self._open_reader().entry(seq)
        assert entry is not None
        return entry


def _take_in(envelope: wire.Envelope) -> Appended:
    """Return the answer to an append; what happens here from now on is after it."""
    appended = _decode_appended(envelope.body)
    last = appended.entries[-1]
    process_clock.observe(last.hlc, last.time_ns)
    return appended
