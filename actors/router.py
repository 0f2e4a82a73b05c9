"""The socket of a mailbox: a ROUTER of ZeroMQ, read by the thread that serves. An edge.

Whatever speaks ZeroMQ connects to it; but no I/O thread stands between (``link/stream.c``).
Nothing is read before what was read is served: what comes meanwhile waits in the kernel, then at
its sender, and so costs neither memory here nor anybody else's turn.
"""

import os
import select
import socket
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from hourbook.link._stream import Stream
from protocols import wire

__all__ = ["Router"]

_BACKLOG: Final = 512
_UNSENT_BYTES_MAX: Final = 32 << 20
"""What one peer may leave unread, beside what the kernel keeps; what is beyond is lost to it."""
_LINGER_S: Final = 0.5
_OWNER_ONLY: Final = 0o177
_ARRIVALS: Final = select.EPOLLIN | select.EPOLLET


class Router:
    """What all peers of one mailbox send, and how they are answered.

    Attributes:
        fd: readable while there is something to :meth:`receive`; the same for life.
        index: of the frame that was received last, in its message, from 0 on.
        waiting: frames that were read and are not received yet, whatever `fd` says.
    """

    def __init__(self) -> None:
        self._events = select.epoll()
        self._listener: socket.socket | None = None
        self._path = ""
        self._peers: dict[int, tuple[bytes, Stream]] = {}  # by descriptor
        self._streams: dict[bytes, Stream] = {}  # by name
        self._named = 0
        self.fd: Final = self._events.fileno()
        self.index = 0
        self.waiting: deque[tuple[bytes, bytes, int]] = deque()

    def bind(self, path: str) -> None:
        """Listen, for the owner alone from the first instant; what was left at `path` is replaced.

        Raises:
            OSError: it cannot be bound.
        """
        with suppress(FileNotFoundError):
            Path(path).unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        previous = os.umask(_OWNER_ONLY)
        try:
            listener.bind(path)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(previous)
        self._listener, self._path = listener, path
        self._events.register(listener, _ARRIVALS)

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return a peer and the next frame that it sent; None while nothing waits."""
        if not self.waiting:
            self._hear()
            if not self.waiting:
                return None
        peer, frame, self.index = self.waiting.popleft()
        return peer, frame

    def send(self, peer: bytes, frames: list[bytes]) -> bool:
        """Send frames (at least one) as one message, without waiting; return whether it will leave.

        It will not where the peer has gone, or reads nothing.
        """
        stream = self._streams.get(peer)
        if stream is None or stream.unsent_bytes > _UNSENT_BYTES_MAX:
            return False
        try:
            stream.send(frames)
        except OSError:
            self._part(stream)
            return False
        return True

    def close(self) -> None:
        """Close, and remove the path; answers get a moment to leave.

        Ours to remove: the next incarnation is not born before this one has ended.
        """
        end_s = time.monotonic() + _LINGER_S  # of all together
        for stream in self._streams.values():
            stream.close(end_s - time.monotonic())
        self._streams.clear()
        self._peers.clear()
        if self._listener is not None:
            self._listener.close()
            with suppress(FileNotFoundError):
                Path(self._path).unlink()
        self._events.close()

    # -- what events tell ------------------------------------------------------------------------

    def _hear(self) -> None:
        """Read once of every peer that has something to say, and let in who knocks."""
        for descriptor, _ in self._events.poll(0):
            known = self._peers.get(descriptor)
            if known is None:
                self._accept()
                continue
            peer, stream = known
            try:
                frames = stream.receive()
            except OSError:
                self._part(stream)
                continue
            self.waiting += [(peer, frame, index) for frame, index in frames]

    def _accept(self) -> None:
        """Let in all who knock, or as many as there are descriptors for; others stay at the door.

        They are let in when a peer has gone, or the next one knocks: only arrivals are told, else
        who stays at the door would keep us awake.
        """
        while self._listener is not None:
            try:
                stream = Stream.accept(self._listener.fileno(), self.fd, wire.FRAME_BYTES_MAX_WIRE)
            except ConnectionError:
                continue  # that one has gone
            except OSError:
                return  # nobody is left, or no descriptor
            self._named += 1
            peer = self._named.to_bytes(5, "big")
            self._peers[stream.fileno()] = peer, stream
            self._streams[peer] = stream

    def _part(self, stream: Stream) -> None:
        """Forget a peer that has gone."""
        peer, _ = self._peers.pop(stream.fileno())
        del self._streams[peer]
        stream.close()
        self._accept()
