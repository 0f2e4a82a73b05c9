"""The stream of a client to one mailbox: a DEALER that connects again. An edge.

Frames are only taken for a connection that is there, so that what was never sent is known for
certain. An actor that was restarted binds the same path: whoever calls :meth:`Connection.connect`
now and then finds it within moments. What its predecessor had not answered is lost then, which
`made` shows.

No two threads may be in here at a time.
"""

import contextlib
import select
from collections.abc import Sequence
from typing import Final

from hourbook.home import Home
from hourbook.link._stream import Stream
from protocols import wire

__all__ = ["Connection"]

_LINGER_S: Final = 0.05
"""What was handed over just before the end leaves within it; who is stopped holds up nobody."""


class Connection:
    """A DEALER that connects again to the mailbox of one actor whenever it is asked to.

    Attributes:
        fd: readable while there is something to :meth:`receive`, if only that it is connected, or
            no longer; or there is room for what is still to leave. The same for life.
        is_there: messages are taken.
        made: how often it has been connected.
    """

    def __init__(self, home: Home, actor: str) -> None:
        """Begin to connect; that succeeds whether or not the actor runs."""
        self._path = home.mailbox(actor)
        self._events = select.epoll()
        self._stream: Stream | None = None
        self.fd: Final = self._events.fileno()
        self.is_there = False
        self.made = 0
        self.connect()

    def connect(self) -> None:
        """Begin to connect, unless that was begun."""
        if self._stream is not None or self._events.closed:
            return
        with contextlib.suppress(OSError):  # nobody listens
            self._stream = Stream.connect(self._path, self.fd, wire.FRAME_BYTES_MAX_WIRE)

    def try_send(self, frames: Sequence[bytes]) -> bool:
        """Send frames (at least one) as one message, without waiting; return whether it will leave.

        What the kernel has no room for leaves while others :meth:`receive`.
        """
        if not self.is_there or self._stream is None:
            return False
        try:
            self._stream.send(frames)
        except OSError:
            self._lose()
            return False
        return True

    def receive(self) -> list[tuple[bytes, int]]:
        """Take frames that have arrived, and let leave what has waited for room.

        Returns:
            Each with its index in its message, which does not matter: each answers one request.
        """
        if self._stream is None:
            return []
        try:
            frames = self._stream.receive()
        except OSError:
            self._lose()
            return []
        if not self.is_there and self._stream.is_ready:
            self.is_there = True
            self.made += 1
        return frames

    def close(self) -> None:
        """Close; what does not leave within moments is dropped. Nothing is received after that."""
        self._lose(_LINGER_S)
        self._events.close()

    def _lose(self, linger_s: float = 0.0) -> None:
        """Be without a connection; what its peer has not answered nobody will."""
        self.is_there = False
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(linger_s)
