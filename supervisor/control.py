"""The control socket: where actors report and the command line asks. An edge.

A ROUTER with handover, since the next incarnation of a wedged actor takes over its identity; and
mandatory, since a send into nowhere must be an error that we can count. Queues are short: whoever
does not read its answers loses them, counted, and costs nobody else anything.
"""

import itertools
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
import zmq

from actors.sockets import bind_control
from hourbook.home import Home
from protocols import errors, wire
from protocols.control import SUPERVISOR_NAME

__all__ = ["Control", "Incoming"]

QUEUE_MAX: Final = 64
"""Messages for one peer that wait to be read by it (count)."""
DRAIN_MAX: Final = 256
"""Messages taken in one turn of the loop, so that a flood cannot hold up an exit or a signal."""


class Incoming(NamedTuple):
    """One message, and the identity to answer."""

    peer: bytes
    envelope: wire.Envelope


class Control:
    """Sends and receives; knows what an envelope is, and nothing of its kinds.

    Attributes:
        dropped: messages that their peer was not there, or too slow, to take.
        refused: frames that were no envelope.
    """

    def __init__(self, home: Home) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(zmq.ROUTER)
        self._ids = itertools.count(1)
        self.dropped = 0
        self.refused = 0
        bind_control(self.socket, home, QUEUE_MAX)

    def drain(self) -> Iterator[Incoming]:
        """Yield what has arrived, up to a limit; answer what is no envelope."""
        for _ in range(DRAIN_MAX):
            try:
                peer, *parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            frame = parts[-1] if parts else b""
            try:
                if len(parts) != 1:
                    raise errors.BadRequest(
                        f"Expected one frame, got {len(parts)} (use DEALER, no delimiter)",
                        field="frame",
                    )
                wire.check_frame(frame)
                envelope = wire.decode_envelope(frame)
            except errors.HourbookError as error:
                self.refused += 1
                self.refuse(peer, wire.salvage_id(frame), error)
                continue
            yield Incoming(peer, envelope)

    def wait(self, timeout_ms: int) -> None:
        """Wait until something can be drained, or the time is over."""
        self.socket.poll(timeout_ms)

    def tell(self, name: str, kind: str, body: msgspec.Struct) -> int:
        """Send to an actor; return the message's id, 0 when it is not connected."""
        message_id = next(self._ids)
        raw = msgspec.Raw(msgspec.msgpack.encode(body))
        envelope = wire.Envelope(kind=kind, id=message_id, src=SUPERVISOR_NAME, body=raw)
        return message_id if self._send(name.encode(), wire.encode(envelope)) else 0

    def reply(self, peer: bytes, request_id: int, body: msgspec.Struct) -> None:
        """Answer ``ok``."""
        self._send(peer, wire.encode_reply(request_id, body, src=SUPERVISOR_NAME))

    def refuse(self, peer: bytes, request_id: int, error: errors.HourbookError) -> None:
        """Answer ``error``."""
        self._send(peer, wire.encode_error(request_id, error, src=SUPERVISOR_NAME))

    def close(self) -> None:
        """Send what is left, within half a second. The path is the holder's of the lock."""
        self.socket.close()
        self._context.term()

    def _send(self, peer: bytes, frame: bytes) -> bool:
        try:
            self.socket.send_multipart((peer, frame), zmq.NOBLOCK)
        except zmq.ZMQError:  # EHOSTUNREACH: not connected; EAGAIN: it does not read
            self.dropped += 1
            return False
        return True
