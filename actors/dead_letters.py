"""Messages that an actor failed on three times: kept for a person, out of the way of the rest.

One file per actor, a stream of MessagePack maps, read back with ``msgpack.Unpacker``. When it has
grown to its limit it becomes ``.1`` and the one before is dropped: a flood of poison must not fill
the disk.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgpack

__all__ = ["FILE_BYTES_MAX", "LETTER_BYTES_MAX", "bury", "exhume"]

FILE_BYTES_MAX: Final = 32 << 20
LETTER_BYTES_MAX: Final = 18 << 20
"""The largest frame (17 MiB) and its traceback."""


def bury(directory: Path, actor: str, *, frame: bytes, error: str, time_wall_ns: int) -> Path:
    """Append one message with the traceback of its last failure; return the file."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{actor}.msgpack"
    letter = {"actor": actor, "time_wall_ns": time_wall_ns, "error": error, "frame": frame}
    data = msgpack.packb(letter)
    if path.exists() and path.stat().st_size + len(data) > FILE_BYTES_MAX:
        path.replace(path.with_suffix(".msgpack.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    return path


def exhume(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the letters of one file, oldest first; a torn last one ends the stream."""
    with path.open("rb") as file:
        yield from msgpack.Unpacker(file, max_buffer_size=LETTER_BYTES_MAX)
