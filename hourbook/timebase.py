"""The three clocks of a process as one parameter, so that every decision can be tested.

Monotonic time is for deadlines and survives every step of the wall clock; raw time is the
oscillator as it is, the scale on which Hourbook models UTC; wall time is what the kernel believes,
for display only.
"""

import time
from typing import Protocol

__all__ = ["SystemTimebase", "Timebase"]


class Timebase(Protocol):
    """Where time comes from."""

    def mono_ns(self) -> int:
        """Return CLOCK_MONOTONIC in nanoseconds: for deadlines and intervals."""

    def raw_ns(self) -> int:
        """Return CLOCK_MONOTONIC_RAW in nanoseconds: the oscillator, undisciplined."""

    def wall_ns(self) -> int:
        """Return CLOCK_REALTIME in nanoseconds since 1970: what the kernel believes."""


class SystemTimebase:
    """The kernel's clocks: CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW and CLOCK_REALTIME."""

    __slots__ = ()

    mono_ns = staticmethod(time.monotonic_ns)
    wall_ns = staticmethod(time.time_ns)

    def raw_ns(self) -> int:
        """Return CLOCK_MONOTONIC_RAW."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
