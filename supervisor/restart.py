"""How often, and how soon: OTP's restart window and full-jitter delays. Pure; time is an argument.

The two answer different questions. The window counts every attempt to restart in one node and says
when restarting has become pointless (``supervisor(3erl)``, "Maximum Restart Intensity"). The delays
spread the attempts of one actor, so that what it depends on has time to come back ("Exponential
Backoff And Jitter", M. Brooker, 2015: the full-jitter form).
"""

import random
from collections import deque
from typing import Final

from supervisor.spec import Backoff, backoff_ceiling_s

__all__ = ["Delays", "Window"]

_S_NS: Final = 1_000_000_000


class Window:
    """The restarts of one node within its period."""

    __slots__ = ("_times_ns", "intensity", "period_ns")

    def __init__(self, intensity: int, period_s: float) -> None:
        self.intensity = intensity
        self.period_ns = round(period_s * _S_NS)
        self._times_ns: deque[int] = deque(maxlen=intensity + 1)

    def add(self, now_ns: int) -> bool:
        """Count one attempt; return whether there are now more than `intensity` in the period."""
        self._times_ns.append(now_ns)
        return self.count(now_ns) > self.intensity

    def count(self, now_ns: int) -> int:
        """Return the attempts of the last period, at most intensity + 1."""
        while self._times_ns and now_ns - self._times_ns[0] > self.period_ns:
            self._times_ns.popleft()
        return len(self._times_ns)

    def clear(self) -> None:
        """Forget them: the node itself has started again."""
        self._times_ns.clear()


class Delays:
    """The delays before the restarts of one actor: none, then longer and longer at random."""

    __slots__ = ("_attempt", "_backoff")

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._attempt = 0

    def next_ns(self, ready_for_ns: int, rng: random.Random) -> int:
        """Return the delay before the next restart (nanoseconds).

        Args:
            ready_for_ns: how long the actor had been ready; ``reset_s`` of it forgives the past.
            rng: where the jitter comes from.
        """
        if ready_for_ns >= self._backoff.reset_s * _S_NS:
            self._attempt = 0
        ceiling_s = backoff_ceiling_s(self._backoff, self._attempt)
        self._attempt += 1
        return round(rng.uniform(0.0, ceiling_s) * _S_NS) if ceiling_s else 0

    def reset(self) -> None:
        """Begin again: a person asked for the restart, or the node started again."""
        self._attempt = 0
