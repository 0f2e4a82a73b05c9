# One connection of ZeroMQ over a Unix socket that never waits. Not libzmq: that hands every message
# to an I/O thread and every one it hears back from it (docs/adr/0046). Whoever learns of its end
# from any call closes it.
#
# `events` is an epoll's descriptor, of several streams: it tells when to receive, and is open for
# longer than they are. All raise OSError: the peer has gone, or speaks otherwise (EPROTO).

from collections.abc import Sequence
from typing import final

@final
class Stream:
    # Of a DEALER to who listens at `path`. A frame of more bytes is refused before it is here.
    @classmethod
    def connect(cls, path: str, events: int, frame_bytes_max: int, /) -> Stream: ...
    # Of a ROUTER, with who knocks at a listener that never waits.
    @classmethod
    def accept(cls, listener: int, events: int, frame_bytes_max: int, /) -> Stream: ...
    # By which events name it; -1 once closed.
    def fileno(self) -> int: ...
    # The peer has greeted us; it takes messages from then on.
    @property
    def is_ready(self) -> bool: ...
    # What the kernel had no room for yet.
    @property
    def unsent_bytes(self) -> int: ...
    # Send frames (at least one) as one message, or keep what there is no room for.
    def send(self, frames: Sequence[bytes], /) -> None: ...
    # Let leave what there was no room for, and return frames that have arrived, each with its index
    # in its message, from 0 on. There may be more, as `events` tells.
    def receive(self) -> list[tuple[bytes, int]]: ...
    # Give what is unsent so long to leave (seconds); nothing may be sent or received after that.
    def close(self, linger_s: float = 0.0, /) -> None: ...
