"""Draw the report of a foreground run while the tree's loop turns in the main thread. An edge.

A thread that asks over the control socket like any other client: a terminal that stands still
(Ctrl-S, a full pipe) stops this thread alone, never the loop that watches the actors.
"""

import os
import shutil
import sys
import threading
import time
from typing import Final, Self, TextIO

from hourbook.home import Home
from protocols import errors
from protocols.control import Status
from supervisor.client import Client, Interrupted
from supervisor.render import summary_line
from supervisor.report import Report

__all__ = ["Reporter"]

_CONNECT_EVERY_S: Final = 0.02
_JOIN_S: Final = 2.0
_CLEAR_LINE: Final = "\r\x1b[2K"


class Reporter:
    """Reports while its ``with`` block runs."""

    def __init__(self, home: Home, out: TextIO | None = None) -> None:
        self._home = home
        self._out = sys.stdout if out is None else out
        self._is_terminal = self._out.isatty() and os.environ.get("TERM") != "dumb"
        has_colour = self._is_terminal and "NO_COLOR" not in os.environ
        self._report = Report(has_colour=has_colour)
        self._interrupt_fd, self._interrupt = os.pipe()
        self._ended = threading.Event()
        self._line = ""
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        os.close(self._interrupt)  # its other end can be read from now on
        # A terminal that stands still must not keep a stopped supervisor alive.
        self._thread.join(_JOIN_S)
        if not self._thread.is_alive():
            os.close(self._interrupt_fd)

    def _run(self) -> None:
        try:
            client = self._connect()
            if client is None:
                return
            with client:
                self._follow(client)
        except (Interrupted, errors.WorldError):
            pass  # the tree has ended, or is about to
        except (OSError, ValueError):
            pass  # nobody reads what we print
        finally:
            self._draw("")

    def _connect(self) -> Client | None:
        """Connect as soon as the control socket is there."""
        while not self._ended.wait(_CONNECT_EVERY_S):
            try:
                return Client(self._home, self._interrupt_fd)
            except errors.SupervisorUnreachable:
                continue
        return None

    def _follow(self, client: Client) -> None:
        seen = 0
        drawn_s = 0.0
        while not self._ended.is_set():
            events = client.events(seen)
            seen = events[-1].seq if events else seen
            is_due = time.monotonic() - drawn_s >= 1
            if not events and not is_due:
                continue
            status = client.status()
            for line in self._report.feed(events, status):
                self._print(line)
            if is_due:
                drawn_s = time.monotonic()
                self._show(status)

    def _show(self, status: Status) -> None:
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
