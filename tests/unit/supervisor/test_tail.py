"""Reading a log file from its end and as it grows."""

from pathlib import Path

import pytest

from hourbook.home import Home
from protocols import errors
from supervisor.logs import LogFile
from supervisor.tail import follow_file, last_lines, log_text, tail_log


def write(path: Path, *lines: str) -> None:
    """Append lines."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


@pytest.mark.parametrize("count", [0, 1, 3, 5000, 9999])
def test_last_lines_of_a_large_file(tmp_path: Path, count: int) -> None:
    """The newest lines come in order, however many are asked for."""
    path = tmp_path / "x.jsonl"
    lines = [f"line {number} {'x' * 40}" for number in range(5000)]
    write(path, *lines)

    found, position = last_lines(path, count)

    assert [line.decode() for line in found] == (lines[-count:] if count else [])
    assert position == path.stat().st_size


def test_line_that_is_being_written_is_not_shown(tmp_path: Path) -> None:
    """Only whole lines count; the position stands before the other one."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"whole\nhal")

    assert last_lines(path, 9) == ([b"whole"], 6)


def test_follow_goes_on_across_rotations(tmp_path: Path) -> None:
    """What was written into the old file before its rotation comes before the new file's."""
    path = tmp_path / "x.jsonl"
    write(path, "one")
    coming = follow_file(path, 0)
    assert next(coming) == b"one"
    write(path, "two")
    path.replace(tmp_path / "x.jsonl.1")
    write(path, "three")

    found = [next(line for line in coming if line is not None) for _ in range(2)]

    assert found == [b"two", b"three"]
    coming.close()


def test_follow_waits_for_a_file_that_is_away(tmp_path: Path) -> None:
    """Between a rotation and the next line there is no file."""
    path = tmp_path / "x.jsonl"
    coming = follow_file(path, 0)
    assert next(coming) is None
    write(path, "first")

    assert next(line for line in coming if line is not None) == b"first"
    coming.close()


def test_record_is_shown_with_its_incarnation(home: Home) -> None:
    """A person sees time, incarnation and the line, and stderr where it is."""
    file = LogFile(home.logs_dir / "echo.jsonl", lambda: 0)
    file.write("echo", 2, "stdout", ["hello"])
    file.write("echo", 2, "stderr", ["oops \x1b[2J"])
    file.close()

    assert list(tail_log(home, "echo", 9, follow=False)) == [
        "1970-01-01T00:00:00.000000Z #2 hello",
        "1970-01-01T00:00:00.000000Z #2 stderr: oops \\x1b[2J",
    ]


def test_line_that_is_no_record_is_shown_as_it_is() -> None:
    """A foreign line in the file is no reason to stop."""
    assert log_text(b"\xffnot json\x07") == "\\xffnot json\\x07"


@pytest.mark.parametrize("name", ["nobody", "../echo", "a\0b", ""])
def test_actor_without_a_log_is_named_with_those_that_have_one(home: Home, name: str) -> None:
    """A wrong name is told what there is."""
    file = LogFile(home.logs_dir / "echo.jsonl", lambda: 0)
    file.write("echo", 1, "stdout", ["hello"])
    file.close()

    with pytest.raises(errors.BadRequest, match="there are: echo"):
        list(tail_log(home, name, 1, follow=False))


@pytest.mark.parametrize("name", ["journal_writer", "supervisor"])
def test_actor_that_has_printed_nothing_is_no_stranger(home: Home, name: str) -> None:
    """A name of the tree is known before its first line, and its first line is followed."""
    (said,) = tail_log(home, name, 20, follow=False)
    shown = tail_log(home, name, 20, follow=True)
    next(shown)
    file = LogFile(home.logs_dir / f"{name}.jsonl", lambda: 0)
    file.write(name, 1, "stdout", ["hello"])
    file.close()

    line = next(shown)

    assert said == f"({name} has logged nothing yet)"
    assert line.endswith("hello")
