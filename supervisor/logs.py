r"""What the actors print, as JSON lines, one file for each actor, rotated by size.

A child writes into a pipe; :class:`LogSink` empties it from the supervisor's loop and
:class:`LogFile` appends ``{"time", "actor", "incarnation", "stream", "line"}``. The rule is that a
child never waits for its log: the pipe is emptied at every turn, and what cannot be kept (the disk
is full, more lines than a turn may format) is dropped and counted, and the log says so.

Long lines are cut and end with how much is missing; bytes that are not UTF-8 become ``\xff``.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["LogFile", "LogHandler", "LogLine", "LogSink"]

LINE_BYTES_MAX: Final = 8192
FILE_BYTES_MAX: Final = 16 << 20
FILES_MAX: Final = 4
DRAIN_BYTES_MAX: Final = 1 << 20
"""Read in one turn of the supervisor's loop: about 1 ms of copying."""
DRAIN_LINES_MAX: Final = 2000
"""Formatted in one turn; a child that prints more has the rest dropped, and counted."""
_PIPE_BYTES: Final = 1 << 20


class LogLine(msgspec.Struct, frozen=True):
    """One line of a log file."""

    time: str
    actor: str
    incarnation: int
    stream: str
    line: str


class LogFile:
    """One growing file; at `file_bytes_max` it becomes ``.1``, that one ``.2``, and so on.

    Args:
        path: the newest file, ``<logs_dir>/<name>.jsonl``.
        wall_ns: where the time of each line comes from.
        file_bytes_max: size at which it is rotated (bytes, > 0).
        files_max: files kept, the newest included (count, >= 1).
    """

    def __init__(
        self,
        path: Path,
        wall_ns: Callable[[], int],
        *,
        file_bytes_max: int = FILE_BYTES_MAX,
        files_max: int = FILES_MAX,
    ) -> None:
        self.path = path
        self.dropped_lines = 0
        self._wall_ns = wall_ns
        self._file_bytes_max = file_bytes_max
        self._files_max = files_max
        self._fd = -1
        self._size = 0
        self._unsaid = 0  # dropped since the log last said so

    def write(self, actor: str, incarnation: int, stream: str, lines: list[str]) -> None:
        """Append lines; those that cannot be written are dropped and counted."""
        if self._unsaid:
            lines = [f"[{self._unsaid} lines were dropped here]", *lines]
        time = _rfc3339(self._wall_ns())
        encoded = (
            msgspec.json.encode(LogLine(time, actor, incarnation, stream, line)) for line in lines
        )
        data = b"".join(line + b"\n" for line in encoded)
        try:
            self._append(data)
        except OSError:
            # Closed, so that the next attempt opens what may be a new, healthy directory.
            self.drop(len(lines) - (1 if self._unsaid else 0))
            self.close()
            return
        self._unsaid = 0

    def drop(self, count: int) -> None:
        """Count lines that were not even formatted."""
        self.dropped_lines += count
        self._unsaid += count

    def close(self) -> None:
        """Release the file; the next write opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, data: bytes) -> None:
        if self._fd >= 0 and not os.fstat(self._fd).st_nlink:
            self.close()  # deleted under us: what went there now, nobody would ever read
        if self._fd < 0:
            self._open()
        if self._size and self._size + len(data) > self._file_bytes_max:
            self._rotate()
        written = os.write(self._fd, data)
        if written < len(data):  # the disk became full in the middle: leave whole lines only
            os.ftruncate(self._fd, self._size)
            raise OSError(f"wrote {written} of {len(data)} bytes")
        self._size += written

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(self._files_max - 1, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1)
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        if self._files_max == 1:
            self.path.unlink(missing_ok=True)
        self._open()

    def _numbered(self, number: int) -> Path:
        return self.path if number == 0 else self.path.with_name(f"{self.path.name}.{number}")


class LogSink:
    """The reading end of one stream of one incarnation.

    Args:
        fd: reading end of the pipe; owned from now on.
        file: where its lines go; the sinks of an actor share one.
        actor: its name.
        incarnation: its number.
        stream: ``stdout`` or ``stderr``.
        line_bytes_max: longer lines are cut (bytes, > 0).
    """

    def __init__(
        self,
        fd: int,
        file: LogFile,
        actor: str,
        incarnation: int,
        stream: str,
        *,
        line_bytes_max: int = LINE_BYTES_MAX,
    ) -> None:
        self._fd = fd
        self._file = file
        self._actor = actor
        self._incarnation = incarnation
        self._stream = stream
        self._line_bytes_max = line_bytes_max
        self._partial = b""
        self._cut_bytes = 0  # of the line that is still open
        self._skipped = 0  # of this turn
        os.set_blocking(fd, False)
        set_size = getattr(fcntl, "F_SETPIPE_SZ", None)
        if set_size is not None:
            with contextlib.suppress(OSError):  # the user's quota of pipe pages may be used up
                fcntl.fcntl(fd, set_size, _PIPE_BYTES)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._fd

    def drain(self) -> bool:
        """Take what is in the pipe, up to a limit; False when it has ended and can be closed."""
        taken = 0
        lines: list[str] = []
        is_open = True
        while taken < DRAIN_BYTES_MAX:
            try:
                data = os.read(self._fd, DRAIN_BYTES_MAX - taken)
            except BlockingIOError:
                break
            if not data:
                is_open = False
                break
            taken += len(data)
            self._split(data, lines)
        if lines:
            self._file.write(self._actor, self._incarnation, self._stream, lines)
        if self._skipped:  # counted after what came before them, so that the log says it in place
            self._file.drop(self._skipped)
            self._skipped = 0
        return is_open

    def close(self) -> None:
        """Take the rest, also a last line without its end, and release the pipe."""
        if self._fd < 0:
            return
        # Bounded: a grandchild that holds the other end may print for ever.
        for _ in range(8):
            if not self.drain():
                break
        if self._partial:
            lines: list[str] = []
            self._finish_line(b"", lines)
            self._file.write(self._actor, self._incarnation, self._stream, lines)
        os.close(self._fd)
        self._fd = -1

    def _split(self, data: bytes, lines: list[str]) -> None:
        *whole, rest = data.split(b"\n")
        for piece in whole:
            if len(lines) < DRAIN_LINES_MAX:
                self._finish_line(piece, lines)
            else:
                self._partial, self._cut_bytes = b"", 0
                self._skipped += 1
        self._keep(rest)

    def _finish_line(self, piece: bytes, lines: list[str]) -> None:
        self._keep(piece)
        text = self._partial.removesuffix(b"\r").decode("utf-8", "backslashreplace")
        if self._cut_bytes:
            text += f" [cut: {self._cut_bytes} bytes more]"
        lines.append(text)
        self._partial, self._cut_bytes = b"", 0

    def _keep(self, piece: bytes) -> None:
        room = self._line_bytes_max - len(self._partial)
        self._partial += piece[:room]
        self._cut_bytes += max(0, len(piece) - room)


class LogHandler(logging.Handler):
    """The supervisor's own log records, in the same form, in a file of its own."""

    def __init__(self, file: LogFile) -> None:
        super().__init__()
        self._file = file
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Append one record, each of its lines by itself."""
        self._file.write("supervisor", 0, "log", self.format(record).splitlines() or [""])


def _rfc3339(wall_ns: int) -> str:
    seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06d}Z"
