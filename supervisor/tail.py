"""Read an actor's log file: its last lines, and those that come, across rotations. An edge.

Looks at the file ten times a second. An inotify watch would wake at once, and would need a second
watch on the directory for each rotation and a fallback where there is none; a person who reads
along does not notice the difference.
"""

import contextlib
import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from hourbook.home import Home
from protocols import errors, wire
from protocols.control import SUPERVISOR_NAME
from supervisor.client import Client
from supervisor.config import load
from supervisor.logs import LogLine
from supervisor.render import one_line

__all__ = ["follow_file", "last_lines", "log_text", "tail_log"]

_LOOK_S: Final = 0.1
_ASK_S: Final = 2.0
_BLOCK_BYTES: Final = 64 << 10


def tail_log(home: Home, name: str, count: int, *, follow: bool) -> Iterator[str]:
    """Yield the last `count` lines of an actor's log, then, with `follow`, those that come.

    Raises:
        BadRequest: there is no actor of this name, and was none that wrote a log.
    """
    path = home.logs_dir / f"{name}.jsonl"
    try:
        lines, position = last_lines(path, count)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        if name not in _names_of(home):
            raise _unknown(home, name) from None
        lines, position = [], 0
    if not position:
        yield f"({name} has logged nothing yet)"
    yield from map(log_text, lines)
    if follow:
        for line in follow_file(path, position):
            if line is not None:
                yield log_text(line)


def last_lines(path: Path, count: int) -> tuple[list[bytes], int]:
    """Return the last `count` whole lines of a file and the position behind them.

    The file is read from its end, so that it costs the same whatever its size.
    """
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        data = b""
        while position > 0 and data.count(b"\n") <= count:
            step = min(_BLOCK_BYTES, position)
            position -= step
            file.seek(position)
            data = file.read(step) + data
    end = data.rfind(b"\n") + 1
    lines = data[:end].splitlines()
    return (lines[-count:] if count else []), position + end


def follow_file(path: Path, position: int) -> Generator[bytes | None, None, None]:
    """Yield each whole line after `position` as it comes, and None whenever there is nothing new.

    A rotation is noticed by the file's inode: the old file is read to its end first.
    """
    file: BinaryIO | None = None
    rest = b""
    try:
        while True:
            if file is None:
                file = _open(path)
                if file is None:
                    yield None
                    time.sleep(_LOOK_S)
                    continue
                file.seek(position)
                position, rest = 0, b""
            is_replaced = _is_replaced(path, file)  # asked first, so that nothing is missed
            *lines, rest = (rest + file.read()).split(b"\n")
            yield from lines
            if is_replaced:
                file.close()
                file = None
            elif not lines:
                yield None
                time.sleep(_LOOK_S)
    finally:
        if file is not None:
            file.close()


def log_text(data: bytes) -> str:
    """Return one record for a person; what is not a record, as it is."""
    try:
        record = msgspec.json.decode(data, type=LogLine)
    except msgspec.MsgspecError:
        return one_line(data.decode("utf-8", "backslashreplace"))
    mark = "" if record.stream == "stdout" else f"{record.stream}: "
    return one_line(f"{record.time} #{record.incarnation} {mark}{record.line}")


def _names_of(home: Home) -> set[str]:
    """Return who may print one day: those of the tree that runs, or of the one configured."""
    names = {SUPERVISOR_NAME}
    try:
        with Client(home) as client:
            names.update(row.name for row in client.status(_ASK_S).actors)
    except errors.WorldError:
        with contextlib.suppress(errors.ConfigError):
            names.update(load(home).tree.actors)
    return names


def _unknown(home: Home, name: str) -> errors.BadRequest:
    known = sorted(file.stem for file in home.logs_dir.glob("*.jsonl"))
    return errors.BadRequest(
        f"Expected the name of an actor that has a log, got {wire.printable(name)},"
        f" in {home.logs_dir}",
        hint=f"there are: {', '.join(known)}" if known else "nothing was logged yet",
    )


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _is_replaced(path: Path, file: BinaryIO) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return True
    return status.st_ino != os.fstat(file.fileno()).st_ino
