"""What an actor answers, and in which messages: replies that leave together. Pure: no socket.

To hand a message over costs both sides more than to make it or to read it. So what is answered
while a drain of the mailbox is served leaves at its end, one message for each peer. But only peers
that have themselves sent several frames in a message get several: others read one, and no more, and
once all is heard, they get each of theirs at once.
"""

import enum
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final

from protocols import wire

__all__ = ["Hold", "Replies"]

_BYTES_MAX: Final = 256 << 10
"""Of one message of several frames; they are copied before any leaves."""
_JOINING_MAX: Final = 10_000
"""Peers that are remembered; who has gone is not told, so beyond that all are learnt anew."""


class Hold(enum.Enum):
    """Whose replies wait for :meth:`Replies.release`."""

    NOBODY = enum.auto()
    JOINING = enum.auto()
    """Who reads several in one message."""
    ALL = enum.auto()
    """Who has just sent several frames is not known before the second is heard."""


class Replies:
    """The replies of one mailbox, each handed to `send` (peer, frames) in time.

    Attributes:
        hold: whose replies wait from now on.
    """

    def __init__(self, send: Callable[[bytes, list[bytes]], None]) -> None:
        self._send = send
        self._joining: set[bytes] = set()
        self._held: dict[bytes, list[bytes]] = {}
        self._answered: set[bytes] = set()
        self.hold = Hold.NOBODY

    def hear_joined(self, peer: bytes) -> None:
        """Remember that a peer has sent several frames in one message."""
        if len(self._joining) >= _JOINING_MAX:
            self._joining.clear()
        self._joining.add(peer)

    def add(self, peer: bytes, frame: bytes) -> None:
        """Send a reply, or hold it."""
        if self.hold is Hold.NOBODY:
            self._send(peer, [frame])
            return
        self._answered.add(peer)
        if (held := self._held.get(peer)) is not None:
            held.append(frame)
        elif self.hold is Hold.JOINING and peer not in self._joining:
            self._send(peer, [frame])
        else:
            self._held[peer] = [frame]

    def release(self) -> AbstractSet[bytes]:
        """Send what is held, in the order in which it was added.

        Returns:
            Who was answered while anybody's replies waited.
        """
        held, self._held = self._held, {}
        for peer, frames in held.items():
            frames_max = wire.MESSAGE_FRAMES_MAX if peer in self._joining else 1
            if len(frames) <= frames_max and sum(map(len, frames)) <= _BYTES_MAX:
                self._send(peer, frames)
            else:
                self._send_parts(peer, frames, frames_max)
        answered, self._answered = self._answered, set()
        return answered

    def _send_parts(self, peer: bytes, frames: list[bytes], frames_max: int) -> None:
        message: list[bytes] = []
        size = 0
        for frame in frames:
            if message and (len(message) == frames_max or size + len(frame) > _BYTES_MAX):
                self._send(peer, message)
                message, size = [], 0
            message.append(frame)
            size += len(frame)
        self._send(peer, message)
