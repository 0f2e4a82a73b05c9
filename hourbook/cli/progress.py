"""How far long work has come, on one line of a terminal, and nowhere else. An edge: stderr."""

import sys
import time
from typing import Final, Self

__all__ = ["ProgressLine", "bar_text"]

REDRAW_S: Final = 0.1
BAR_WIDTH: Final = 30


def bar_text(stage: str, done: int, total: int) -> str:
    """Return how far `done` of `total` (>= 1) has come, as a bar."""
    filled = "#" * (BAR_WIDTH * done // total)
    return f"{stage} [{filled:<{BAR_WIDTH}}] {100 * done // total:>3} %"


class ProgressLine:
    """Says what is being done and how much of it is done; silent where nobody looks.

    A context manager: at the end of its block the line is as it was.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._is_shown = not quiet and sys.stderr.isatty()
        self._drawn_s = 0.0
        self._width = 0

    def show(self, stage: str, done: int, total: int) -> None:
        """Say that `done` of `total` (0: not known) is done, at most ten times a second."""
        now_s = time.monotonic()
        if not self._is_shown or (now_s - self._drawn_s < REDRAW_S and done != total):
            return
        self._drawn_s = now_s
        self._draw(bar_text(stage, done, total) if total else f"{stage} {done}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            self._draw("")
            sys.stderr.write("\r")
            sys.stderr.flush()
            self._width = 0

    def _draw(self, text: str) -> None:
        sys.stderr.write(f"\r{text:<{self._width}}")
        sys.stderr.flush()
        self._width = len(text)
