"""The socket of a client: one DEALER to one mailbox, and word of each new connection. An edge.

Frames are only taken for a connection that is there, so that what was never sent is known for
certain. An actor that was restarted binds the same path, and libzmq finds it within milliseconds;
what its predecessor had not answered is lost then, which whoever waits can know at once: the new
connection says so on a descriptor of its own.

Both descriptors signal edges: who was told by one looks until there is nothing more. No two threads
may be in here at a time, but for `close`, which is the last.
"""

from typing import Final

import zmq

from hourbook.home import Home
from protocols import wire

__all__ = ["Connection"]

RECONNECT_MS: Final = 5
"""The default of libzmq takes up to 159 ms to find an actor that was restarted."""
_DONTWAIT: Final = int(zmq.DONTWAIT)
_POLLIN: Final = int(zmq.POLLIN)


class Connection:
    """A DEALER that connects again and again to the mailbox of one actor.

    Attributes:
        fd: readable when there may be frames.
        news_fd: readable when it may have been connected anew.
    """

    def __init__(self, home: Home, actor: str) -> None:
        """Begin to connect; that succeeds whether or not the actor runs."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._socket.set(zmq.MAXMSGSIZE, wire.FRAME_BYTES_MAX_WIRE)
        self._socket.set(zmq.IMMEDIATE, 1)  # queue for living connections only; see the module
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.SNDHWM, 0)
        self._socket.set(zmq.RCVHWM, 0)
        self._news = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._socket.connect(home.mailbox_uri(actor))
        self.fd: Final = self._socket.fileno()
        self.news_fd: Final = self._news.fileno()
        self._made = 0

    def try_send(self, frame: bytes) -> bool:
        """Hand a frame to the connection; return whether there was one."""
        try:
            self._socket.send(frame, _DONTWAIT)
        except zmq.Again:
            return False
        return True

    def receive(self) -> list[bytes]:
        """Take every frame that has arrived.

        Asks for events instead of trying until ``zmq.Again``: to raise it costs more than to look.
        """
        frames: list[bytes] = []
        socket = self._socket
        while int(socket.get(zmq.EVENTS)) & _POLLIN:
            frames.append(socket.recv(_DONTWAIT))
        return frames

    def count_made(self) -> int:
        """Return how often it has been connected until now.

        A frame may have been taken for a connection just before it shows here.
        """
        while int(self._news.get(zmq.EVENTS)) & _POLLIN:
            self._news.recv_multipart(_DONTWAIT)
            self._made += 1
        return self._made

    def close(self) -> None:
        """Close; what was not sent is dropped."""
        self._socket.disable_monitor()
        self._news.close(0)
        self._socket.close(0)
        self._context.term()
