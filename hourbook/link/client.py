"""A pipelined client of one mailbox: many requests in flight, one socket, no thread of its own.

The thread that waits for an answer does the receiving, for itself and for all others (leader and
followers): a hand-over to an I/O thread would cost more than the whole round trip. Only requests
that nobody waits for need somebody: a daemon thread, started at the first of them, receives while
no other thread does, and sends what has waited for company (``outbox``).

A request is sent again with the same id as soon as its actor was restarted, and every 250 ms until
its time-out all the same, unless it is large: copies would fill the memory of an actor that is
behind already. The actor recognises what it has already done by the nonce in the body. No answer in
time means OutcomeUnknown, never a false "failed"; ActorUnreachable says for certain that nothing
was sent, which is known because only living connections are given messages.

The socket is only touched under `_socket_lock`. Waiting happens outside it, on the socket's file
descriptor, which signals edges: who touches the socket while another thread waits must look for
messages before letting go of it, and who is about to wait looks for them first.
"""

import itertools
import os
import select
import threading
import time
from typing import Final

import msgspec

from hourbook.home import Home
from hourbook.link.connection import Connection
from hourbook.link.outbox import Outbox
from hourbook.link.patience import Patience
from hourbook.link.reply import NEVER_NS, Reply
from hourbook.link.room import IN_FLIGHT_MAX, LARGE_BYTES, find_surplus
from protocols import errors, wire

__all__ = ["TIMEOUT_S", "MailboxClient"]

TIMEOUT_S: Final = 5.0
GRACE_MS: Final = 5
"""How long nobody must have waited before the background thread receives; see the module."""

_S_NS: Final = 1_000_000_000
_MS_NS: Final = 1_000_000
_EVERYTHING: Final = 1 << 62
_encode_body = msgspec.msgpack.Encoder().encode


