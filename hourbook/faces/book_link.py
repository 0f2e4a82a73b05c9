"""How a book and its stores ask journal_writer for changes: on one connection, under one name."""

import time
from collections.abc import Iterator
from typing import Any, Final

from hourbook.faces.membership import Membership
from hourbook.hybrid_clock import process_clock
from hourbook.link.client import MailboxClient
from hourbook.link.reply import Reply
from protocols.change import Change

__all__ = ["BookLink"]


class BookLink:
    """One connection, for all threads of its book.

    Attributes:
        client: of journal_writer.
        membership: holds the name.
        nonces: of what is asked.
        session: name of the one in which the book writes just now, or "".
    """

    def __init__(
        self,
        client: MailboxClient,
        membership: Membership,
        nonces: Iterator[bytes],
        writer: str,
        session: str,
    ) -> None:
        """Made by a Book."""
        self.client: Final = client
        self.membership: Final = membership
        self.nonces: Final = nonces
        self.session = session
        self._writer: Final = writer

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
        if not self.membership.is_held:
            self.membership.require()
        change = request(
            writer=self._writer,
            nonce=next(self.nonces),
            session=self.session if session is None else session,
            hlc=process_clock.to_send(time.time_ns()) if process_clock.last else 0,
            **fields,
        )
        return self.client.send(kind, change, attended=attended, extra_s=extra_s)
