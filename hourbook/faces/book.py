"""The book as an agent sees it: write a line, read the last ones, follow what others write.

Writing asks journal_writer (``book_writes``, ``book_keeping``); reading asks nobody
(``book_views``). Here is the connection that they share, and its stores. One `Book` serves all
threads of a process; a forked child must connect again.
"""

import os
from typing import TYPE_CHECKING, Final, Self

from hourbook.book.branches import MAIN
from hourbook.faces.book_link import BookLink
from hourbook.faces.book_views import BookViews
from hourbook.faces.book_writes import BookWrites
from hourbook.faces.lock_keeper import LockKeeper
from hourbook.faces.membership import Membership
from hourbook.faces.read_report import ReadReporter
from hourbook.home import Home, find_home
from hourbook.link.client import TIMEOUT_S, MailboxClient
from hourbook.link.nonce_source import new_nonces
from protocols import book_messages, errors
from protocols.change import JOURNAL_WRITER
from protocols.kv_keys import check_namespace

if TYPE_CHECKING:
    from hourbook.book.store.files import StoreFiles
    from hourbook.faces.store import Store

__all__ = ["TIMEOUT_S_MAX", "Book", "connect"]

TIMEOUT_S_MAX: Final = 86_400
"""A day: who waits for longer has been forgotten."""


class Book(BookWrites, BookViews):
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
        self._on_branch = self._branch_number(branch) if branch else MAIN
        self._client = MailboxClient(home, JOURNAL_WRITER, name, timeout_s=timeout_s)
        self._reads, nonces = ReadReporter(), new_nonces()
        self._membership = Membership(self._client, home, name, nonces, self._reads, shared=shared)
        self._link = BookLink(self._client, self._membership, nonces, name, session)
        self._stores: dict[str, Store] = {}
        self._store_files: StoreFiles | None = None
        self._lock_keeper = LockKeeper()

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


def _check_timeout(timeout_s: object) -> None:
    is_fit = (
        isinstance(timeout_s, int | float)
        and not isinstance(timeout_s, bool)
        and 0 < timeout_s <= TIMEOUT_S_MAX
    )
    if not is_fit:
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
