"""`supervisor top`: the status as a full screen that refreshes itself. An edge.

Reads the keyboard without waiting for Enter, and gives the terminal back as it was, however it
ends.
"""

import contextlib
import select
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hourbook.home import Home
from protocols import errors
from protocols.control import Status
from supervisor import render
from supervisor.client import Client

__all__ = ["screen", "show"]

_REFRESH_S: Final = 1.0
_STYLES: Final = {
    "READY": "green",
    "DEGRADED": "yellow",
    "GAVE_UP": "bold red",
    "BACKOFF": "red",
    "EXITED": "dim",
    "DISABLED": "dim",
}


def show(home: Home) -> None:
    """Show the tree until q or Ctrl-C.

    Raises:
        BadRequest: there is no terminal to draw on.
        SupervisorUnreachable: it does not run, or went away.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise errors.BadRequest(
            "Expected a terminal, got a file or a pipe", hint="use `supervisor status --json`"
        )
    console = Console()
    with Client(home) as client, _keys_unbuffered():
        status = client.status()
        with Live(
            screen(status, console.width), console=console, screen=True, auto_refresh=False
        ) as live:
            while not _quit_pressed(_REFRESH_S):
                live.update(screen(client.status(), console.width), refresh=True)


def screen(status: Status, width: int) -> Group:
    """Return one status as what fills a screen that is `width` columns wide."""
    own = status.supervisor
    head = Text(
        f"hourbook {own.version}  {own.state}  pid {own.pid}  up {render.age(own.uptime_s)}"
        f"  {render.mebibytes(own.rss_bytes)}  {own.home}",
        style="bold",
    )
    table = Table(expand=True, box=None, header_style="reverse")
    rows = [render.row_cells(row) for row in status.actors]
    shown = render.fitting_columns([render.COLUMNS, *rows], width - 2)  # rich has a margin
    for name in (render.COLUMNS[i] for i in shown):
        is_number = name in render.RIGHT
        ratio = 1 if name == "CAUSE" else None
        table.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=name != "CAUSE",
            ratio=ratio,
            overflow="ellipsis",
        )
    for row, texts in zip(status.actors, rows, strict=True):
        cells = [Text(text) for text in texts]
        cells[1].stylize(_STYLES.get(row.state, "cyan"))
        table.add_row(*(cells[i] for i in shown))
    endpoints = [Text(render.endpoints_text(row)) for row in status.actors if row.endpoints]
    summary = Text(render.summary_line(status))
    return Group(head, summary, Text(), table, Text(), *endpoints, Text("q quits", style="dim"))


@contextlib.contextmanager
def _keys_unbuffered() -> Iterator[None]:
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _quit_pressed(timeout_s: float) -> bool:
    ready, _, _ = select.select([sys.stdin], [], [], timeout_s)
    if not ready:
        return False
    key = sys.stdin.read(1)
    return key in ("q", "Q", "")
