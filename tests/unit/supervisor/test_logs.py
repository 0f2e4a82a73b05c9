"""Log files: whole JSON lines, rotation, limits, and a child that never waits."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor import logs
from supervisor.logs import LogFile, LogHandler, LogSink

WALL_NS = 1_800_000_000_123_456_789


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records of one file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def texts(path: Path) -> list[str]:
    """Return the lines that were logged in one file."""
    return [record["line"] for record in read(path)]


@pytest.fixture
def file(tmp_path: Path) -> LogFile:
    """Return a log file with a clock that stands still."""
    return LogFile(tmp_path / "logs" / "echo.jsonl", lambda: WALL_NS)


def sink_of(file: LogFile, **options: int) -> tuple[LogSink, int]:
    """Return a sink and the writing end of its pipe."""
    reader, writer = os.pipe()
    return LogSink(reader, file, "echo", 3, "stderr", **options), writer


def test_line_becomes_a_record(file: LogFile) -> None:
    """Each line carries when, who, which incarnation and which stream."""
    sink, writer = sink_of(file)
    os.write(writer, b"hello\nworld\n")

    is_open = sink.drain()

    assert is_open
    assert read(file.path) == [
        {
            "time": "2027-01-15T08:00:00.123456Z",
            "actor": "echo",
            "incarnation": 3,
            "stream": "stderr",
            "line": line,
        }
        for line in ("hello", "world")
    ]
    assert file.path.stat().st_mode & 0o777 == 0o600
    os.close(writer)
    sink.close()


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"caf\xc3\xa9 \xf0\x9f\x95\x90\n", "caf\u00e9 \U0001f550"),
        (b"\xff\xfe\n", "\\xff\\xfe"),
        (b"\xed\xa0\x80\n", "\\xed\\xa0\\x80"),
        (b"nul \x00 bell \x07 esc \x1b[2J\n", "nul \x00 bell \x07 esc \x1b[2J"),
        (b"dos\r\n", "dos"),
        (b"\n", ""),
    ],
)
def test_any_bytes_are_kept(file: LogFile, data: bytes, line: str) -> None:
    """UTF-8 is kept, what is not is escaped, and control characters cannot break a record."""
    sink, writer = sink_of(file)
    os.write(writer, data)
    os.close(writer)

    sink.close()

    assert texts(file.path) == [line]
    assert file.path.read_bytes().count(b"\n") == 1


def test_line_in_pieces_is_one_line(file: LogFile) -> None:
    """A line is logged when it is whole; the last one also without its end."""
    sink, writer = sink_of(file)
    os.write(writer, b"first ha")
    sink.drain()
    os.write(writer, b"lf\nno end")
    sink.drain()
    os.close(writer)

    assert not sink.drain()
    sink.close()

    assert texts(file.path) == ["first half", "no end"]


def test_long_line_is_cut_and_says_so(file: LogFile) -> None:
    """However long a line is, memory and record stay small, and the next line is whole."""
    sink, writer = sink_of(file, line_bytes_max=100)
    for _ in range(50):
        os.write(writer, b"x" * 10_000)
        sink.drain()
    os.write(writer, b"\nnext\n")
    os.close(writer)

    sink.close()

    assert texts(file.path) == ["x" * 100 + " [cut: 499900 bytes more]", "next"]


def test_file_is_rotated_by_size(tmp_path: Path) -> None:
    """The newest file has no number, the oldest is dropped, no record is split."""
    file = LogFile(tmp_path / "a.jsonl", lambda: WALL_NS, file_bytes_max=500, files_max=3)

    for number in range(30):
        file.write("a", 1, "stdout", [f"line {number}"])

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a.jsonl", "a.jsonl.1", "a.jsonl.2"]
    assert all(path.stat().st_size <= 500 for path in tmp_path.iterdir())
    kept = [text for name in reversed(names) for text in texts(tmp_path / name)]
    assert kept == [f"line {number}" for number in range(30 - len(kept), 30)]


def test_single_file_starts_anew(tmp_path: Path) -> None:
    """With one file to keep, a full one is replaced."""
    file = LogFile(tmp_path / "a.jsonl", lambda: WALL_NS, file_bytes_max=200, files_max=1)

    for number in range(9):
        file.write("a", 1, "stdout", [str(number)])

    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    assert texts(tmp_path / "a.jsonl")[-1] == "8"


def test_reopened_file_is_continued(file: LogFile) -> None:
    """A new supervisor appends to what its predecessor wrote."""
    file.write("a", 1, "stdout", ["one"])
    file.close()

    LogFile(file.path, lambda: WALL_NS).write("a", 1, "stdout", ["two"])

    assert texts(file.path) == ["one", "two"]


def test_flood_is_dropped_counted_and_said(file: LogFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """More lines than one turn may format are dropped; the log says how many are missing."""
    monkeypatch.setattr(logs, "DRAIN_LINES_MAX", 10)
    sink, writer = sink_of(file)
    os.write(writer, b"y\n" * 25)
    sink.drain()
    os.write(writer, b"after\n")

    sink.drain()

    assert file.dropped_lines == 15
    assert texts(file.path) == ["y"] * 10 + ["[15 lines were dropped here]", "after"]
    os.close(writer)
    sink.close()


def failing(after_bytes: int) -> Callable[[int, bytes], int]:
    """Return an ``os.write`` on a disk with room for so many bytes."""
    room = [after_bytes]
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(fd, data[: room[0]])
        room[0] -= written
        return written

    return write


def test_full_disk_drops_and_counts(file: LogFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk loses lines, never a record half, and the child goes on."""
    sink, writer = sink_of(file)
    os.write(writer, b"kept\n")
    sink.drain()
    with monkeypatch.context() as patch:
        patch.setattr("supervisor.logs.os.write", failing(after_bytes=20))
        for _ in range(3):
            file.write("echo", 3, "stderr", ["lost"])
    os.write(writer, b"back\n")

    sink.drain()

    assert file.dropped_lines == 3
    assert texts(file.path) == ["kept", "[3 lines were dropped here]", "back"]
    os.close(writer)
    sink.close()


