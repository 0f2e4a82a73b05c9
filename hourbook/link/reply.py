"""The answer to one request, now or later: what a pipelined client hands out."""

import threading
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from protocols import errors, wire

__all__ = ["NEVER_NS", "Pump", "Reply"]

NEVER_NS: Final = 1 << 63


class Pump(Protocol):
    """What a reply needs of its client."""

    state_lock: threading.Lock

    def hasten(self) -> None:
        """Send what waits for company."""

    def pump_until(self, reply: "Reply", timeout_s: float | None) -> None:
        """Receive until `reply` is settled or time is up."""


class Reply(msgspec.Struct, eq=False):
    """The answer to one request, now or later. Threads may share it.

    Attributes:
        request: what was asked.
        frame: as it is sent.
        deadline_ns: CLOCK_MONOTONIC when it is given up.
        is_settled: whether the outcome is known.
        envelope: the ``ok`` reply, once it is there.
        error: why there is none, once that is known.
        was_sent: whether a connection has taken it.
        attempt: which one was sent last, or is to be sent.
        resend_ns: CLOCK_MONOTONIC when it is to be sent again; NEVER_NS while it waits to be sent.
        wake: set when it is settled, for the thread that waits for that.
    """

    _client: Pump
    request: wire.Envelope
    frame: bytes
    deadline_ns: int
    is_settled: bool = False
    envelope: wire.Envelope | None = None
    error: errors.HourbookError | None = None
    was_sent: bool = False
    attempt: int = 1
    resend_ns: int = NEVER_NS
    wake: threading.Event | None = None
    _callbacks: list[Callable[["Reply"], None]] | None = None

    def is_due(self, now_ns: int) -> bool:
        """Return whether it is to be sent again. For the client alone."""
        return self.resend_ns <= now_ns < self.deadline_ns and not self.is_settled

    def wait(self, timeout_s: float | None = None) -> wire.Envelope:
        """Return the ``ok`` reply.

        Args:
            timeout_s: how long to wait here (seconds); None until the request's own time-out.

        Raises:
            WaitTimeout: not yet known after `timeout_s`.
            HourbookError: the actor refused, or OutcomeUnknown.
        """
        if not self.is_settled:
            self._client.pump_until(self, timeout_s)
        if self.error is not None:
            raise self.error
        if self.envelope is None:
            raise errors.WaitTimeout(f"Expected an answer within {timeout_s} s, got none yet")
        return self.envelope

    def hasten(self) -> None:
        """Let the request leave now, as :meth:`wait` does: somebody waits who will be called."""
        self._client.hasten()

    def add_done_callback(self, callback: Callable[["Reply"], None]) -> None:
        """Call back with this reply once its outcome is known, from the thread that learns it.

        It must not be held up there: it sends and receives for others, too.
        """
        with self._client.state_lock:
            if not self.is_settled:
                self._callbacks = [*(self._callbacks or ()), callback]
                return
        callback(self)

    def give_up(self, why: str, path: str) -> None:
        """Settle without an answer from the mailbox at `path`. For the client alone."""
        message = f"Expected an answer to {self.request.kind}, got none: {why}, at {path}"
        if self.was_sent:
            hint = "it may or may not have happened; see `supervisor status`"
            self.settle(None, errors.OutcomeUnknown(message, field=path, hint=hint))
        else:
            hint = "nothing was sent; run `supervisor status`, or `supervisor start`"
            self.settle(None, errors.ActorUnreachable(message, field=path, hint=hint))

    def settle(self, envelope: wire.Envelope | None, error: errors.HourbookError | None) -> None:
        """Make the outcome known, unless it is already. For the client alone."""
        with self._client.state_lock:
            if self.is_settled:
                return
            self.envelope, self.error = envelope, error
            self.is_settled = True
            callbacks, self._callbacks = self._callbacks, None
            if self.wake is not None:
                self.wake.set()
        for callback in callbacks or ():
            callback(self)
