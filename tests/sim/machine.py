"""The clocks of the simulated machine, and what befalls them.

Simulated time is `true_ns`: the nanoseconds that have really passed, by an atomic clock. UTC is
that count, less a second from a leap second on. CLOCK_MONOTONIC_RAW is the oscillator;
CLOCK_MONOTONIC counts time awake; CLOCK_REALTIME follows the oscillator, is off, and is set by
others now and then.
"""

from collections.abc import Iterator
from typing import Final

from hourbook.clock.disruption import Surroundings
from hourbook.clock.kernel import Reading
from sim.oscillator import Oscillator, Stretch

__all__ = ["S_NS", "Machine"]

S_NS: Final = 1_000_000_000
BRACKET_NS: Final = 120
"""Between two readings of RAW around one of REALTIME."""


class Machine:
    """Clocks as functions of true time, which must not run backwards."""

    def __init__(
        self,
        stretches: Iterator[Stretch],
        begin_ns: int,
        raw_ns: int,
        wall_error_ns: int,
        leap_ns: int | None,
    ) -> None:
        self._oscillator = Oscillator(stretches, begin_ns, raw_ns)
        self._begin_ns = begin_ns
        self._leap_ns = leap_ns
        self._wall_minus_raw_ns = begin_ns + wall_error_ns - raw_ns
        self.suspended_ns = 0
        """BOOTTIME - MONOTONIC."""

    def utc_ns(self, true_ns: int) -> int:
        """Return UTC: what an honest interval contains."""
        is_past_leap = self._leap_ns is not None and true_ns >= self._leap_ns
        return true_ns - S_NS if is_past_leap else true_ns

    def raw_ns(self, true_ns: int) -> int:
        """Return CLOCK_MONOTONIC_RAW."""
        return self._oscillator.raw_ns(true_ns)

    def mono_ns(self, true_ns: int) -> int:
        """Return CLOCK_MONOTONIC, counted from the beginning."""
        return true_ns - self._begin_ns - self.suspended_ns

    def at_mono_ns(self, mono_ns: int) -> int:
        """Return when CLOCK_MONOTONIC will read `mono_ns`, if nobody sleeps before."""
        return mono_ns + self._begin_ns + self.suspended_ns

    def wall_ns(self, true_ns: int) -> int:
        """Return CLOCK_REALTIME."""
        return self.raw_ns(true_ns) + self._wall_minus_raw_ns

    def clocks(self, true_ns: int) -> Reading:
        """Return what ``exchange.read_clocks`` does."""
        return Reading(self.raw_ns(true_ns), self.wall_ns(true_ns), bracket_ns=BRACKET_NS)

    def surroundings(self, true_ns: int) -> Surroundings:
        """Return what ``surroundings.look_around`` does."""
        return Surroundings(
            raw_ns=self.raw_ns(true_ns),
            suspended_ns=self.suspended_ns,
            realtime_minus_raw_ns=self._wall_minus_raw_ns,
        )

    def sleep(self, from_ns: int, until_ns: int) -> None:
        """Suspend: RAW stands still, and the kernel adds the time asleep to REALTIME."""
        self._oscillator.sleep(from_ns, until_ns)
        self.suspended_ns += until_ns - from_ns
        self._wall_minus_raw_ns += until_ns - from_ns

    def step_wall(self, step_ns: int) -> None:
        """Set REALTIME, as a person or another daemon does."""
        self._wall_minus_raw_ns += step_ns
