"""ZMTP 3.0 a second time: what peers of tests speak, and `hourbook/link/zmtp.c` is held against.

"ZeroMQ Message Transport Protocol" (rfc.zeromq.org/spec/23), the NULL mechanism.
"""

from collections.abc import Sequence
from typing import Final

from protocols import errors, wire

__all__ = ["DEALER", "ROUTER", "Incoming", "message_of"]

_MORE: Final = 1
_LONG: Final = 2
_COMMAND: Final = 4
_COMMAND_FLAGS: Final = frozenset((_COMMAND, _COMMAND | _LONG))
_FLAGS: Final = _COMMAND_FLAGS | {0, _MORE, _LONG, _MORE | _LONG}
_SHORT_MAX: Final = 255
_SHORT_HEAD_BYTES: Final = 2
_LONG_HEAD_BYTES: Final = 9

_SIGNATURE: Final = b"\xff" + bytes(8) + b"\x7f"
_NULL_MECHANISM: Final = b"NULL".ljust(20, b"\0")
_GREETING: Final = _SIGNATURE + b"\x03\x00" + _NULL_MECHANISM + bytes(32)
_GREETING_BYTES: Final = len(_GREETING)
_READY_NAME: Final = b"\x05READY"
_PING_NAME: Final = b"\x04PING"
_PONG_NAME: Final = b"\x04PONG"
_PING_HEAD_BYTES: Final = len(_PING_NAME) + 2  # and the time to live
_PING_BYTES_MAX: Final = _PING_HEAD_BYTES + 16


def _hello(socket_type: bytes) -> bytes:
    named = len(socket_type).to_bytes(4, "big") + socket_type
    ready = _READY_NAME + b"\x0bSocket-Type" + named + b"\x08Identity\0\0\0\0"
    return _GREETING + bytes((_COMMAND, len(ready))) + ready


DEALER: Final = _hello(b"DEALER")
"""What a DEALER says first; NULL lets us say all of it before we hear anything."""
ROUTER: Final = _hello(b"ROUTER")


def message_of(frames: Sequence[bytes]) -> bytes:
    """Return the bytes of one message of some frames (at least one), each below 2^63 bytes."""
    last = frames[-1]
    size = len(last)
    head = _HEADS[size] if size <= _SHORT_MAX else _head(size, 0)
    if len(frames) == 1:
        return head + last
    parts: list[bytes] = []
    for frame in frames[:-1]:
        parts += _head(len(frame), _MORE), frame
    parts += head, last
    return b"".join(parts)


def _head(size: int, flags: int) -> bytes:
    if size <= _SHORT_MAX:
        return bytes((flags, size))
    return bytes((flags | _LONG,)) + size.to_bytes(8, "big")


_HEADS: Final = tuple(_head(size, 0) for size in range(_SHORT_MAX + 1))
"""Of most messages: one short frame."""


class Incoming:
    """What the peer of one connection sends, from its first byte on.

    Attributes:
        is_ready: it has greeted us and is ready for messages.
        owed: what is to be sent back to it, for whoever sends to take away.
    """

    def __init__(self, frame_bytes_max: int = wire.FRAME_BYTES_MAX_WIRE) -> None:
        """Begin; a frame of more than `frame_bytes_max` is refused before it is here."""
        self._frame_bytes_max = frame_bytes_max
        self._rest = bytearray()
        self._expected = _COMMAND_FLAGS  # nothing else before it is ready
        self._is_greeted = False
        self._index = 0
        self.is_ready = False
        self.owed = b""

    def take(self, data: bytes) -> list[tuple[bytes, int]]:
        """Return the frames that end in the next bytes of the connection.

        Returns:
            Each with its index in its message, from 0 on.

        Raises:
            BadRequest: it does not speak ZMTP 3, or refuses us; nothing after that is to be had.
            FrameTooLarge: so is a frame.
        """
        self._rest += data
        frames: list[tuple[bytes, int]] = []
        if not self._is_greeted:
            del self._rest[: self._greeted(bytes(self._rest))]
        while self._is_greeted and (part := self._next()) is not None:
            flags, body = part
            if flags & _COMMAND:
                self._command(body)
            else:
                frames.append((body, self._index))
                self._index = self._index + 1 if flags & _MORE else 0
        return frames

    def _next(self) -> tuple[int, bytes] | None:
        """Take the flags and the body of what comes next; None while it is not whole."""
        rest = self._rest
        if len(rest) < _SHORT_HEAD_BYTES:
            return None
        flags, begin, size = rest[0], _SHORT_HEAD_BYTES, rest[1]
        if flags not in self._expected:
            raise self._refusal(flags, size)
        if flags & _LONG:
            begin = _LONG_HEAD_BYTES
            if len(rest) < begin:
                return None
            size = int.from_bytes(rest[1:begin], "big")
        if size > self._frame_bytes_max:
            raise self._refusal(flags, size)
        if len(rest) < begin + size:
            return None
        body = bytes(rest[begin : begin + size])
        del rest[: begin + size]
        return flags, body

    def _greeted(self, data: bytes) -> int:
        """Read the greeting, once it is whole; return what of `data` it takes."""
        known = min(len(data), len(_SIGNATURE))
        is_signed = data[:1] == _SIGNATURE[:1] and data[9:known] == _SIGNATURE[9:known]
        if not is_signed or data[10:11] not in (b"", b"\x03"):
            raise errors.BadRequest(f"Expected the greeting of ZMTP 3, got {data[:11].hex()}")
        if len(data) < _GREETING_BYTES:
            return 0
        if data[12:32] != _NULL_MECHANISM:
            raise errors.BadRequest(f"Expected ZMTP's mechanism NULL, got {data[12:32]!r}")
        self._is_greeted = True
        return _GREETING_BYTES

    def _refusal(self, flags: int, size: int) -> errors.CallerError:
        if flags not in _FLAGS:
            return errors.BadRequest(f"Expected the flags of a ZMTP frame, got {flags}")
        if flags not in self._expected:
            return errors.BadRequest(f"Expected READY of a ZeroMQ peer, got flags {flags}")
        limit = self._frame_bytes_max
        return errors.FrameTooLarge(f"Expected a frame of at most {limit} bytes, got {size}")

    def _command(self, command: bytes) -> None:
        """Heed the first command, and heartbeats; others ask nothing of a DEALER or a ROUTER."""
        if not self.is_ready:
            if not command.startswith(_READY_NAME):
                raise errors.BadRequest(f"Expected READY of a ZeroMQ peer, got {command[:64]!r}")
            self.is_ready, self._expected = True, _FLAGS
        elif command.startswith(_PING_NAME):
            pong = _PONG_NAME + command[_PING_HEAD_BYTES:_PING_BYTES_MAX]
            self.owed += _head(len(pong), _COMMAND) + pong