def test_child_never_waits_for_its_log(tmp_path: Path) -> None:
    """Even where nothing can be written, the pipe is emptied."""
    blocker = tmp_path / "logs"
    blocker.write_text("a file where the directory should be", encoding="utf-8")
    file = LogFile(blocker / "echo.jsonl", lambda: WALL_NS)
    sink, writer = sink_of(file)
    os.set_blocking(writer, False)

    for _ in range(100):
        os.write(writer, b"0123456789abcde\n" * 4096)
        sink.drain()

    assert file.dropped_lines == 100 * 4096
    os.close(writer)
    sink.close()


def test_close_does_not_wait_for_a_grandchild(file: LogFile) -> None:
    """A writing end that stays open elsewhere does not hold the supervisor up."""
    sink, writer = sink_of(file)
    os.write(writer, b"last words")

    sink.close()
    sink.close()

    assert texts(file.path) == ["last words"]
    os.close(writer)


def test_own_records_go_to_a_file_of_the_same_form(file: LogFile) -> None:
    """The supervisor's log can be read like an actor's, one record a line."""
    logger = logging.getLogger("test.logs")
    handler = LogHandler(file)
    logger.addHandler(handler)

    logger.warning("first\nsecond")

    logger.removeHandler(handler)
    assert [(r["actor"], r["stream"], r["line"]) for r in read(file.path)] == [
        ("supervisor", "log", "WARNING test.logs: first"),
        ("supervisor", "log", "second"),
    ]


@pytest.mark.parametrize("what", ["directory", "file"])
def test_deleted_log_is_made_again(file: LogFile, what: str) -> None:
    """Lines after somebody deleted the log, or all logs, are kept where people look for them."""
    file.write("echo", 1, "stdout", ["before"])
    shutil.rmtree(file.path.parent) if what == "directory" else file.path.unlink()

    file.write("echo", 1, "stdout", ["after"])

    assert texts(file.path) == ["after"]
    assert file.dropped_lines == 0
    file.close()


def test_log_deleted_before_its_rotation_is_made_again(tmp_path: Path) -> None:
    """A rotation that finds nothing to rotate starts a new file."""
    file = LogFile(tmp_path / "logs" / "echo.jsonl", lambda: WALL_NS, file_bytes_max=100)
    file.write("echo", 1, "stdout", ["before"])
    shutil.rmtree(file.path.parent)

    file.write("echo", 1, "stdout", ["after"])

    assert texts(file.path) == ["after"]
    assert file.dropped_lines == 0
    file.close()


def test_lines_are_dropped_while_the_log_cannot_be_made(file: LogFile) -> None:
    """Only what really cannot be kept is counted; the log says so when it is back."""
    file.write("echo", 1, "stdout", ["before"])
    shutil.rmtree(file.path.parent)
    file.path.parent.write_text("in the way")
    file.write("echo", 1, "stdout", ["lost"])
    file.path.parent.unlink()

    file.write("echo", 1, "stdout", ["after"])

    assert file.dropped_lines == 1
    assert texts(file.path) == ["[1 lines were dropped here]", "after"]
    file.close()
