"""Looking at what may break the clock from outside: suspend, migration, foreign steps. An edge."""

import os
import time
from typing import Final

from hourbook.clock.disruption import Surroundings
from hourbook.timebase import Timebase

__all__ = ["VmClock", "look_around"]

_MAGIC: Final = b"VCLK"
_MARKER: Final = slice(16, 24)
_BRACKET_NS_MAX: Final = 100_000
"""Two clocks cannot be read at once; a look that took longer than this was interrupted."""
_LOOKS_MAX: Final = 8


class VmClock:
    """The disruption marker of ``/dev/vmclock0``: it changes when the machine was migrated.

    Source: struct vmclock_abi in Linux's include/uapi/linux/vmclock-abi.h: magic at 0, marker at
    16, little-endian. Most machines have none; then the marker is always 0.
    """

    def __init__(self, path: str) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else -1
        except OSError:
            self._descriptor = -1

    def marker(self) -> int:
        """Return the marker, 0 where there is none."""
        if self._descriptor < 0:
            return 0
        data = os.pread(self._descriptor, _MARKER.stop, 0)
        return int.from_bytes(data[_MARKER], "little") if data.startswith(_MAGIC) else 0

    def close(self) -> None:
        """Release the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def look_around(timebase: Timebase, vmclock: VmClock) -> Surroundings:
    """Take one look."""
    for _ in range(_LOOKS_MAX):
        before_ns = timebase.raw_ns()
        monotonic_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall_ns = timebase.wall_ns()
        if timebase.raw_ns() - before_ns <= _BRACKET_NS_MAX:
            break
    return Surroundings(
        suspended_ns=boottime_ns - monotonic_ns,
        realtime_minus_raw_ns=wall_ns - before_ns,
        vmclock_marker=vmclock.marker(),
    )
