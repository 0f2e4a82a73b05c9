"""The socket of a mailbox, read frame by frame: a message is one frame of its sender or some.

An edge. Asks pyzmq for as little as there is: ``recv_multipart`` would do the same, and spend 5 us
a message on the arithmetic of its flags.
"""

from typing import Final

import zmq

__all__ = ["Router"]

_NOBLOCK: Final = int(zmq.NOBLOCK)


class Router:
    """What all peers send.

    Attributes:
        socket: what it is over.
        index: of the frame that was received last, in its message, from 0 on.
    """

    def __init__(self, socket: "zmq.Socket[bytes]") -> None:
        self.socket: Final = socket
        self.index = 0
        self._peer = b""
        self._has_more = False

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return a peer and the next frame that it sent; None while nothing waits.

        While a message has more frames its socket stays readable.
        """
        socket = self.socket
        if self._has_more:
            self.index += 1
        else:
            try:
                self._peer = socket.recv(_NOBLOCK)
            except zmq.Again:
                return None
            self.index = 0
        frame = socket.recv(_NOBLOCK, copy=False)  # only such a frame knows whether it is the last
        self._has_more = frame.more
        return self._peer, frame.bytes
