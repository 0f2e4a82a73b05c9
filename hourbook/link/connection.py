"""The socket of a client: one DEALER to one mailbox, and word of each new connection. An edge.

Frames are only taken for a connection that is there, so that what was never sent is known for
certain. An actor that was restarted binds the same path, and libzmq finds it within milliseconds;
what its predecessor had not answered is lost then, which whoever waits can know at once: the new
connection says so on a descriptor of its own.

Both descriptors signal edges: who was told by one looks until there is nothing more. No two threads
may be in here at a time, but for `close`, which is the last.
"""

from functools import partial
from typing import Final

import zmq

from hourbook.home import Home
from hourbook.link.joined import send_joined
from protocols import wire

__all__ = ["Connection"]

RECONNECT_MS: Final = 5
"""The default of libzmq takes up to 159 ms to find an actor that was restarted."""
_LINGER_MS: Final = 50
"""What was handed over just before the end leaves within one; who is stopped holds up nobody."""
_DONTWAIT: Final = int(zmq.DONTWAIT)
_POLLIN: Final = int(zmq.POLLIN)


class Connection:
    """A DEALER that connects again and again to the mailbox of one actor.

    Attributes:
        fd: readable when there may be frames.
        news_fd: readable when it may have been connected anew.
        try_send: hands one message of some frames to the connection; returns whether there was one.
        has_frames: returns anything where there are frames; only until it is closed.
        is_closed: there is nothing to receive any more.
        made: how often it has been connected, as :meth:`count_made` knows.
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
        self.try_send: Final = partial(send_joined, self._socket)
        self.has_frames: Final = partial(zmq.zmq_poll, [(self._socket, _POLLIN)], 0)
        self.is_closed = False
        self.made = 0
        self.count_made()  # libzmq signals only those who have looked, and found nothing

    def receive(self, expected: int, *, is_signalled: bool = False) -> list[bytes]:
        """Take every frame that has arrived, but not look for more than are `expected`.

        Polls instead of trying until ``zmq.Again``, which costs more to raise; but where the
        descriptor has just signalled (`is_signalled`), there is nearly always a frame. Which frames
        came in one message does not matter: each answers one request. But a message is taken to its
        end before the socket is polled again: libzmq hears of a lost connection then, drops the
        rest, and aborts the process that asks for it ("Assertion failed: !_more", fq.cpp).

        Once it is closed there are none.
        """
        frames: list[bytes] = []
        if self.is_closed:
            return frames
        receive = self._socket.recv
        while len(frames) < expected and (is_signalled or self.has_frames()):
            is_signalled, more = False, True
            try:
                while more:
                    frame = receive(_DONTWAIT, copy=False)  # says for less whether there are more
                    frames.append(frame.bytes)
                    more = frame.more
            except zmq.Again:
                break
        return frames

    def count_made(self) -> int:
        """Return how often it has been connected until now; who asks first polls `news_fd`.

        A frame may have been taken for a connection just before it shows here.
        """
        while int(self._news.get(zmq.EVENTS)) & _POLLIN:
            self._news.recv_multipart(_DONTWAIT)
            self.made += 1
        return self.made

    def close(self) -> None:
        """Close; what does not leave within moments is dropped."""
        self.is_closed = True
        self._socket.disable_monitor()
        self._news.close(0)
        self._socket.close(_LINGER_MS)
        self._context.term()
