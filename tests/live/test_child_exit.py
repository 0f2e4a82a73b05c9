"""The end of an actor's process: its code, its cause, and its last words in the log."""

import json
from pathlib import Path

import pytest
from supervised import Supervised, actor, tree

pytestmark = pytest.mark.live


def end_of(path: Path, name: str, **config: object) -> tuple[str, list[str]]:
    """Run an actor of ``ending_actors`` to its end; return its cause and what it printed."""
    with Supervised(path, tree(actor("a", config, class_path=f"ending_actors:{name}"))) as s:
        assert s.wait() == 3
        cause = s.wait_event("a", "exited").cause
        log = (s.home.logs_dir / "a.jsonl").read_text() if s.home.logs_dir.exists() else ""
    return cause, [json.loads(line)["line"] for line in log.splitlines()]


def test_what_main_returns_is_the_exit_code_and_nothing_printed_is_lost(tmp_path: Path) -> None:
    """No interpreter is taken apart, and still every buffer is flushed."""
    cause, lines = end_of(tmp_path, "Returns")

    assert cause == "exit 5"
    text = "\n".join(lines)
    assert "goodbye on stdout" in text
    assert "goodbye on stderr" in text
    assert "goodbye in the log" in text


@pytest.mark.parametrize(
    ("code", "cause", "printed"),
    [(None, "exit 0", []), (7, "exit 7", []), ("no more", "exit 1", ["no more"])],
)
def test_sys_exit_means_what_it_means_elsewhere(
    tmp_path: Path, code: object, cause: str, printed: list[str]
) -> None:
    """None is 0, a number is itself, and words are printed and are 1."""
    assert end_of(tmp_path, "Exits", code=code) == (cause, printed)


def test_an_exception_leaves_its_traceback(tmp_path: Path) -> None:
    """It ends with 1, as a script does."""
    cause, lines = end_of(tmp_path, "Raises")

    assert cause == "exit 1"
    assert "Traceback (most recent call last):" in lines
    assert lines[-1] == "ValueError: a has had enough"
