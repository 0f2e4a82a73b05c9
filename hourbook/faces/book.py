"""The book as an agent sees it: write a line, read the last ones, follow what others write.

Writing asks journal_writer; reading asks nobody. One `Book` serves all threads of a process; a
forked child must connect again.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Literal, Self, overload

import msgspec

from hourbook.book.branches import MAIN
from hourbook.book.digest import last_session
from hourbook.book.nonces import nonce_after
from hourbook.faces.book_keeping import BookKeeping
from hourbook.faces.book_link import BookLink
from hourbook.faces.book_views import BookViews
from hourbook.faces.entry_future import EntryFuture, Received
from hourbook.faces.lock_keeper import LockKeeper
from hourbook.faces.membership import Membership
from hourbook.faces.new_entry import NewLike, coerce_entry, make_entry
from hourbook.faces.read_report import ReadReporter
from hourbook.home import Home, find_home
from hourbook.hybrid_clock import process_clock
from hourbook.link.client import TIMEOUT_S, MailboxClient
from hourbook.link.nonce_source import NonceSource
from protocols import book_messages, errors, wire
from protocols.book_messages import Append, Appended, NewEntry
from protocols.change import JOURNAL_WRITER
from protocols.entry import Entry
from protocols.kv_keys import check_namespace
from protocols.session_messages import SessionStarted, StartSession

if TYPE_CHECKING:
    from hourbook.book.store.files import StoreFiles
    from hourbook.faces.store import Store

__all__ = ["TIMEOUT_S_MAX", "Book", "EntryFuture", "Received", "connect"]

TIMEOUT_S_MAX: Final = 86_400
"""A day: who waits for longer has been forgotten."""

_decode_appended = msgspec.msgpack.Decoder(Appended).decode


class Book(BookKeeping, BookViews):
    """A connection to the book under one instance name; a context manager."""

    def __init__(
        self,
        name: str,
        home: Home,
        *,
        session: str = "",
        branch: str = "",
        shared: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Use :func:`connect`."""
        super().__init__(home, branch)
        book_messages.check_name(name, "name")
        if session:
            book_messages.check_name(session, "session")
        _check_timeout(timeout_s)
        self.name = name
        self.session = session
        self._on_branch = self._branch_number(branch) if branch else MAIN
        self._client = MailboxClient(home, JOURNAL_WRITER, name, timeout_s=timeout_s)
        self._nonces, self._reads = NonceSource(), ReadReporter()
        self._membership = Membership(
            self._client, home, name, self._nonces, self._reads, shared=shared
        )
        self._link = BookLink(
            self._client, self._membership, self._nonces, name, lambda: self.session
        )
        self._stores: dict[str, Store] = {}
        self._store_files: StoreFiles | None = None
        self._lock_keeper = LockKeeper()

    # -- writing ---------------------------------------------------------------------------------

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
        envelope = self._client.send("book.append", request).wait()
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
        envelope = self._client.send("book.append", request).wait()
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
        reply = self._client.send("book.append", request, attended=False)
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
        written = self._open_reader().entry(started.seq)
        assert written is not None
        return written

    def resume_session(self) -> str:
        """Go on in the session of this writer's last entry; return its name, "" for none."""
        with contextlib.suppress(errors.BookMissing):
            reader = self._open_reader()
            self.session = reader.query(lambda connection: last_session(connection, self.name))
        return self.session

    def store(self, namespace: str) -> "Store":
        """Return one namespace of the store that all processes share (``hourbook.faces.store``).

        Each time the same object, with one cache; its names are its own, whatever others hold.

        Args:
            namespace: ``[a-z0-9._-]{1,64}``; it is made by using it.

        Raises:
            BadRequest: a namespace that does not fit.
            BookClosed: this connection is closed.
        """
        check_namespace(namespace)
        if namespace in self._stores:
            return self._stores[namespace]
        from hourbook.book.store.files import StoreFiles  # noqa: PLC0415 - many only log
        from hourbook.faces.store import Store  # noqa: PLC0415 - the same
        from hourbook.faces.store_link import StoreLink  # noqa: PLC0415 - the same

        with self._reader_lock:
            if self._store_files is None:
                self._store_files = StoreFiles(self.home)
        self._store_files.check_open()
        link = StoreLink(self._link, self._lock_keeper, self._reads)
        made = Store(namespace, self._store_files, link, self._on_branch)
        return self._stores.setdefault(namespace, made)

    # -- life ------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Wait until the outcome of everything sent is known."""
        self._client.flush()

    def close(self) -> None:
        """Wait for what is under way (5 s at most), then close. Again: no effect."""
        if not self._client.is_usable():
            return
        self._lock_keeper.close()
        self._client.flush()
        self._close_views()
        for store in list(self._stores.values()):
            store.forget()
            store.end_watches()
        if self._store_files is not None:
            self._store_files.close()
        self._membership.leave()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- parts -----------------------------------------------------------------------------------

    def _request(self, news: list[NewEntry], ack: book_messages.AckLevel) -> Append:
        self._membership.require()
        return Append(
            self.name,
            self._nonces.take(len(news)),
            news,
            ack,
            self.session,
            self._on_branch,
            process_clock.to_send(time.time_ns()),
        )

    def _entry(self, request: Append, appended: Appended, index: int) -> Entry:
        """Join what we sent with what the writer added, of one entry of a request."""
        new, ack = request.entries[index], appended.entries[index]
        if index in appended.redacted:  # what was written is not what we sent
            written = self._open_reader().entry(ack.seq)
            assert written is not None
            return written
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

    def _check_usable(self) -> None:
        self._client.check_usable()


def _take_in(envelope: wire.Envelope) -> Appended:
    """Return the answer to an append; what happens here from now on is after it."""
    appended = _decode_appended(envelope.body)
    last = appended.entries[-1]
    process_clock.observe(last.hlc, last.time_ns)
    return appended


def _check_timeout(timeout_s: float) -> None:
    is_number = type(timeout_s) in (int, float)
    if not is_number or not 0 < timeout_s <= TIMEOUT_S_MAX:
        raise errors.BadRequest(
            f"Expected `timeout_s` above 0, up to {TIMEOUT_S_MAX}, got {timeout_s!r}",
            field="timeout_s",
        )


def connect(
    name: str,
    home: str | os.PathLike[str] | Home | None = None,
    *,
    session: str = "",
    branch: str = "",
    shared: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Book:
    """Connect to the book under an instance name, which is ours until we close or end.

    Where journal_writer is down the book can be read all the same; the first write registers.

    Args:
        name: ``[a-z0-9._-]{1,64}``; it stands in every entry written here.
        home: a directory, or None for the usual one ($HOURBOOK_HOME).
        session: name of the session that stands in every entry, of the same form; "" is none.
        branch: name of the branch that is written on and read; "" is main.
        shared: the name is used by others too: it is neither held nor listed as an instance.
        timeout_s: until a write without an answer ends with OutcomeUnknown (seconds, > 0; a day
            at most).

    Raises:
        BadRequest: a name that does not fit, or no such time.
        NameTaken: another living process holds it; the message says which.
        UnknownName, BookMissing: there is no such branch.
    """
    book = Book(
        name,
        home if isinstance(home, Home) else find_home(home),
        session=session,
        branch=branch,
        shared=shared,
        timeout_s=timeout_s,
    )
    try:
        book._membership.join()  # noqa: SLF001 - ours
    except BaseException:
        book._client.close()  # noqa: SLF001 - ours
        raise
    return book
