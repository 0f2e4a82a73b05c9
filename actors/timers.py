"""A heap of monotonic timers: what is due, and when to wake for the next. Knows no clock."""

import heapq
import itertools
from collections.abc import Callable

__all__ = ["Timer", "Timers"]


class Timer:
    """One call in the future; :meth:`cancel` takes it back."""

    __slots__ = ("callback", "period_ns")

    def __init__(self, callback: Callable[[], None], period_ns: int) -> None:
        self.callback: Callable[[], None] | None = callback
        self.period_ns = period_ns

    def cancel(self) -> None:
        """Never call it (again)."""
        self.callback = None


class Timers:
    """Timers by due time; equal times fire in the order in which they were added."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._order = itertools.count()

    def add(self, due_mono_ns: int, callback: Callable[[], None], period_ns: int = 0) -> Timer:
        """Call back at `due_mono_ns`, and every `period_ns` after it unless that is 0."""
        timer = Timer(callback, period_ns)
        heapq.heappush(self._heap, (due_mono_ns, next(self._order), timer))
        return timer

    def next_due_ns(self) -> int | None:
        """Return the monotonic time of the next timer that is not cancelled, None without one."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def fire(self, now_mono_ns: int) -> int:
        """Call everything that is due; return how many.

        A periodic timer that is late by whole periods fires once and keeps its phase: a process
        that was stopped for a minute does not owe sixty calls.
        """
        count = 0
        while self._heap and self._heap[0][0] <= now_mono_ns:
            due_ns, _, timer = heapq.heappop(self._heap)
            callback, period_ns = timer.callback, timer.period_ns
            if callback is None:
                continue
            if period_ns:
                missed = (now_mono_ns - due_ns) // period_ns
                next_ns = due_ns + (missed + 1) * period_ns
                heapq.heappush(self._heap, (next_ns, next(self._order), timer))
            callback()
            count += 1
        return count
