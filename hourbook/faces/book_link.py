"""How a book and its stores ask journal_writer for changes: on one connection, under one name."""

import time
from collections.abc import Callable
from typing import Any, Final

from hourbook.faces.membership import Membership
from hourbook.hybrid_clock import process_clock
from hourbook.link.client import MailboxClient
from hourbook.link.nonce_source import NonceSource
from hourbook.link.reply import Reply
from protocols.change import CHANGE_NONCES, Change

__all__ = ["BookLink"]


class BookLink:
    """One connection, for all threads of its book.

    Attributes:
        client: of journal_writer.
        membership: holds the name.
        nonces: of what is asked.
    """

    def __init__(
        self,
        client: MailboxClient,
        membership: Membership,
        nonces: NonceSource,
        writer: str,
        session: Callable[[], str],
    ) -> None:
        """Made by a Book; `session` says in which session it writes just now."""
        self.client: Final = client
        self.membership: Final = membership
        self.nonces: Final = nonces
        self._writer, self._session = writer, session

    def change(
        self,
        kind: str,
        request: type[Change],
        *,
        attended: bool = True,
        extra_s: float = 0.0,
        session: str | None = None,
        **fields: Any,  # noqa: ANN401 - of the change
    ) -> Reply:
        """Send a change and return its reply to be.

        Args:
            kind: of the message.
            request: what it is.
            attended: as in ``MailboxClient.send``.
            extra_s: as there (seconds).
            session: in which it is asked; None: the one in which the book writes just now.
            fields: of this kind of change.

        Raises:
            UsedAfterFork, BookClosed, LimitExceeded, NameTaken: nothing was sent.
        """
        self.membership.require()
        change = request(
            writer=self._writer,
            nonce=self.nonces.take(CHANGE_NONCES),
            session=self._session() if session is None else session,
            hlc=process_clock.to_send(time.time_ns()),
            **fields,
        )
        return self.client.send(kind, change, attended=attended, extra_s=extra_s)
