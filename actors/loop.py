"""The loop of a synchronous actor: one poller over its mailbox, its supervisor, its fds and timers.

Everything an actor does happens here, one thing at a time, and the beat is one of those things: an
actor that hangs stops beating, however alive its I/O thread may be. The only waiting is in
``poll``, and for moments, of an actor that wants it so, for company (``actors/company.py``).

The poller is the kernel's, over plain descriptors: ``zmq.Poller`` asks every socket twice a turn,
which at 100 ticks a second was most of what the publisher cost. The descriptor of a ZeroMQ socket
signals *edges*, and any use of the socket may swallow one (ZMQ_FD in zmq_getsockopt(3)): so whoever
uses a socket adds it to `_unsure`, and before the loop sleeps it looks there until nothing is left.
"""

import gc
import os
import select
import signal
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
import zmq

from actors import guard, sockets
from actors.company import Company
from actors.contract import ActorContext, Behaviour, OnReply
from actors.link import BEAT_PERIOD_S, Link, LinkReporter
from actors.mailbox import Mailbox
from actors.peers import Peers
from actors.replies import Hold, Replies
from actors.router import Router
from actors.service import Service
from actors.timers import Timer, Timers
from hourbook.home import Home
from hourbook.timebase import Timebase
from protocols import control, errors

__all__ = ["Loop", "reload_error"]

_GARBAGE_MIN: Final = 10_000
"""Objects that may be garbage in circles before anybody looks; a large group makes as many."""
_MS_NS: Final = 1_000_000
_S_NS: Final = 1_000_000_000
_POLL_MS_MAX: Final = 60_000
_POLLIN: Final = int(zmq.POLLIN)


