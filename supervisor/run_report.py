"""What `supervisor start` shows while the tree comes up, runs and goes down. Pure.

Events and statuses go in, lines for a person come out; when they are drawn, and whether a terminal
is there to draw on, is :mod:`supervisor.run_display`'s business.
"""

from collections.abc import Collection, Iterable
from typing import Final

from protocols.control import Event, Status
from supervisor import render
from supervisor.turns import ROOT

__all__ = ["Report"]

_MS_NS: Final = 1_000_000
_SHOWN: Final = frozenset(
    {"ready", "degraded", "disabled", "exited", "backoff", "gave_up", "start_failed"}
)
_UP: Final = frozenset({"ready", "degraded"})
_COLOURS: Final = {"READY": "32", "DEGRADED": "33", "DISABLED": "2"}
_COLOUR_BAD: Final = "31"


class Report:
    """The lines of one run.

    Args:
        actors: names of the actors of the tree.
        has_colour: mark states with ANSI colours.
    """

    def __init__(self, actors: Collection[str], *, has_colour: bool) -> None:
        self._actors = set(actors)
        self._has_colour = has_colour
        self._began_mono_ns: dict[str, int] = {}
        self._first_mono_ns: int | None = None
        self._last_mono_ns = 0
        self._is_up = False
        self._stopping_mono_ns: int | None = None

    def feed(self, events: Iterable[Event], status: Status | None) -> list[str]:
        """Take in what happened and how things are since; return the lines to print."""
        endpoints: dict[str, dict[str, str]] = {}
        if status is not None:
            self._actors.update(row.name for row in status.actors)
            endpoints = {row.name: row.endpoints for row in status.actors}
        lines = []
        for event in events:
            if self._first_mono_ns is None:
                self._first_mono_ns = event.mono_ns
            self._last_mono_ns = event.mono_ns
            if (event.name, event.event) == (ROOT, "stopping"):
                self._stopping_mono_ns = event.mono_ns
                lines.append("stopping, last started first")
            if event.event == "run_dir_lost":
                lines.append(f"error: {event.detail}")
            if event.name in self._actors:
                lines += self._lines(event, endpoints.get(event.name, {}))
        if status is not None:
            lines += self._turning_points(status)
        return lines

    def waiting_line(self, status: Status) -> str:
        """Return whom an ordered stop still waits for, "" where nobody stops."""
        waiting = render.find_waiting(status)
        return f"stopping: waiting for {', '.join(waiting)}" if waiting else ""

    def end(self) -> list[str]:
        """Return the last line, when nothing runs any more."""
        if self._stopping_mono_ns is None:
            return ["stopped"] if self._first_mono_ns is not None else []
        return [f"stopped in {(self._last_mono_ns - self._stopping_mono_ns) / 1e9:.2f} s"]

    @property
    def _is_stopping(self) -> bool:
        return self._stopping_mono_ns is not None

    def _lines(self, event: Event, endpoints: dict[str, str]) -> list[str]:
        if event.event == "starting":
            self._began_mono_ns[event.name] = event.mono_ns
        if event.event not in _SHOWN or (self._is_stopping and event.cause == "requested"):
            return []
        parts = [f"  {event.name:<16}", self._paint(event.event.upper())]
        if event.event in _UP and event.name in self._began_mono_ns:
            took_ns = event.mono_ns - self._began_mono_ns.pop(event.name)
            parts.append(f"{took_ns // _MS_NS:5} ms")
        if event.event in _UP:
            parts += map(render.one_line, endpoints.values())
        first, *others = event.detail.splitlines() or [""]
        if first[:1] == " ":  # in the midst of a traceback
            first, others = "", [first, *others]
        parts += [render.one_line(text) for text in (event.cause, first) if text]
        return ["  ".join(parts), *(f"      {render.one_line(line)}" for line in others)]

    def _turning_points(self, status: Status) -> Iterable[str]:
        if not self._is_up and status.supervisor.state in ("READY", "DEGRADED"):
            self._is_up = True
            took_s = (self._last_mono_ns - (self._first_mono_ns or 0)) / 1e9
            yield f"up in {took_s:.2f} s: {render.count_states(status.actors)}"

    def _paint(self, state: str) -> str:
        text = f"{state:<9}"
        if not self._has_colour:
            return text
        return f"\x1b[{_COLOURS.get(state, _COLOUR_BAD)}m{text}\x1b[0m"
