"""One connection of ZeroMQ over a socket that never waits, whichever side we are. An edge.

Not libzmq: it hands every message to an I/O thread and every one it hears back from it, and those
hand-overs were a quarter of the time of a write (``docs/adr/0046``).
"""

import select
import socket
from typing import Final

from protocols import zmtp

__all__ = ["Stream"]

_RECEIVE_BYTES: Final = 64 << 10
"""Above 128 KiB the memory for it is mapped and unmapped at every call, which costs 20 us."""
_IN_AND_OUT: Final = select.EPOLLIN | select.EPOLLOUT


class Stream:
    """Frames in and out. Who learns of its end from any call closes it.

    Attributes:
        unsent: what the kernel had no room for yet.
    """

    __slots__ = ("_events", "_incoming", "_socket", "unsent")

    def __init__(self, connected: socket.socket, hello: bytes, events: select.epoll) -> None:
        """Greet the peer, and have `events` watch for it.

        Args:
            connected: that does not wait; ours from now on.
            hello: DEALER or ROUTER of ``protocols.zmtp``.
            events: of several streams; tells when to :meth:`receive` and to :meth:`send_rest`.

        Raises:
            OSError: the peer has gone.
        """
        connected.send(hello)  # whole: nothing fills a new socket
        events.register(connected, select.EPOLLIN)
        self._socket, self._events = connected, events
        self._incoming = zmtp.Incoming()
        self.unsent = bytearray()

    def fileno(self) -> int:
        """Return the descriptor by which events name it."""
        return self._socket.fileno()

    @property
    def is_ready(self) -> bool:
        """Whether the peer has greeted us; it takes messages from then on."""
        return self._incoming.is_ready

    def send(self, data: bytes) -> None:
        """Send the bytes of a message, or keep what there is no room for.

        Raises:
            OSError: the peer has gone.
        """
        if self.unsent:
            self.unsent += data
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.unsent += data[sent:]
            self._events.modify(self._socket, _IN_AND_OUT)

    def send_rest(self) -> None:
        """Send of what there was no room for.

        Raises:
            OSError: the peer has gone.
        """
        try:
            del self.unsent[: self._socket.send(self.unsent)]
        except BlockingIOError:
            return
        if not self.unsent:
            self._events.modify(self._socket, select.EPOLLIN)

    def receive(self) -> list[tuple[bytes, int]]:
        """Return frames that have arrived, each with its index in its message.

        There may be more, as `events` tells.

        Raises:
            OSError: the peer has gone.
            BadRequest, FrameTooLarge: it does not speak as it should.
        """
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError("the peer has closed")
        incoming = self._incoming
        frames = incoming.take(data)
        if incoming.owed:
            owed, incoming.owed = incoming.owed, b""
            if not self.unsent:  # else it reads nothing, and would have us keep any number of them
                self.send(owed)
        return frames

    def close(self, linger_s: float = 0.0) -> None:
        """Close; give what is unsent so long to leave (seconds)."""
        try:
            # First: a child that was forked has the socket, too, and it would be watched for ever.
            self._events.unregister(self._socket)
            if self.unsent and linger_s > 0:
                self._socket.settimeout(linger_s)
                self._socket.sendall(self.unsent)
        except OSError:
            pass  # the peer has gone
        finally:
            self._socket.close()
