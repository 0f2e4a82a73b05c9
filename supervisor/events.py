"""The supervisor's event log: the last thousand lines, and the last hundred exits. Bounded."""

from collections import deque
from collections.abc import Callable
from typing import Final

from hourbook.timebase import Timebase
from protocols.control import Event

__all__ = ["EVENTS_MAX", "EXITS_MAX", "REPLY_EVENTS_MAX", "EventLog"]

EVENTS_MAX: Final = 1000
EXITS_MAX: Final = 100
REPLY_EVENTS_MAX: Final = 200
"""In one answer: whoever follows asks again for the rest, and a reply stays small."""


class EventLog:
    """Numbers events from 1, keeps the newest, and tells one listener at once."""

    def __init__(self, timebase: Timebase, on_event: Callable[[Event], None] | None) -> None:
        self._timebase = timebase
        self._on_event = on_event
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self.exits: deque[Event] = deque(maxlen=EXITS_MAX)
        self.last_seq = 0

    def record(
        self,
        name: str,
        event: str,
        *,
        pid: int = 0,
        incarnation: int = 0,
        cause: str = "",
        detail: str = "",
    ) -> Event:
        """Add one line."""
        self.last_seq += 1
        line = Event(
            seq=self.last_seq,
            time_wall_ns=self._timebase.wall_ns(),
            mono_ns=self._timebase.mono_ns(),
            name=name,
            event=event,
            pid=pid,
            incarnation=incarnation,
            cause=cause,
            detail=detail,
        )
        self._events.append(line)
        if event == "exited" and incarnation:  # of a process, not of a node
            self.exits.append(line)
        if self._on_event is not None:
            self._on_event(line)
        return line

    def since(self, seq: int) -> list[Event]:
        """Return the oldest events after `seq`, at most REPLY_EVENTS_MAX of them.

        Exits are kept for longer than the rest. A gap in the numbers says that some are not kept.
        """
        first_seq = self._events[0].seq if self._events else 0
        old_exits = [event for event in self.exits if seq < event.seq < first_seq]
        found = old_exits + [event for event in self._events if event.seq > seq]
        return found[:REPLY_EVENTS_MAX]
