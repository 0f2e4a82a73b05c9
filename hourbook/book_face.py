"""The book as an agent sees it: write a line, read the last ones, follow what others write.

Writing asks journal_writer; reading asks nobody. One `Book` serves all threads of a process; a
forked child must connect again.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Self, overload

import msgspec

from hourbook.book.reader import BookReader
from hourbook.book.verify import Progress, Verdict
from hourbook.client import TIMEOUT_S, MailboxClient
from hourbook.feed import Follower
from hourbook.home import Home, find_home
from hourbook.hybrid_clock import process_clock
from hourbook.reply import Reply
from protocols import book_messages, entry, errors, wire
from protocols.book_messages import Append, Appended, NewEntry
from protocols.entry import Commit, Entry

__all__ = ["Book", "EntryFuture", "Received", "connect"]

_decode_appended = msgspec.msgpack.Decoder(Appended).decode
JOURNAL_WRITER: Final = "journal_writer"
_RANDOM_BITS: Final = 20
_U64: Final = (1 << 64) - 1

NewLike = NewEntry | tuple[str, str] | tuple[str, str, Any] | Mapping[str, Any]
"""One entry of a batch: (action, entity[, details]), or a map of log's arguments."""


class Received(msgspec.Struct, frozen=True):
    """Entries that journal_writer has queued: not durable yet, and without a seq.

    Attributes:
        writer: who wrote them.
        nonce: of the first one; it will be in the book under this name.
        count: how many.
    """

    writer: str
    nonce: bytes
    count: int


class EntryFuture:
    """An entry on its way; see :meth:`Book.log_nowait`."""

    __slots__ = ("_finish", "_reply")

    def __init__(self, reply: Reply, finish: Callable[[wire.Envelope], Entry]) -> None:
        """Made by a Book."""
        self._reply = reply
        self._finish = finish

    def done(self) -> bool:
        """Return whether the outcome is known."""
        return self._reply.done()

    def result(self, timeout_s: float | None = None) -> Entry:
        """Return the entry once it is durable.

        Raises:
            WaitTimeout: not known after `timeout_s` (seconds).
            HourbookError: refused, or OutcomeUnknown.
        """
        return self._finish(self._reply.wait(timeout_s))

    def exception(self, timeout_s: float | None = None) -> errors.HourbookError | None:
        """Return why it failed, None when it did not; waits as :meth:`result` does."""
        try:
            self._reply.wait(timeout_s)
        except errors.WaitTimeout:
            raise
        except errors.HourbookError as error:
            return error
        return None

    def add_done_callback(self, callback: Callable[["EntryFuture"], None]) -> None:
        """Call back once the outcome is known, from the thread that learns it."""
        self._reply.add_done_callback(lambda _: callback(self))


