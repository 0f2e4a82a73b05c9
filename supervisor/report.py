"""What `supervisor start` shows while the tree comes up, runs and goes down. Pure.

Events and statuses go in, lines for a person come out; when they are drawn, and whether a terminal
is there to draw on, is :mod:`supervisor.reporter`'s business.
"""

from collections.abc import Iterable
from typing import Final

from protocols.control import ActorRow, Event, Status
from supervisor import render

__all__ = ["Report"]

_MS_NS: Final = 1_000_000
_SHOWN: Final = {
    "ready": "READY",
    "degraded": "DEGRADED",
    "disabled": "DISABLED",
    "exited": "EXITED",
    "backoff": "BACKOFF",
    "gave_up": "GAVE_UP",
}
_COLOURS: Final = {"READY": "32", "DEGRADED": "33", "DISABLED": "2"}
_COLOUR_BAD: Final = "31"


class Report:
    """The lines of one run.

    Args:
        has_colour: mark states with ANSI colours.
    """

    def __init__(self, *, has_colour: bool) -> None:
        self._has_colour = has_colour
        self._began_mono_ns: dict[str, int] = {}
        self._first_mono_ns: int | None = None
        self._is_up = False

    def feed(self, events: Iterable[Event], status: Status) -> list[str]:
        """Take in what happened and how things are since; return the lines to print."""
        rows = {row.name: row for row in status.actors}
        lines = []
        for event in events:
            if self._first_mono_ns is None:
                self._first_mono_ns = event.mono_ns
            if event.name in rows:
                line = self._line(event, rows[event.name])
                if line:
                    lines.append(line)
            last_mono_ns = event.mono_ns
        if not self._is_up and status.actors and render.is_settled(status):
            self._is_up = True
            first = self._first_mono_ns or 0
            took_s = (last_mono_ns - first) / 1e9 if lines else 0.0
            lines.append(f"up in {took_s:.2f} s: {render.count_states(status.actors)}")
        return lines

    def waiting_line(self, status: Status) -> str:
        """Return whom an ordered stop still waits for, "" where nobody stops."""
        waiting = render.find_waiting(status)
        return f"stopping: waiting for {', '.join(waiting)}" if waiting else ""

    def _line(self, event: Event, row: ActorRow) -> str:
        if event.event == "starting":
            self._began_mono_ns[event.name] = event.mono_ns
            return ""
        state = _SHOWN.get(event.event)
        if state is None:
            return ""
        parts = [f"  {event.name:<16}", self._paint(state)]
        if state in ("READY", "DEGRADED") and event.name in self._began_mono_ns:
            took_ns = event.mono_ns - self._began_mono_ns.pop(event.name)
            parts.append(f"{took_ns // _MS_NS:5} ms")
        if state == "READY":
            parts += row.endpoints.values()
        parts += [text for text in (event.cause, event.detail) if text]
        return "  ".join(part if "\x1b" in part else render.one_line(part) for part in parts)

    def _paint(self, state: str) -> str:
        text = f"{state:<9}"
        if not self._has_colour:
            return text
        return f"\x1b[{_COLOURS.get(state, _COLOUR_BAD)}m{text}\x1b[0m"
