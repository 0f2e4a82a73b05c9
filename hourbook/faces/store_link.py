"""How a store asks journal_writer: for its writes, and for what was counted of it."""

import contextlib
from typing import Final

import msgspec

from hourbook.faces.book_link import BookLink
from hourbook.faces.lock_keeper import LockKeeper
from hourbook.faces.read_report import ReadReporter
from protocols import errors
from protocols.kv_figures import FIGURES_KIND, AskFigures, StoreFigures

__all__ = ["StoreLink"]

_FIGURES_S: Final = 1.0
_decode_figures = msgspec.msgpack.Decoder(StoreFigures).decode


class StoreLink:
    """One store's way to journal_writer: the connection of its book, which all its threads share.

    Attributes:
        client: of journal_writer.
        change: sends a change, as ``BookLink.change`` does.
        keeper: renews the locks that are held.
        reads: is told what is read.
    """

    def __init__(self, link: BookLink, keeper: LockKeeper, reads: ReadReporter) -> None:
        """Made by a Book."""
        self._membership = link.membership
        self.client: Final = link.client
        self.change: Final = link.change
        self.keeper: Final = keeper
        self.reads: Final = reads

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
