"""How a client waits for an answer: awake while one is likely within moments, asleep otherwise.

To sleep and be woken can cost far more than the wait itself: an idle processor is switched off,
and the interrupt of the disk, the writer and its clients are then late one after the other
(``docs/adr/0031``). So who was answered quickly the last time stays awake for a moment, giving its
processor away at every look (``sched_yield``): whoever has work to do runs first, and only time
that nobody wants is spent. One late answer ends that, one quick answer brings it back.
"""

import os
import select
import time
from collections.abc import Callable
from typing import Final

__all__ = ["AWAKE_NS", "Patience"]

AWAKE_NS: Final = 2_000_000
"""An answer is quick within this, and nobody stays awake for longer. A durable entry takes 0.3 ms
on an idle machine and 1 ms where eight processes write at once."""
_MS_NS: Final = 1_000_000


class Patience:
    """What the last wait has taught, for one thread at a time.

    Attributes:
        began_ns: CLOCK_MONOTONIC when the wait for an answer began; whoever waits says so.
    """

    __slots__ = ("_is_quick", "_monotonic_ns", "_yield_processor", "began_ns")

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        yield_processor: Callable[[], None] = os.sched_yield,
    ) -> None:
        self._monotonic_ns, self._yield_processor = monotonic_ns, yield_processor
        self._is_quick = True
        self.began_ns = 0

    def await_input(self, poll: select.poll, timeout_ns: int) -> list[tuple[int, int]]:
        """Return the descriptors of `poll` that are ready; [] when `timeout_ns` have passed."""
        now_ns, sleeps_at_ns = self._monotonic_ns(), self.began_ns + AWAKE_NS
        until_ns = min(now_ns + timeout_ns, sleeps_at_ns)
        while self._is_quick and now_ns < until_ns:
            if ready := poll.poll(0):  # lets other threads run, which sched_yield may not
                return ready
            self._yield_processor()
            now_ns = self._monotonic_ns()
        ready = poll.poll(max(1, timeout_ns // _MS_NS))
        self._is_quick = self._monotonic_ns() < sleeps_at_ns
        return ready
