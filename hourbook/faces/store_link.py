"""How a store asks journal_writer: the connection of its book, one request for each write."""

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from hourbook.faces.lock_keeper import LockKeeper
from hourbook.faces.membership import Membership
from hourbook.faces.read_report import ReadReporter
from hourbook.hybrid_clock import process_clock
from hourbook.link.client import MailboxClient
from hourbook.link.nonce_source import NonceSource
from hourbook.link.reply import Reply
from protocols import errors, wire
from protocols.change import CHANGE_NONCES, Change
from protocols.kv_figures import FIGURES_KIND, AskFigures, StoreFigures
from protocols.kv_messages import KvWrite, KvWritten, Op

__all__ = ["KV_WRITE", "StoreLink", "written"]

KV_WRITE: Final = "kv.write"
_FIGURES_S: Final = 1.0
_decode_figures = msgspec.msgpack.Decoder(StoreFigures).decode
_decode_written = msgspec.msgpack.Decoder(KvWritten).decode


class StoreLink:
    """One connection, for all stores of a book and all threads.

    Attributes:
        client: of journal_writer.
        writer: the instance's name.
        keeper: renews the locks that are held.
        reads: is told what is read.
    """

    def __init__(
        self,
        client: MailboxClient,
        nonces: NonceSource,
        membership: Membership,
        writer: str,
        session: Callable[[], str],
        keeper: LockKeeper,
        reads: ReadReporter,
    ) -> None:
        """Use ``Book.store``; `session` says in which session the book writes just now."""
        self.client: Final = client
        self.writer: Final = writer
        self.keeper: Final = keeper
        self.reads: Final = reads
        self._nonces, self._membership, self._session = nonces, membership, session

    def change(
        self,
        kind: str,
        request: type[Change],
        *,
        attended: bool = True,
        extra_s: float = 0.0,
        **fields: Any,  # noqa: ANN401 - of the change
    ) -> Reply:
        """Send a change and return its reply to be, `extra_s` later than usual at most.

        Raises:
            UsedAfterFork, BookClosed, LimitExceeded, NameTaken: nothing was sent.
        """
        self._membership.require()
        change = request(
            writer=self.writer,
            nonce=self._nonces.take(CHANGE_NONCES),
            session=self._session(),
            hlc=process_clock.to_send(time.time_ns()),
            **fields,
        )
        return self.client.send(kind, change, attended=attended, extra_s=extra_s)

    def figures(self, ns: str) -> StoreFigures | None:
        """Return what journal_writer has counted of a namespace; None: it does not answer."""
        with contextlib.suppress(errors.HourbookError):
            if self._membership.is_listening():
                reply = self.client.send(FIGURES_KIND, AskFigures(ns))
                return _decode_figures(reply.wait(_FIGURES_S).body)
        return None

    def tell(self, kind: str, body: object) -> None:
        """Say what nobody answers; where it cannot be said, nothing is lost."""
        with contextlib.suppress(errors.HourbookError):
            if self.client.is_usable():
                self.client.post(kind, body)

    def write(self, ns: str, ops: list[Op], branch: int, *, attended: bool = True) -> Reply:
        """Send steps that are done together or not at all."""
        self._membership.require()
        change = KvWrite(
            writer=self.writer,
            nonce=self._nonces.take(CHANGE_NONCES),
            session=self._session(),
            hlc=process_clock.to_send(time.time_ns()),
            ns=ns,
            ops=ops,
            branch=branch,
        )
        return self.client.send(KV_WRITE, change, attended=attended)


def written(envelope: wire.Envelope) -> KvWritten:
    """Return the answer to a write."""
    return _decode_written(envelope.body)
