"""The socket of a mailbox, read frame by frame: a message is one frame of its sender or some.

An edge. Asks pyzmq for as little as there is: ``recv_multipart`` would do the same, and spend 5 us
a message on the arithmetic of its flags.
"""

from typing import Final

import zmq

from hourbook.link.joined import send_joined

__all__ = ["Router"]

_NOBLOCK: Final = int(zmq.NOBLOCK)
_RCVMORE: Final = int(zmq.RCVMORE)


class Router:
    """Frames of all peers, in and out.

    Attributes:
        socket: what it is over.
        is_first: whether the frame that was received last was the first of its message.
    """

    def __init__(self, socket: "zmq.Socket[bytes]") -> None:
        self.socket: Final = socket
        self.is_first = True
        self._peer = b""
        self._has_more = False

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return a peer and the next frame that it sent; None while nothing waits.

        While a message has more frames its socket stays readable.
        """
        socket = self.socket
        self.is_first = not self._has_more
        if self.is_first:
            try:
                self._peer = socket.recv(_NOBLOCK)
            except zmq.Again:
                return None
        frame = socket.recv(_NOBLOCK)
        self._has_more = bool(socket.get(_RCVMORE))
        return self._peer, frame

    def send(self, peer: bytes, frames: list[bytes]) -> bool:
        """Send one message; return whether there is such a peer, and room for it."""
        try:
            send_joined(self.socket, [peer, *frames])
        except zmq.ZMQError:
            return False
        return True
