"""Simulated time: what happens next, in order; nothing happens while the machine sleeps."""

import heapq
from collections.abc import Callable
from random import Random

__all__ = ["Event", "Events"]

Event = Callable[[int], None]
"""What happens, called with the true time at which it does."""
_WAKING_NS = 1_000_000


class Events:
    """A queue by true time; events of one instant happen in the order of their planning."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._queue: list[tuple[int, int, Event]] = []
        self._planned = 0
        self._asleep_until_ns = 0

    def at(self, true_ns: int, event: Event) -> None:
        """Plan an event."""
        self._planned += 1
        heapq.heappush(self._queue, (true_ns, self._planned, event))

    def sleep(self, until_ns: int) -> None:
        """Put off what would happen before; it happens within a millisecond of waking up."""
        self._asleep_until_ns = until_ns

    def run(self, end_ns: int) -> None:
        """Let everything happen that happens before the end."""
        while self._queue and self._queue[0][0] < end_ns:
            true_ns, _, event = heapq.heappop(self._queue)
            if true_ns < self._asleep_until_ns:
                self.at(self._asleep_until_ns + self._rng.randrange(_WAKING_NS), event)
            else:
                event(true_ns)
