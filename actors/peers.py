"""Connections from one actor to the mailboxes of others. An edge: it owns the DEALER sockets.

A peer that is dead costs nothing but its own queue: ZeroMQ reconnects within milliseconds when its
next incarnation binds the same path, and what did not fit the queue is dropped and counted.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec
import zmq

from actors.contract import OnReply
from actors.timers import Timers
from hourbook.home import Home
from protocols import errors, wire

__all__ = ["QUEUE_MAX", "Peers"]

QUEUE_MAX: Final = 64
"""Messages waiting for a peer that is away: about a second of the busiest tell."""
RECONNECT_MS: Final = 5


class Peers:
    """The mailboxes that one actor writes to."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        home: Home,
        name: str,
        incarnation: int,
        timers: Timers,
        watch: Callable[[zmq.Socket[bytes], Callable[[], None]], None],
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._context = context
        self._home = home
        self._name = name
        self._incarnation = incarnation
        self._timers = timers
        self._watch = watch
        self._ids = itertools.count(1)
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._waiting: dict[int, tuple[str, OnReply]] = {}

    def tell(self, peer: str, kind: str, body: msgspec.Struct) -> bool:
        """Send without waiting for an answer; False when it was dropped."""
        return self._send(peer, next(self._ids), kind, body, 0)

    def ask(
        self, peer: str, kind: str, body: msgspec.Struct, on_reply: OnReply, deadline_mono_ns: int
    ) -> None:
        """Send, and call back once: with the reply, or with ActorUnreachable at the deadline."""
        request_id = next(self._ids)
        self._waiting[request_id] = (peer, on_reply)
        self._timers.add(deadline_mono_ns, lambda: self._expire(request_id))
        if not self._send(peer, request_id, kind, body, deadline_mono_ns):
            self._expire(request_id)

    def close(self) -> None:
        """Close every socket; what is still queued is given 50 ms."""
        for socket in self._sockets.values():
            socket.close(linger=50)
        self._sockets.clear()

    def _send(
        self, peer: str, request_id: int, kind: str, body: msgspec.Struct, deadline_mono_ns: int
    ) -> bool:
        envelope = wire.Envelope(
            kind=kind,
            id=request_id,
            src=self._name,
            incarnation=self._incarnation,
            deadline_mono_ns=deadline_mono_ns,
            body=msgspec.Raw(msgspec.msgpack.encode(body)),
        )
        try:
            self._socket(peer).send(wire.encode(envelope), zmq.NOBLOCK)
        except zmq.Again:
            self.dropped[peer] += 1
            return False
        return True

    def _socket(self, peer: str) -> zmq.Socket[bytes]:
        socket = self._sockets.get(peer)
        if socket is None:
            socket = self._context.socket(zmq.DEALER)
            socket.set(zmq.SNDHWM, QUEUE_MAX)
            socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
            socket.set(zmq.MAXMSGSIZE, wire.FRAME_BYTES_MAX_WIRE)
            socket.connect(self._home.mailbox_uri(peer))
            self._sockets[peer] = socket
            self._watch(socket, lambda: self._receive(peer, socket))
        return socket

    def _receive(self, peer: str, socket: zmq.Socket[bytes]) -> None:
        while True:
            try:
                frame = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                wire.check_frame(frame, wire.FRAME_BYTES_MAX_WIRE)
                envelope = wire.decode_envelope(frame)
                error = wire.error_of(envelope)
            except errors.HourbookError as malformed:
                self.errors[malformed.code] += 1
                continue
            if error is not None:
                self.errors[error.code] += 1
            _, on_reply = self._waiting.pop(envelope.corr or 0, (peer, None))
            if on_reply is not None:
                on_reply(error or envelope)

    def _expire(self, request_id: int) -> None:
        peer, on_reply = self._waiting.pop(request_id, ("", None))
        if on_reply is not None:
            on_reply(
                errors.ActorUnreachable(
                    f"Expected an answer from {peer} in time, got none", field=peer
                )
            )

    def snapshot(self) -> dict[str, float]:
        """Return the counters for a beat."""
        dropped = {f'peer_dropped_total{{peer="{p}"}}': float(n) for p, n in self.dropped.items()}
        failed = {f'peer_errors_total{{code="{c}"}}': float(n) for c, n in self.errors.items()}
        return dropped | failed
