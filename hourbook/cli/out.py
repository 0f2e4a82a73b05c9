"""How the commands write: lines for people, JSON for programs. An edge: it owns stdout.

JSON is pure ASCII, one document a line, so that no locale can spoil it. Text for people is shown
with control characters made visible: a journal entry must not be able to drive a terminal.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["emit", "emit_json", "is_terminal", "terminal_width"]


def emit(text: str = "") -> None:
    """Write one line, at once: `tail -f` is read by other programs."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def emit_json(document: Mapping[str, Any]) -> None:
    """Write one JSON document on one line."""
    emit(json.dumps(document, allow_nan=False))


def is_terminal() -> bool:
    """Say whether a person is looking."""
    return sys.stdout.isatty()


def terminal_width() -> int | None:
    """Return how many columns the terminal has that a person looks at; None: nobody looks."""
    return os.get_terminal_size(sys.stdout.fileno()).columns or None if is_terminal() else None