class MailboxClient:
    """Requests to the mailbox of one actor. Threads may share it; a forked child may not."""

    def __init__(self, home: Home, actor: str, src: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Connect; that succeeds whether or not the actor runs.

        Args:
            home: whose actor.
            actor: name of its mailbox.
            src: our name in its log.
            timeout_s: until a request without an answer is given up (seconds, > 0).
        """
        self._home, self._actor, self._src = home, actor, src
        self._timeout_ns = int(timeout_s * _S_NS)
        self._pid = os.getpid()
        self._ids = itertools.count(1)
        self._flying: dict[int, Reply] = {}
        self.state_lock = threading.Lock()
        self._socket_lock = threading.Lock()
        self._has_leader = False
        self._followers: list[Reply] = []
        self._pumps = 0
        self._pollers = 0
        self._due_ns = NEVER_NS
        self._background: threading.Thread | None = None
        self._unattended = threading.Condition(self.state_lock)
        self._is_parked = False
        self._closed = False
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._connection = Connection(home, actor)
        self._outbox = Outbox(self._connection)
        self._gathered_fd = -1
        self._connections = 0
        self._signal = (self._connection.fd, select.POLLIN)
        self._poll = self._new_poll()
        self._poll.register(self._wake_fd, select.POLLIN)
        self._patience = Patience()

    def send(
        self, kind: str, body: object, *, attended: bool = True, extra_s: float = 0.0
    ) -> Reply:
        """Send a request and return its reply to be.

        Args:
            kind: of the message.
            body: a Struct or a dict.
            attended: somebody will call ``wait`` soon; otherwise the background thread sees to it.
            extra_s: how much longer than usual the answer may take (seconds).

        Raises:
            UsedAfterFork, BookClosed, LimitExceeded: nothing was sent.
        """
        self.check_usable()
        request = wire.Envelope(
            kind=kind, id=next(self._ids), src=self._src, body=msgspec.Raw(_encode_body(body))
        )
        frame = wire.encode(request)
        size, limit = len(frame), wire.FRAME_BYTES_MAX_WIRE
        if size > limit:  # libzmq would drop it without a word
            message = f"Expected a message of at most {limit} bytes, got {size}"
            raise errors.FrameTooLarge(message, field="frame", value=str(size))
        if size > LARGE_BYTES or len(self._flying) >= IN_FLIGHT_MAX:
            for oldest in find_surplus(list(self._flying.values()), size):
                self.pump_until(oldest, None)
        now_ns = time.monotonic_ns()
        deadline_ns = now_ns + self._timeout_ns + int(extra_s * _S_NS)
        reply = Reply(self, request, frame, deadline_ns)
        arrived = None
        with self._socket_lock:
            self._check_open()
            self._flying[request.id] = reply
            self._outbox.put(reply)
            if attended or not self._outbox.may_wait(len(self._flying)):
                arrived = self._send_waiting(now_ns)
        if arrived:
            self._dispatch(arrived)
        if not attended:
            self.attend()
        return reply

    def request(self, kind: str, body: object) -> wire.Envelope:
        """Send a request and wait for its ``ok`` reply; raises what :meth:`Reply.wait` raises."""
        return self.send(kind, body).wait()

    def post(self, kind: str, body: object) -> None:
        """Hand over what nobody answers, where somebody listens just now; else it is dropped."""
        raw = msgspec.Raw(_encode_body(body))
        frame = wire.encode(wire.Envelope(kind=kind, id=next(self._ids), src=self._src, body=raw))
        with self._socket_lock:
            self._check_open()
            self._connection.try_send([frame])
            arrived = self._receive() if self._pollers else []
        self._dispatch(arrived)

    def hasten(self) -> None:
        """Send what waits for company, or for a connection: somebody is about to wait for it."""
        if self._outbox.waiting and self.is_usable():
            self._send_now()

    def flush(self) -> None:
        """Wait until the outcome of everything sent so far is known."""
        for reply in list(self._flying.values()):
            if not reply.done():
                self.pump_until(reply, None)

    def close(self) -> None:
        """Close at once; what is in flight ends with OutcomeUnknown."""
        if self._pid != os.getpid():
            return
        self.hasten()
        with self._socket_lock, self.state_lock:
            if self._closed:
                return
            self._closed = True
            self._unattended.notify_all()
        os.eventfd_write(self._stop_fd, 1)
        os.eventfd_write(self._wake_fd, 1)
        if self._background is not None and self._background is not threading.current_thread():
            self._background.join()
        for reply in list(self._flying.values()):
            self._give_up(reply, "the connection was closed")
        with self._socket_lock:
            self._connection.close()

    def __del__(self) -> None:
        """Give its descriptors back; threads may poll them until nobody holds the client."""
        for descriptor in (getattr(self, "_wake_fd", -1), getattr(self, "_stop_fd", -1)):
            if descriptor >= 0:
                os.close(descriptor)
        if outbox := getattr(self, "_outbox", None):
            outbox.close()

    def is_usable(self) -> bool:
        """Return whether this is the process that connected, and it has not closed yet."""
        return self._pid == os.getpid() and not self._closed

    def check_usable(self) -> None:
        """Raise UsedAfterFork or BookClosed unless requests can be sent."""
        if self._pid != os.getpid():
            raise errors.UsedAfterFork(
                "Expected a connection of this process, got one inherited through fork",
                hint="connect again in the child",
            )
        self._check_open()

    # -- leader and followers --------------------------------------------------------------------

    def pump_until(self, reply: Reply, timeout_s: float | None) -> None:
        """Receive, or let another thread receive, until `reply` is settled or time is up."""
        self.check_usable()
        self.hasten()
        self._pumps += 1
        until_ns = reply.deadline_ns
        if timeout_s is not None:
            until_ns = min(until_ns, time.monotonic_ns() + int(timeout_s * _S_NS))
        while not reply.done():
            wake = self._lead_or_follow(reply)
            if wake is None:
                try:
                    self._lead(reply, until_ns)
                finally:
                    self._hand_over()
            elif not reply.done():
                wake.wait(max(0, until_ns - time.monotonic_ns()) / _S_NS)
            if time.monotonic_ns() >= until_ns and not reply.done():
                if until_ns < reply.deadline_ns:
                    return
                self._expire(reply)

    def _lead_or_follow(self, reply: Reply) -> threading.Event | None:
        """Become the leader (None), or queue up; return what will be set at a change."""
        with self.state_lock:
            if not self._has_leader:
                self._has_leader = True
                return None
            wake = reply.wake = reply.wake or threading.Event()
            wake.clear()
            self._followers.append(reply)
            return wake

    def _lead(self, reply: Reply, until_ns: int) -> None:
        """Receive for all until `reply` is settled, `until_ns` has come, or the client closes."""
        self._patience.begin(until_ns)
        while not reply.done():
            now_ns = time.monotonic_ns()
            if now_ns >= self._due_ns:
                self._transmit_due(now_ns)
            if self._pump_once(self._poll, min(until_ns, self._due_ns) - now_ns):
                os.eventfd_read(self._wake_fd)
            if now_ns >= until_ns:  # only after a look: the answer may have lain there
                break
        self._patience.end()

    def _pump_once(self, poll: select.poll, timeout_ns: int) -> bool:
        """Receive what is there, else wait for it; say whether we were woken up."""
        is_leader = poll is self._poll
        with self._socket_lock:
            arrived = self._receive()
            self._pollers += not arrived
        if arrived:
            self._dispatch(arrived, is_leader=is_leader)
            return False
        if is_leader:
            ready = self._patience.await_input(poll, timeout_ns)
        else:
            ready = poll.poll(max(1, timeout_ns // _MS_NS))
        with self._socket_lock:
            self._pollers -= 1
            arrived = self._receive(is_signalled=self._signal in ready)
        if arrived:
            self._dispatch(arrived, is_leader=is_leader)
        is_woken = False
        for descriptor, _ in ready:
            if descriptor == self._connection.news_fd:
                self._send_now()
            elif descriptor == self._gathered_fd:
                self.hasten()
            elif descriptor == self._wake_fd:
                is_woken = True
        return is_woken

    def _hand_over(self) -> None:
        """End leading; every follower wakes, and one of them leads on."""
        with self.state_lock:
            self._has_leader = False
            followers, self._followers = self._followers, []
            for follower in followers:
                if follower.wake is not None:
                    follower.wake.set()

    # -- the background thread -------------------------------------------------------------------

    def attend(self) -> None:
        """See to it that replies are received for which nobody waits, or no longer."""
        if self._background is None:
            with self._socket_lock:
                self._gathered_fd = self._outbox.watched()
        with self.state_lock:
            if self._background is None:
                self._background = threading.Thread(
                    target=self._run_background, name=f"hourbook-{self._actor}", daemon=True
                )
                self._background.start()
            elif self._is_parked:
                self._unattended.notify()

    def _run_background(self) -> None:
        """Send what has waited for company; receive while requests fly and no other thread does."""
        grace, everything = select.poll(), self._new_poll()
        for poll in (grace, everything):
            poll.register(self._stop_fd, select.POLLIN)
            poll.register(self._gathered_fd, select.POLLIN)
        pumps_seen = -1
        while True:
            with self.state_lock:
                while not (self._closed or self._flying):
                    self._is_parked = True
                    self._unattended.wait()
                self._is_parked = False
            if self._pumps != pumps_seen or self._has_leader:
                pumps_seen = self._pumps
                if grace.poll(GRACE_MS):
                    self.hasten()
                if not self._closed:
                    continue
            if self._closed:
                return
            now_ns = time.monotonic_ns()
            if now_ns >= self._due_ns:
                self._transmit_due(now_ns)
            self._pump_once(everything, self._due_ns - now_ns)

    # -- connection ------------------------------------------------------------------------------

    def _new_poll(self) -> select.poll:
        poll = select.poll()
        poll.register(self._connection.fd, select.POLLIN)
        poll.register(self._connection.news_fd, select.POLLIN)
        return poll

    def _receive(self, *, is_signalled: bool = False) -> list[bytes]:
        """Take every frame that somebody may wait for. The caller holds the socket lock."""
        if self._closed:
            return []
        expected = _EVERYTHING if self._pollers else len(self._flying)
        return self._connection.receive(expected, is_signalled=is_signalled)

    def _send_now(self) -> None:
        """Send all that is not on its way over the newest connection."""
        with self._socket_lock:
            arrived = [] if self._closed else self._send_waiting(time.monotonic_ns())
        self._dispatch(arrived)

    def _send_waiting(self, now_ns: int) -> list[bytes]:
        """Do the same under the lock; return what has arrived while another thread polls."""
        before, self._connections = self._connections, self._connection.count_made()
        if self._connections > max(before, 1):  # what the one before has not answered is lost
            flying = list(self._flying.values())
            self._outbox.put_again(reply for reply in flying if reply.resend_ns < NEVER_NS)
        self._due_ns = min(self._due_ns, self._outbox.leave(now_ns))
        return self._receive() if self._pollers else []

    def _transmit_due(self, now_ns: int) -> None:
        """Send again what is due, and give up what is past its time-out."""
        flying = list(self._flying.values())
        if late := [reply for reply in flying if now_ns >= reply.deadline_ns]:
            self._expire(*late)
        with self._socket_lock:
            if self._closed:
                return
            self._outbox.put_again(reply for reply in flying if reply.is_due(now_ns))
            self._due_ns = NEVER_NS
            arrived = self._send_waiting(now_ns)
            resends_ns = [reply.resend_ns for reply in flying if not reply.done()]
            self._due_ns = min([self._due_ns, *resends_ns])
        self._dispatch(arrived)

    def _dispatch(self, frames: list[bytes], *, is_leader: bool = False) -> None:
        """Settle what the frames answer; one that is no answer settles nothing."""
        for frame in frames:
            try:
                envelope = wire.decode_envelope(frame)
                error = wire.error_of(envelope)
            except errors.HourbookError:
                continue  # its request is sent again, or ends with OutcomeUnknown
            reply = self._flying.pop(envelope.corr or 0, None)
            if reply is not None:  # else: the answer to an earlier attempt came first
                reply.settle(envelope if error is None else None, error)
        if frames and self._has_leader and not is_leader:
            os.eventfd_write(self._wake_fd, 1)  # its reply may be among them

    # -- ends ------------------------------------------------------------------------------------

    def _expire(self, *late: Reply) -> None:
        """Give up what is past its time-out, unless the answer has come and nobody looked."""
        with self._socket_lock:
            arrived = self._receive()
        self._dispatch(arrived)
        for reply in late:
            seconds = self._timeout_ns / _S_NS
            self._give_up(reply, f"{self._actor} did not answer within {seconds:g} s")

    def _give_up(self, reply: Reply, why: str) -> None:
        if self._flying.pop(reply.request.id, None) is not None:
            with self._socket_lock:
                self._outbox.withdraw(reply)
            reply.give_up(why, self._home.mailbox(self._actor))

    def _check_open(self) -> None:
        if self._closed:
            raise errors.BookClosed("Expected an open connection, got a closed one")
