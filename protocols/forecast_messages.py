"""What clock_model and the worker process of a forecaster say to each other, over two pipes.

A frame is its length (4 bytes, big-endian) and a MessagePack map. The worker is told its
:class:`Birth` and answers :class:`Answer` number 0 once it is loaded; then it gets one
:class:`Question` at a time and answers with its number. Nothing else crosses, and neither side
unpickles. The worker runs foreign code, so its answers are data of a stranger.
"""

import struct
from typing import Any, Final

import msgspec

from protocols import errors

__all__ = [
    "ANSWER_BYTES_MAX",
    "HORIZONS_MAX",
    "LEVELS_MAX",
    "QUESTION_BYTES_MAX",
    "Answer",
    "Birth",
    "FrameBuffer",
    "Question",
    "frame_of",
]

QUESTION_BYTES_MAX: Final = 60_000
"""Less than an empty pipe takes (64 KiB), so that asking never waits."""
ANSWER_BYTES_MAX: Final = 16_384
HORIZONS_MAX: Final = 16
LEVELS_MAX: Final = 16
_LENGTH: Final = struct.Struct(">I")


class Birth(msgspec.Struct, frozen=True):
    """Who to be.

    Attributes:
        name: of the entry point.
        options: as configured.
    """

    name: str
    options: dict[str, Any]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What will be?

    Attributes:
        number: 1, 2, 3 ...
        samples: at_ns, offset_ns, doubt_ns of each, oldest first (``hourbook.forecasters.Sample``).
        horizons_ns: after the newest of them, increasing.
    """

    number: int
    samples: tuple[tuple[int, float, float], ...]
    horizons_ns: tuple[int, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a forecaster says.

    Attributes:
        number: of the question; 0: it is loaded.
        centre_ns: at each horizon, in the terms of the samples.
        quantiles_ns: the same by level.
    """

    number: int
    centre_ns: tuple[float, ...] = ()
    quantiles_ns: dict[float, tuple[float, ...]] = {}


def frame_of(message: Birth | Question | Answer, bytes_max: int) -> bytes:
    """Return a message as it crosses the pipe.

    Raises:
        FrameTooLarge: it has more than `bytes_max` bytes.
    """
    body = msgspec.msgpack.encode(message)
    if len(body) > bytes_max:
        raise errors.FrameTooLarge(f"Expected at most {bytes_max} bytes, got {len(body)}")
    return _LENGTH.pack(len(body)) + body


class FrameBuffer:
    """Cuts a stream of bytes into the bodies of frames."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what came; return the bodies that are complete.

        Raises:
            FrameTooLarge: a frame announces more than allowed.
        """
        self._held += data
        found = []
        while len(self._held) >= _LENGTH.size:
            size: int = _LENGTH.unpack_from(self._held)[0]
            if size > self._bytes_max:
                raise errors.FrameTooLarge(f"Expected at most {self._bytes_max} bytes, got {size}")
            end = _LENGTH.size + size
            if len(self._held) < end:
                break
            found.append(bytes(self._held[_LENGTH.size : end]))
            del self._held[:end]
        return found
