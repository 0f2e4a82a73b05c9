"""The requests of a client that have no answer yet: sent, sent again, answered or given up.

A request is sent again with the same id as soon as its actor was restarted, and every 250 ms until
its time-out all the same, unless it is large: copies would fill the memory of an actor that is
behind already. The actor recognises what it has already done by the nonce in the body. No answer in
time means OutcomeUnknown, never a false "failed"; ActorUnreachable says for certain that nothing
was sent, which is known because only living connections are given messages.

The connection is only touched under the lock. Waiting happens outside it, on its descriptor, and so
does settling replies, since that calls back.
"""

import select
import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from hourbook.home import Home
from hourbook.link.connection import Connection
from hourbook.link.leadership import Leadership
from hourbook.link.outbox import Outbox
from hourbook.link.reply import NEVER_NS, Reply
from protocols import errors, wire

__all__ = ["Traffic", "closed_error"]

_S_NS: Final = 1_000_000_000
RECONNECT_NS: Final = 5_000_000
"""Between two attempts to connect: soon enough that nobody notices that an actor was restarted."""

_Ready: TypeAlias = list[tuple[int, int]]
"""Descriptors and their events, as ``poll`` returns them."""
_Frames: TypeAlias = list[tuple[bytes, int]]
"""As ``Connection.receive`` returns them."""