class Loop(LinkReporter):
    """Runs one incarnation of one actor; the `Reactor` that the actor is given."""

    def __init__(self, context: ActorContext, home: Home, timebase: Timebase) -> None:
        self._context = context
        self._home = home
        self._timebase = timebase
        self._timers = Timers()
        super().__init__(Link(context.name, context.incarnation))
        self._zmq: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = Router()
        self._supervisor = self._zmq.socket(zmq.DEALER)
        self._poll = select.poll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._sockets: dict[int, tuple[zmq.Socket[bytes], Callable[[], None]]] = {}
        self._unsure: set[int] = set()
        self._replies = Replies(self._send)
        self._company = Company()
        self._peers = Peers(
            self._zmq, home, context.name, context.incarnation, self._timers, self.watch
        )
        self._stop_reason: str | None = None

    # -- what the actor may ask for (see contract.Reactor) ---------------------------------------

    def watch(self, source: int | zmq.Socket[bytes], callback: Callable[[], None]) -> None:
        """Call back whenever `source` can be read."""
        if isinstance(source, int):
            descriptor = source
            self._callbacks[source] = callback
        else:
            descriptor = source.fileno()
            self._sockets[descriptor] = (source, callback)
            self._unsure.add(descriptor)
        self._poll.register(descriptor, select.POLLIN)

    def unwatch(self, source: int | zmq.Socket[bytes]) -> None:
        """Stop watching `source`."""
        descriptor = source if isinstance(source, int) else source.fileno()
        self._callbacks.pop(descriptor, None)
        self._sockets.pop(descriptor, None)
        self._poll.unregister(descriptor)

    def every(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """Call back every `period_s`."""
        period_ns = round(period_s * _S_NS)
        return self._timers.add(self._timebase.mono_ns() + period_ns, callback, period_ns)

    def after(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once after `delay_s`."""
        return self._timers.add(self._timebase.mono_ns() + round(delay_s * _S_NS), callback)

    def tell(self, peer: str, kind: str, body: msgspec.Struct) -> bool:
        """Send to another actor without waiting for an answer."""
        self._unsure.update(self._sockets)
        return self._peers.tell(peer, kind, body)

    def ask(
        self, peer: str, kind: str, body: msgspec.Struct, on_reply: OnReply, timeout_s: float
    ) -> None:
        """Send to another actor and call back with its answer."""
        self._unsure.update(self._sockets)
        deadline_ns = self._timebase.mono_ns() + round(timeout_s * _S_NS)
        self._peers.ask(peer, kind, body, on_reply, deadline_ns)

    # -- one life --------------------------------------------------------------------------------

    def run(self, actor: Behaviour) -> int:
        """Run `actor` from init to stop; return the exit code of its process."""
        self._catch_sigterm()
        sockets.connect_supervisor(self._supervisor, self._home, self._context.name)
        self._supervisor.send(self._link.hello(), zmq.NOBLOCK)
        result = guard.answer_init(self._context.name, self._context.incarnation, actor.init)
        try:
            if result.status in ("error", "ignore"):
                self._supervisor.send(self._link.init(result), zmq.NOBLOCK)
                return 1 if result.status == "error" else 0
            mailbox = self._open_mailbox(actor)
            self._supervisor.send(self._link.init(result), zmq.NOBLOCK)
            self._beat(actor, mailbox)
            self.every(BEAT_PERIOD_S, lambda: self._beat(actor, mailbox))
            # What is there by now stays to the end; to search it for garbage again and again cost
            # journal_writer a fifteenth of its time.
            gc.freeze()
            gc.set_threshold(_GARBAGE_MIN)
            self._turn()
            actor.stop()
        finally:
            self._close()
        return 0

    def _turn(self) -> None:
        while self._stop_reason is None:
            has_served = bool(self._unsure) and self._look()
            for descriptor, _ in self._poll.poll(0) if has_served else self._await_events():
                callback = self._callbacks.get(descriptor)
                if callback is not None:
                    callback()
                else:
                    self._unsure.add(descriptor)
            self._timers.fire(self._timebase.mono_ns())

    def _await_events(self) -> list[tuple[int, int]]:
        """Return what is ready; awake while somebody who was answered is likely to ask again.

        To be woken takes longer than that wait (``docs/adr/0049``).
        """
        while self._company.is_expected(self._timebase.mono_ns()):
            if ready := self._poll.poll(0):
                return ready
            os.sched_yield()
        return self._poll.poll(self._poll_ms())

    def _look(self) -> bool:
        """Serve every ZeroMQ socket that has something; return whether there may be more."""
        unsure, self._unsure = self._unsure, set()
        has_served = False
        for descriptor in unsure:
            if (watched := self._sockets.get(descriptor)) is None:
                continue
            socket, callback = watched
            if int(socket.get(zmq.EVENTS)) & _POLLIN:
                callback()
                self._unsure.add(descriptor)
                has_served = True
        return has_served

    def _poll_ms(self) -> int:
        due_ns = self._timers.next_due_ns()
        if due_ns is None:
            return _POLL_MS_MAX
        wait_ns = due_ns - self._timebase.mono_ns()
        return max(0, min(_POLL_MS_MAX, -(-wait_ns // _MS_NS)))

    def _close(self) -> None:
        self._peers.close()
        self._router.close()
        self._supervisor.close()
        self._zmq.term()

    # -- supervisor ------------------------------------------------------------------------------

    def _catch_sigterm(self) -> None:
        """Turn SIGTERM into an orderly stop, through the poller, between two callbacks."""
        read_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)
        self.watch(read_fd, lambda: self._on_signal(read_fd))

    def _on_signal(self, read_fd: int) -> None:
        if signal.SIGTERM in os.read(read_fd, 64):
            self._stop_reason = "SIGTERM"

    def _beat(self, actor: Behaviour, mailbox: Mailbox) -> None:
        self._unsure.add(self._supervisor.fileno())
        snapshot = self.counters() | self._peers.snapshot() | mailbox.snapshot() | actor.snapshot()
        try:
            self._supervisor.send(self._link.beat(snapshot), zmq.NOBLOCK)
        except zmq.Again:
            self.count("beats_dropped_total")

    def _hear_supervisor(self, actor: Behaviour) -> None:
        while True:
            try:
                frame = self._supervisor.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            match self._link.understand(frame):
                case (_, control.Stop(reason)):
                    self._stop_reason = reason or "asked"
                case (envelope, control.Reload(config)):
                    error = reload_error(actor, config)
                    self._supervisor.send(self._link.reloaded(envelope.id, error), zmq.NOBLOCK)

    # -- mailbox ---------------------------------------------------------------------------------

    def _open_mailbox(self, actor: Behaviour) -> Mailbox:
        """Bind last: a client that reaches the mailbox finds an actor that is ready to serve."""
        mailbox = Mailbox(
            self._context.name,
            self._context.incarnation,
            actor.handlers(),
            actor.frame_bytes_max,
        )
        service = Service(mailbox, self._replies, self._home, self._timebase.wall_ns)
        sockets.bind_mailbox(self._router, self._home, self._context.name)
        self.watch(self._router.fd, partial(self._drain, actor, service))
        self.watch(self._supervisor, partial(self._hear_supervisor, actor))
        return mailbox

    def _drain(self, actor: Behaviour, service: Service) -> None:
        """Serve all that waits, up to the actor's limits, then let it finish the group.

        What is answered meanwhile leaves when the handlers are done, and when the group is.
        """
        replies = self._replies
        replies.hold = Hold.ALL
        try:
            self._serve(actor, service)
            self._release()
            replies.hold = Hold.JOINING
            actor.after_drain()
        finally:
            replies.hold = Hold.NOBODY
            self._release()
        if self._router.waiting:
            self.after(0, partial(self._drain, actor, service))

    def _serve(self, actor: Behaviour, service: Service) -> None:
        count = size = 0
        now_ns = self._timebase.mono_ns()
        router, company = self._router, self._company
        while count < actor.drain_messages_max and size < actor.drain_bytes_max:
            received = router.receive()
            if received is None:
                if not self._awaits_company(actor):
                    break
                continue
            peer, frame = received
            company.arrive(peer)
            count, size = count + 1, size + len(frame)
            service.serve(peer, frame, router.index, now_ns)
            if actor.is_full:
                break

    def _awaits_company(self, actor: Behaviour) -> bool:
        """Let whoever is about to ask have the processor; return False where nobody is."""
        if not actor.wants_company() or not self._company.is_expected(self._timebase.mono_ns()):
            return False
        os.sched_yield()
        return True

    def _release(self) -> None:
        """Let leave what was answered."""
        if answered := self._replies.release():
            self._company.leave(answered, self._timebase.mono_ns())

    def _send(self, peer: bytes, frames: list[bytes]) -> None:
        """Send one message; that a peer is gone, or reads nothing, is its problem, and counted."""
        if not self._router.send(peer, frames):
            self.count("replies_dropped_total", len(frames))


def reload_error(actor: Behaviour, config: dict[str, Any]) -> errors.HourbookError | None:
    """Apply a changed configuration; return why it needs a restart, None when it is in force."""
    try:
        if actor.reload(config):
            return None
    except errors.HourbookError as error:
        return error
    return errors.ConfigError("Expected a change that applies in place: restart needed")
