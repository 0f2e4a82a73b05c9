"""Draw the report of a foreground run while the tree's loop turns in the main thread. An edge.

The loop hands over each event and goes on at once; a thread draws. A terminal that stands still
(Ctrl-S, a full pipe) stops this thread alone, never the loop that watches the actors.
"""

import os
import queue
import shutil
import sys
import threading
from collections.abc import Collection
from typing import Final, Self, TextIO

from hourbook.home import Home
from protocols import errors
from protocols.control import Event, Status
from supervisor.client import Client
from supervisor.render import summary_line
from supervisor.run_report import Report

__all__ = ["Reporter"]

_REFRESH_S: Final = 1.0
_ASK_S: Final = 0.3
_LOOK_S: Final = 0.02
"""A loop that has ended does not answer; the last lines must not wait for it longer than that."""
_JOIN_S: Final = 2.0
_CLEAR_LINE: Final = "\r\x1b[2K"


class Reporter:
    """Reports while its ``with`` block runs.

    Args:
        home: of the tree that is run.
        actors: names of its actors.
        banner: printed first, as soon as anything happens.
        out: where to draw; the status line is drawn on a terminal only.
    """

    def __init__(
        self,
        home: Home,
        actors: Collection[str],
        *,
        banner: str = "",
        out: TextIO | None = None,
    ) -> None:
        self._home = home
        self._banner = banner
        self._out = sys.stdout if out is None else out
        self._is_terminal = self._out.isatty() and os.environ.get("TERM") != "dumb"
        has_colour = self._is_terminal and "NO_COLOR" not in os.environ
        self._report = Report(actors, has_colour=has_colour)
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._line = ""
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._events.put(None)
        # A terminal that stands still must not keep a stopped supervisor alive.
        self._thread.join(_JOIN_S)

    def note(self, event: Event) -> None:
        """Take in one event; called from the loop."""
        self._events.put(event)

    def _run(self) -> None:
        try:
            while (events := self._wait()) is not None:
                if self._banner and events:
                    self._print(self._banner)
                    self._banner = ""
                status = self._ask()
                for line in self._report.feed(events, status):
                    self._print(line)
                if not events and status is not None:
                    self._refresh(status)
            self._draw("")
            for line in self._report.end():
                self._print(line)
        except (OSError, ValueError):
            pass  # nobody reads what we print

    def _wait(self) -> list[Event] | None:
        """Return what happened, [] after a quiet second, None at the end."""
        try:
            first = self._events.get(timeout=_REFRESH_S)
        except queue.Empty:
            return []
        events: list[Event] = []
        while first is not None:
            events.append(first)
            if self._events.empty():
                return events
            first = self._events.get()
        self._events.put(None)  # to be met again, when what came before it is drawn
        return events or None

    def _ask(self) -> Status | None:
        try:
            with Client(self._home) as client:
                return client.status(_ASK_S, tick_s=_LOOK_S)
        except errors.WorldError:
            return None  # not open yet, or closed already

    def _refresh(self, status: Status) -> None:
        if waiting := self._report.waiting_line(status):
            self._print(waiting)
        elif self._is_terminal:
            self._draw(summary_line(status))

    def _print(self, line: str) -> None:
        kept = self._line
        self._draw("")
        self._out.write(f"{line}\n")
        self._out.flush()
        self._draw(kept)

    def _draw(self, line: str) -> None:
        """Replace the one line at the bottom; "" takes it away."""
        if not self._is_terminal or (not line and not self._line):
            return
        width = shutil.get_terminal_size().columns
        self._line = line[: width - 1]
        self._out.write(f"{_CLEAR_LINE}{self._line}")
        self._out.flush()
