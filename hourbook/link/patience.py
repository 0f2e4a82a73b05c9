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
    """What the last wait has taught, for one thread at a time."""

    __slots__ = ("_awake_until_ns", "_began_ns", "_is_quick", "_monotonic_ns", "_yield_processor")

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        yield_processor: Callable[[], None] = os.sched_yield,
    ) -> None:
        self._monotonic_ns, self._yield_processor = monotonic_ns, yield_processor
        self._is_quick = True
        self._began_ns = self._awake_until_ns = 0

    def begin(self, until_ns: int) -> None:
        """Begin to wait for an answer, until CLOCK_MONOTONIC `until_ns` at most."""
        self._began_ns = self._monotonic_ns()
        if self._is_quick:
            self._awake_until_ns = min(self._began_ns + AWAKE_NS, until_ns)

    def end(self) -> None:
        """Learn from a wait that has ended, one way or the other."""
        self._is_quick = self._monotonic_ns() - self._began_ns < AWAKE_NS
        self._awake_until_ns = 0

    def await_input(self, poll: select.poll, timeout_ns: int) -> list[tuple[int, int]]:
        """Return the descriptors of `poll` that are ready; [] when `timeout_ns` have passed."""
        while self._monotonic_ns() < self._awake_until_ns:
            if ready := poll.poll(0):  # lets other threads run, which sched_yield may not
                return ready
            self._yield_processor()
        return poll.poll(max(1, timeout_ns // _MS_NS))
