"""How the commands write: lines for people, JSON for programs. An edge: it owns stdout.

JSON is pure ASCII, one document a line, so that no locale can spoil it. Text for people is shown
with control characters made visible: a journal entry must not be able to drive a terminal.
"""

import json
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from hourbook.words import cut_to

__all__ = ["emit", "emit_json", "emit_rows", "emit_wrapped", "is_terminal", "terminal_width"]


def emit(text: str = "") -> None:
    """Write one line, at once: `tail -f` is read by other programs."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def emit_rows(lines: Iterable[str]) -> None:
    """Write the lines of a table: each is cut where the line of the terminal ends, if there is one.

    In a pipe they are whole.
    """
    width = terminal_width()
    for line in lines:
        emit(line if width is None else cut_to(line, width))


def emit_wrapped(lines: Iterable[str], *, indent: int) -> None:
    """Write lines whose text begins at column `indent`, and goes on there where they are long."""
    width = terminal_width()
    for line in lines:
        if width is None or len(line) <= width:
            emit(line)
        else:
            room = max(width - indent, 20)
            parts = textwrap.wrap(line[indent:], room, break_on_hyphens=False)
            emit(line[:indent] + f"\n{' ' * indent}".join(parts))


def emit_json(document: Mapping[str, Any]) -> None:
    """Write one JSON document on one line."""
    emit(json.dumps(document, allow_nan=False))


def is_terminal() -> bool:
    """Say whether a person is looking."""
    return sys.stdout.isatty()


def terminal_width() -> int | None:
    """Return how many columns the terminal has that a person looks at; None: nobody looks."""
    return os.get_terminal_size(sys.stdout.fileno()).columns or None if is_terminal() else None
