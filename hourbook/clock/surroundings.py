"""Looking at what may break the clock from outside: suspend, migration, foreign steps. An edge.

A look costs some microseconds: every file stays open and is read again from its beginning, which
makes the kernel write it anew.
"""

import os
import time
from typing import Final

from hourbook.clock.disruption import Surroundings
from hourbook.timebase import Timebase

__all__ = ["BOOT_ID_PATH", "CLOCKSOURCE_PATH", "Lookout", "VmClock"]

CLOCKSOURCE_PATH: Final = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
BOOT_ID_PATH: Final = "/proc/sys/kernel/random/boot_id"
_WORD_BYTES_MAX: Final = 64
_BRACKET_NS_MAX: Final = 100_000
"""Two clocks cannot be read at once; a look that took longer than this was interrupted."""
_LOOKS_MAX: Final = 8


class Lookout:
    """Takes looks at the machine."""

    def __init__(
        self,
        timebase: Timebase,
        vmclock_path: str,
        *,
        clocksource_path: str = CLOCKSOURCE_PATH,
        boot_id_path: str = BOOT_ID_PATH,
    ) -> None:
        self._timebase = timebase
        self._vmclock = VmClock(vmclock_path)
        self._clocksource = _KernelWord(clocksource_path)
        self._boot_id = _KernelWord(boot_id_path)

    def look(self) -> Surroundings:
        """Take one look."""
        for _ in range(_LOOKS_MAX):
            before_ns = self._timebase.raw_ns()
            monotonic_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            wall_ns = self._timebase.wall_ns()
            if self._timebase.raw_ns() - before_ns <= _BRACKET_NS_MAX:
                break
        return Surroundings(
            raw_ns=before_ns,
            suspended_ns=boottime_ns - monotonic_ns,
            realtime_minus_raw_ns=wall_ns - before_ns,
            vmclock_marker=self._vmclock.marker(),
            clocksource=self._clocksource.read(),
            boot_id=self._boot_id.read(),
        )

    def close(self) -> None:
        """Release the descriptors."""
        self._vmclock.close()
        self._clocksource.close()
        self._boot_id.close()


class VmClock:
    """The disruption marker of ``/dev/vmclock0``: it changes when the machine was migrated.

    Source: struct vmclock_abi in Linux's include/uapi/linux/vmclock-abi.h, 104 bytes: magic at 0,
    a count at 12 that is odd while the hypervisor writes, marker at 16; little-endian.
    """

    _MAGIC: Final = b"VCLK"
    _SIZE: Final = 104
    _COUNT: Final = slice(12, 16)
    _MARKER: Final = slice(16, 24)

    def __init__(self, path: str) -> None:
        self._descriptor = _opened(path)
        self._marker: int | None = None

    def marker(self) -> int | None:
        """Return the marker, None where there is none; the last one while it is being written."""
        before, after = self._read(), self._read()
        if not after.startswith(self._MAGIC) or len(after) < self._SIZE:
            return None
        if before[self._COUNT] == after[self._COUNT] and not after[self._COUNT.start] & 1:
            self._marker = int.from_bytes(after[self._MARKER], "little")
        return self._marker

    def close(self) -> None:
        """Release the descriptor."""
        self._descriptor = _closed(self._descriptor)

    def _read(self) -> bytes:
        return _read(self._descriptor, self._SIZE)


class _KernelWord:
    """A file of the kernel's that holds one word."""

    def __init__(self, path: str) -> None:
        self._descriptor = _opened(path)

    def read(self) -> str:
        """Return the word, "" where it cannot be read."""
        return _read(self._descriptor, _WORD_BYTES_MAX).decode("ascii", "replace").strip()

    def close(self) -> None:
        """Release the descriptor."""
        self._descriptor = _closed(self._descriptor)


def _opened(path: str) -> int:
    """Open a file that need not exist; -1 where it does not."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else -1
    except OSError:
        return -1


def _read(descriptor: int, size: int) -> bytes:
    try:
        return os.pread(descriptor, size, 0) if descriptor >= 0 else b""
    except OSError:
        return b""


def _closed(descriptor: int) -> int:
    if descriptor >= 0:
        os.close(descriptor)
    return -1
