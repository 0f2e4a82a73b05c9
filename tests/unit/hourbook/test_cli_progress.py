"""How far long work has come, as a person sees it."""

import io

import pytest

from hourbook.cli.progress import ProgressLine, bar_text


class Terminal(io.StringIO):
    """What is written to a person."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("done", "filled", "percent"), [(0, 0, "  0 %"), (5, 15, " 50 %"), (10, 30, "100 %")]
)
def test_bar_fills_as_work_is_done(done: int, filled: int, percent: str) -> None:
    """Empty at the start, full at the end."""
    bar = "#" * filled + " " * (30 - filled)

    assert bar_text("verifying", done, 10) == f"verifying [{bar}] {percent}"


def test_line_is_drawn_over_and_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it stays on the terminal."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    with ProgressLine() as line:
        line.show("verifying", 5, 10)
        line.show("verifying", 10, 10)

    drawn = terminal.getvalue().split("\r")
    assert [text.strip()[-5:] for text in drawn if text.strip()] == [" 50 %", "100 %"]
    assert drawn[-2].strip() == drawn[-1] == ""


def test_nobody_looking_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log file is not filled with bars, nor is JSON on a terminal."""
    log, terminal = io.StringIO(), Terminal()
    for stream, line_is_quiet in ((log, False), (terminal, True)):
        monkeypatch.setattr("sys.stderr", stream)
        with ProgressLine(quiet=line_is_quiet) as line:
            line.show("verifying", 5, 10)

    assert log.getvalue() == terminal.getvalue() == ""
