"""What a write hands out before it is durable: a future, or a receipt."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from hourbook.link.reply import Reply
from protocols import errors, wire
from protocols.entry import Entry

__all__ = ["EntryFuture", "Received", "WriteFuture"]

_T = TypeVar("_T")


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


class WriteFuture(msgspec.Struct, Generic[_T], eq=False):
    """The outcome of a write on its way; made by a Book."""

    _reply: Reply
    _finish: Callable[[wire.Envelope], _T]

    def __repr__(self) -> str:
        return object.__repr__(self)

    def done(self) -> bool:
        """Return whether the outcome is known."""
        return self._reply.is_settled

    def result(self, timeout_s: float | None = None) -> _T:
        """Return what the write came to, once it is durable.

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

    def hasten(self) -> None:
        """Let it leave now, as :meth:`result` does: somebody waits who will be called back."""
        self._reply.hasten()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call back with this future once the outcome is known, from the thread that learns it.

        It must not be held up there: it sends and receives for others, too.
        """
        self._reply.add_done_callback(lambda _: callback(self))


class EntryFuture(WriteFuture[Entry], eq=False):
    """An entry on its way; see ``Book.log_nowait``."""