class Book:
    """A connection to the book under one instance name; a context manager."""

    def __init__(
        self, name: str, home: Home, *, session: str = "", timeout_s: float = TIMEOUT_S
    ) -> None:
        """Use :func:`connect`."""
        book_messages.check_name(name, "name")
        if session:
            book_messages.check_name(session, "session")
        self.name = name
        self.session = session
        self.home = home
        self._client = MailboxClient(home, JOURNAL_WRITER, name, timeout_s=timeout_s)
        # Rises from one connection to the next, so that a new one's nonces are above the old ones',
        # and differs between two that begin in the same millisecond.
        millisecond = time.time_ns() >> _RANDOM_BITS
        random = int.from_bytes(os.urandom(4), "big") >> (32 - _RANDOM_BITS)
        self._incarnation = (millisecond << _RANDOM_BITS | random) & _U64
        self._counter = 1
        self._counter_lock = threading.Lock()
        self._reader: BookReader | None = None
        self._reader_lock = threading.Lock()
        self._followers: list[Follower] = []

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
        request = self._request((_new_entry(action, entity, details, tags, kind),), ack)
        envelope = self._client.send("book.append", request).wait()
        if ack == "received":
            return Received(self.name, request.nonce, 1)
        return self._entries(request, envelope)[0]

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
        news = [_coerce(new) for new in entries]
        if not news and ack == "durable":
            return []
        request = self._request(news, ack)
        envelope = self._client.send("book.append", request).wait()
        if ack == "received":
            return Received(self.name, request.nonce, len(news))
        return self._entries(request, envelope)

    def log_nowait(
        self,
        action: str,
        entity: str,
        details: object = None,
        *,
        tags: Iterable[str] = (),
        kind: str = "log",
    ) -> EntryFuture:
        """Send one entry and return at once; many in flight share one fsync.

        Up to 10 000 may be under way; the next one waits for the oldest. The order of sending is
        the order in the book, unless the writer is restarted meanwhile.

        Raises:
            BadRequest, LimitExceeded, BookClosed, UsedAfterFork: nothing was sent.
        """
        request = self._request((_new_entry(action, entity, details, tags, kind),), "durable")
        reply = self._client.send("book.append", request, attended=False)
        return EntryFuture(reply, lambda envelope: self._entries(request, envelope)[0])

    # -- reading ---------------------------------------------------------------------------------

    def tail(self, count: int = 10) -> list[Entry]:
        """Return the last `count` entries (>= 0), oldest first."""
        return self._open_reader().tail(count)

    def head(self) -> Commit | None:
        """Return the last signed commit; None while the book is empty."""
        return self._open_reader().head()

    def follow(self, since: int | None = None) -> Follower:
        """Return an endless iterator over new entries: woken by the writer, polling nothing.

        Args:
            since: the last seq already seen (0: from the beginning); None: from now on.
        """
        follower = Follower(self.home, since)
        self._followers.append(follower)
        return follower

    def verify(
        self,
        *,
        from_commit: int = 1,
        all_signatures: bool = False,
        progress: Progress | None = None,
    ) -> Verdict:
        """Check every hash, link and range, and the signatures (``hourbook.book.verify``)."""
        return self._open_reader().verify(
            from_commit=from_commit, all_signatures=all_signatures, progress=progress
        )

    # -- life ------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Wait until the outcome of everything sent is known."""
        self._client.flush()

    def close(self) -> None:
        """Wait for what is under way (5 s at most), then close. Again: no effect."""
        if not self._client.is_usable():
            return
        self._client.flush()
        self._client.close()
        for follower in self._followers:
            follower.close()
        with self._reader_lock:
            if self._reader is not None:
                self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- parts -----------------------------------------------------------------------------------

    def _request(self, news: Sequence[NewEntry], ack: book_messages.AckLevel) -> Append:
        with self._counter_lock:
            first = self._counter
            self._counter = first + len(news)
        request = Append(
            writer=self.name,
            nonce=entry.make_nonce(self._incarnation, first),
            entries=news if isinstance(news, list) else list(news),
            ack=ack,
            session=self.session,
            hlc=process_clock.to_send(time.time_ns()),
        )
        if len(news) != 1:
            book_messages.check_append(request)
        return request

    def _entries(self, request: Append, envelope: wire.Envelope) -> list[Entry]:
        """Join what we sent with what the writer added."""
        acks = _decode_appended(envelope.body).entries
        process_clock.observe(acks[-1].hlc, acks[-1].time_ns)
        first = int.from_bytes(request.nonce, "big")
        return [
            Entry(
                ack.seq,
                ack.time_ns,
                ack.bound_ns,
                ack.hlc,
                request.branch,
                request.writer,
                request.session,
                (first + index).to_bytes(entry.NONCE_SIZE, "big"),
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
            for index, (new, ack) in enumerate(zip(request.entries, acks, strict=True))
        ]

    def _open_reader(self) -> BookReader:
        self._client.check_usable()
        with self._reader_lock:
            if self._reader is None:
                self._reader = BookReader(self.home)
            return self._reader


def connect(
    name: str,
    home: str | os.PathLike[str] | Home | None = None,
    *,
    session: str = "",
    timeout_s: float = TIMEOUT_S,
) -> Book:
    """Connect to the book under an instance name.

    Args:
        name: ``[a-z0-9._-]{1,64}``; it stands in every entry written here.
        home: a directory, or None for the usual one ($HOURBOOK_HOME).
        session: name of the session that stands in every entry, of the same form; "" is none.
        timeout_s: until a write without an answer ends with OutcomeUnknown (seconds, > 0).

    Raises:
        BadRequest: a name that does not fit.
    """
    return Book(
        name,
        home if isinstance(home, Home) else find_home(home),
        session=session,
        timeout_s=timeout_s,
    )


def _new_entry(
    action: str, entity: str, details: object, tags: Iterable[str], kind: str
) -> NewEntry:
    raw = entry.DETAILS_NONE if details is None else entry.encode_value(details, "details")
    if isinstance(tags, str):
        raise errors.BadRequest("Expected `tags` to be a list of texts, got a text", field="tags")
    new = NewEntry(action, entity, msgspec.Raw(raw), tuple(tags), kind)
    book_messages.check_entry(new)
    return new


def _coerce(new: NewLike) -> NewEntry:
    if isinstance(new, NewEntry):
        return new
    if isinstance(new, Mapping):
        known = {"action", "entity", "details", "tags", "kind"}
        if not {"action", "entity"} <= new.keys() <= known:
            raise errors.BadRequest(
                f"Expected action, entity and perhaps details, tags, kind, got {sorted(new)}",
                field="entries",
            )
        return _new_entry(
            new["action"],
            new["entity"],
            new.get("details"),
            new.get("tags", ()),
            new.get("kind", "log"),
        )
    if len(new) in (2, 3):
        return _new_entry(new[0], new[1], new[2] if len(new) > 2 else None, (), "log")  # noqa: PLR2004
    raise errors.BadRequest(
        f"Expected (action, entity[, details]), got {len(new)} values", field="entries"
    )
