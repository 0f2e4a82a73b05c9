"""A pipelined client of one mailbox: many requests in flight over one socket (``traffic``).

The thread that waits for an answer does the receiving, for itself and for all others
(``leadership``). Requests that nobody waits for are seen to by a thread that is begun at the first
of them (``attendant``).
"""

import itertools
import select
import threading
import time
from functools import partial
from typing import Final

import msgspec

from hourbook.forks import own_pid
from hourbook.home import Home
from hourbook.link.attendant import Attendant
from hourbook.link.leadership import Leadership
from hourbook.link.patience import Patience
from hourbook.link.reply import Reply
from hourbook.link.room import IN_FLIGHT_MAX, LARGE_BYTES, find_surplus
from hourbook.link.traffic import Traffic, closed_error
from protocols import errors, wire

__all__ = ["TIMEOUT_S", "MailboxClient"]

TIMEOUT_S: Final = 5.0
_S_NS: Final = 1_000_000_000


def _plain(value: object) -> object:
    """Return text or a number of a class of its own, as numpy's are, as what it is."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise NotImplementedError(type(value))


_encode_body = msgspec.msgpack.Encoder(enc_hook=_plain).encode


class MailboxClient:
    """Requests to the mailbox of one actor. Threads may share it; a forked child may not.

    Attributes:
        state_lock: what replies are settled under.
    """

    def __init__(self, home: Home, actor: str, src: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Connect; that succeeds whether or not the actor runs.

        Args:
            home: whose actor.
            actor: name of its mailbox.
            src: our name in its log.
            timeout_s: until a request without an answer is given up (seconds, > 0).
        """
        self._src, self._timeout_ns = src, int(timeout_s * _S_NS)
        self._pid = own_pid()
        self._ids = itertools.count(1)
        self.state_lock = threading.Lock()
        self._leadership = Leadership(self.state_lock)
        self._traffic = Traffic(home, actor, self._timeout_ns, self._leadership)
        self._attendant = Attendant(f"hourbook-{actor}", self._traffic, self._leadership)
        self._patience = Patience()
        poll = self._traffic.new_poll()
        poll.register(self._leadership.bell.descriptor, select.POLLIN)
        self._await_input = partial(self._patience.await_input, poll)
        self._has_rung = (self._leadership.bell.descriptor, select.POLLIN)

    def send(
        self, kind: str, body: object, *, attended: bool = True, extra_s: float = 0.0
    ) -> Reply:
        """Send a request and return its reply to be.

        Args:
            kind: of the message.
            body: a Struct or a dict.
            attended: somebody will call ``wait`` soon; otherwise a thread of our own sees to it.
            extra_s: how much longer than usual the answer may take (seconds).

        Raises:
            UsedAfterFork, BookClosed, LimitExceeded: nothing was sent.
        """
        if self._pid != own_pid() or self._traffic.is_closed:
            raise self._refusal()
        request = wire.Envelope(
            kind=kind, id=next(self._ids), src=self._src, body=msgspec.Raw(_encode_body(body))
        )
        frame = wire.encode(request)
        size, limit = len(frame), wire.FRAME_BYTES_MAX_WIRE
        if size > limit:  # its mailbox would end the connection without a word
            message = f"Expected a message of at most {limit} bytes, got {size}"
            raise errors.FrameTooLarge(message, field="frame", value=str(size))
        flying = self._traffic.flying
        if size > LARGE_BYTES or len(flying) >= IN_FLIGHT_MAX:
            for oldest in find_surplus(list(flying.values()), size):
                self.pump_until(oldest, None)
        now_ns = time.monotonic_ns()
        deadline_ns = now_ns + self._timeout_ns + int(extra_s * _S_NS)
        reply = Reply(self, request, frame, deadline_ns)
        self._traffic.begin(reply, now_ns, attended=attended)
        if not attended and self._attendant.is_idle:
            self._attendant.attend()
        return reply

    def prepare_unattended(self) -> None:
        """Begin the thread that sees to what nobody waits for, while a thread can begin.

        Raises:
            UsedAfterFork, BookClosed: none was begun.
        """
        self.check_usable()
        self._attendant.begin()

    def request(self, kind: str, body: object) -> wire.Envelope:
        """Send a request and wait for its ``ok`` reply; raises what :meth:`Reply.wait` raises."""
        return self.send(kind, body).wait()

    def post(self, kind: str, body: object) -> None:
        """Hand over what nobody answers, where somebody listens just now; else it is dropped."""
        raw = msgspec.Raw(_encode_body(body))
        frame = wire.encode(wire.Envelope(kind=kind, id=next(self._ids), src=self._src, body=raw))
        self._traffic.post(frame)

    def hasten(self) -> None:
        """Send what waits for company, or for a connection: somebody is about to wait for it."""
        if self._traffic.outbox.waiting and self.is_usable():
            self._traffic.hasten()

    def pump_until(self, reply: Reply, timeout_s: float | None) -> None:
        """Receive, or let another thread receive, until `reply` is settled or time is up."""
        if self._pid != own_pid() or self._traffic.is_closed:
            raise self._refusal()
        if self._traffic.outbox.waiting:
            self._traffic.hasten()
        until_ns = reply.deadline_ns
        if timeout_s is not None:
            until_ns = min(until_ns, time.monotonic_ns() + int(timeout_s * _S_NS))
        while not reply.is_settled:
            wake = self._lead_or_follow(reply, until_ns)
            if reply.is_settled:
                return
            if wake is not None:
                wake.wait(max(0, until_ns - time.monotonic_ns()) / _S_NS)
            if time.monotonic_ns() >= until_ns and not reply.is_settled:
                if until_ns < reply.deadline_ns:
                    return
                self._traffic.expire(reply)

    def _lead_or_follow(self, reply: Reply, until_ns: int) -> threading.Event | None:
        """Receive for all until `reply` is settled, `until_ns` has come, or the client closes.

        Where another thread does so already, return what is set when `reply` is settled or that
        thread ends.
        """
        leadership, claim = self._leadership, object()
        try:
            if (wake := leadership.take(reply, claim)) is not None:
                return wake
            now_ns = self._patience.began_ns = time.monotonic_ns()
            while not reply.is_settled:
                ready = self._traffic.pump(now_ns, until_ns, self._await_input, is_leader=True)
                if self._has_rung in ready:
                    leadership.bell.hush()
                if now_ns >= until_ns:  # only after a look: the answer may have lain there
                    break
                now_ns = time.monotonic_ns()
        finally:  # whoever is interrupted leads no longer, wherever that was
            if leadership.claim is claim:
                leadership.claim = None
                if leadership.followers:
                    leadership.rouse()
        return None

    def flush(self) -> None:
        """Wait until the outcome of everything sent so far is known."""
        for reply in list(self._traffic.flying.values()):
            if not reply.is_settled:
                self.pump_until(reply, None)

    def close(self) -> None:
        """Close at once; what is in flight ends with OutcomeUnknown."""
        if self._pid != own_pid():
            return
        if self._traffic.outbox.waiting:
            self._traffic.hasten()
        if self._traffic.stop():
            self._attendant.end()
            self._traffic.close()

    def is_usable(self) -> bool:
        """Return whether this is the process that connected, and it has not closed yet."""
        return self._pid == own_pid() and not self._traffic.is_closed

    def check_usable(self) -> None:
        """Raise UsedAfterFork or BookClosed unless requests can be sent."""
        if not self.is_usable():
            raise self._refusal()

    def _refusal(self) -> errors.CallerError:
        if self._pid == own_pid():
            return closed_error()
        return errors.UsedAfterFork(
            "Expected a connection of this process, got one inherited through fork",
            hint="connect again in the child",
        )