class Traffic:
    """What is in flight between one client and its mailbox; for all threads of the client.

    Attributes:
        flying: requests without an answer, by id, the oldest first.
        outbox: those that wait to be sent.
        is_closed: nothing is sent any more.
    """

    def __init__(self, home: Home, actor: str, timeout_ns: int, leadership: Leadership) -> None:
        """Begin to connect.

        Args:
            home: whose actor.
            actor: name of its mailbox.
            timeout_ns: of a request, as its error tells it (nanoseconds).
            leadership: whose leader is woken when another thread has settled replies.
        """
        self._path, self._actor, self._timeout_ns = home.mailbox(actor), actor, timeout_ns
        self._leadership = leadership
        self._lock = threading.Lock()
        self._connection = Connection(home, actor)
        self.outbox = Outbox(self._connection)
        self._connections = 0
        self._connect_ns = 0
        self._due_ns = NEVER_NS
        self._has_frames = (self._connection.fd, select.POLLIN)
        self.flying: dict[int, Reply] = {}
        self.is_closed = False

    def begin(self, reply: Reply, now_ns: int, *, attended: bool) -> None:
        """Send a request at once, unless it is not `attended` and may wait for company.

        Raises:
            BookClosed: it was not sent.
        """
        with self._lock:
            if self.is_closed:
                raise closed_error()
            self.flying[reply.request.id] = reply
            is_current = self._connection.made == self._connections
            if attended and is_current and self.outbox.send_past(reply, now_ns):
                self._due_ns = min(self._due_ns, reply.resend_ns)
            elif not self.outbox.put(reply, 0 if attended else len(self.flying)):
                self._send_waiting(now_ns)

    def post(self, frame: bytes) -> None:
        """Hand over what nobody answers, where there is a connection just now; else drop it.

        Raises:
            BookClosed: it was dropped.
        """
        with self._lock:
            if self.is_closed:
                raise closed_error()
            arrived = self._receive()
            self._connection.try_send([frame])
        self._dispatch(arrived)

    def hasten(self) -> None:
        """Send what waits for company, or for a connection."""
        arrived: _Frames = []
        with self._lock:
            if not self.is_closed:
                self._send_waiting(time.monotonic_ns())
                if not self._connection.is_there:
                    arrived = self._receive()  # nobody else may look whether we are let in
        self._dispatch(arrived)

    def pump(
        self, now_ns: int, until_ns: int, wait: Callable[[int], _Ready], *, is_leader: bool = False
    ) -> _Ready:
        """Send again what is due, wait once, and receive what has come.

        Args:
            now_ns: CLOCK_MONOTONIC.
            until_ns: how long to wait at most.
            wait: polls what :meth:`new_poll` returned, for so many nanoseconds, and returns what
                was ready.
            is_leader: whether the leader calls, whom nobody needs to wake.

        Returns:
            What `wait` did.
        """
        if now_ns >= self._due_ns:
            self._transmit_due(now_ns)
        ready = wait(min(until_ns, self._due_ns) - now_ns)
        if self._has_frames in ready:
            with self._lock:
                arrived = self._receive()
            self._dispatch(arrived, is_leader=is_leader)
        return ready

    def new_poll(self) -> select.poll:
        """Return a poll of what `pump` waits for; others may register what they wait for beside."""
        poll = select.poll()
        poll.register(self._connection.fd, select.POLLIN)
        return poll

    def watch_outbox(self) -> int:
        """Return a descriptor, readable when to :meth:`hasten`: somebody watches it from now on."""
        with self._lock:
            return self.outbox.watched()

    def expire(self, *late: Reply) -> None:
        """Give up what is past its time-out, unless the answer has come and nobody looked."""
        with self._lock:
            arrived = self._receive()
        self._dispatch(arrived)
        for reply in late:
            seconds = self._timeout_ns / _S_NS
            self._give_up(reply, f"{self._actor} did not answer within {seconds:g} s")

    def stop(self) -> bool:
        """Send nothing from now on; return False where that was so before."""
        with self._lock:
            was_closed, self.is_closed = self.is_closed, True
        return not was_closed

    def close(self) -> None:
        """Give up what is in flight, and the connection; after :meth:`stop`."""
        for reply in list(self.flying.values()):
            self._give_up(reply, "the connection was closed")
        self._leadership.wake()
        with self._lock:
            self._connection.close()

    # -- under the lock --------------------------------------------------------------------------

    def _receive(self) -> _Frames:
        """Take what has arrived, and see to a connection that has come or gone meanwhile."""
        connection = self._connection
        arrived = connection.receive()
        is_as_it_was = connection.is_there and connection.made == self._connections
        if not (is_as_it_was or self.is_closed):
            self._send_waiting(time.monotonic_ns())
        return arrived

    def _send_waiting(self, now_ns: int) -> None:
        """Send all that is not on its way over the newest connection."""
        connection = self._connection
        if not connection.is_there and now_ns >= self._connect_ns:
            self._connect_ns = now_ns + RECONNECT_NS
            connection.connect()
        if connection.made > self._connections:
            self._put_lost_again()
        self._due_ns = min(self._due_ns, self.outbox.leave(now_ns))
        if not connection.is_there:
            self._due_ns = min(self._due_ns, self._connect_ns)
            self._leadership.wake()  # who waits for longer than that does not know yet

    def _put_lost_again(self) -> None:
        """Have sent again what the connection before the newest one has not answered."""
        made = self._connection.made
        if made > max(self._connections, 1):
            flying = list(self.flying.values())
            self.outbox.put_again(reply for reply in flying if reply.resend_ns < NEVER_NS)
        self._connections = made  # not before: what an interrupt leaves out is done the next time

    # -- outside of it ---------------------------------------------------------------------------

    def _transmit_due(self, now_ns: int) -> None:
        """Send again what is due, and give up what is past its time-out."""
        flying = list(self.flying.values())
        if late := [reply for reply in flying if now_ns >= reply.deadline_ns]:
            self.expire(*late)
        with self._lock:
            if self.is_closed:
                return
            self.outbox.put_again(reply for reply in flying if reply.is_due(now_ns))
            self._due_ns = NEVER_NS
            self._send_waiting(now_ns)
            resends_ns = [reply.resend_ns for reply in flying if not reply.is_settled]
            self._due_ns = min([self._due_ns, *resends_ns])

    def _dispatch(self, frames: _Frames, *, is_leader: bool = False) -> None:
        """Settle what the frames answer; one that is no answer settles nothing."""
        for frame, _ in frames:
            try:
                envelope = wire.decode_envelope(frame)
                error = None if envelope.kind == wire.OK else wire.error_of(envelope)
            except errors.HourbookError:
                continue  # its request is sent again, or ends with OutcomeUnknown
            reply = self.flying.get(envelope.corr or 0)
            if reply is not None:  # else: the answer to an earlier attempt came first
                reply.settle(envelope if error is None else None, error)
                self.flying.pop(reply.request.id, None)  # not before: an interrupt would lose it
        if frames and not is_leader:
            self._leadership.wake()  # its reply may be among them

    def _give_up(self, reply: Reply, why: str) -> None:
        if reply.request.id in self.flying:
            with self._lock:
                self.outbox.withdraw(reply)
            reply.give_up(why, self._path)
            self.flying.pop(reply.request.id, None)


def closed_error() -> errors.BookClosed:
    """Return the error of what is asked of a closed connection."""
    return errors.BookClosed("Expected an open connection, got a closed one")
