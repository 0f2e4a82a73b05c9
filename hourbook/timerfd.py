"""A timerfd: times that the kernel keeps, as a descriptor that can be watched.

A fractional time-out of a poll wakes early and spins the rest (9 % of a core at 100 Hz, measured);
a timerfd wakes once. And who is asleep in a poll need not be woken to wait for less long. Python
has it from 3.13 on; before that we ask libc.
"""

import ctypes
import functools
import os
import sys
from typing import Final

__all__ = ["Timerfd"]

_NS: Final = 1_000_000_000
_CLOCK_MONOTONIC: Final = 1


class Timerfd:
    """Ticks every `period_ns` (nanoseconds, >= 0) from when it is set; 0: not before it is told."""

    def __init__(self, period_ns: int = 0) -> None:
        self.descriptor = _create()
        if period_ns:
            self.set_period(period_ns)

    def set_period(self, period_ns: int) -> None:
        """Tick at another rate from now on (nanoseconds, > 0)."""
        _set(self.descriptor, period_ns, period_ns)

    def tick_once(self, delay_ns: int) -> None:
        """Tick after `delay_ns` (nanoseconds, > 0), and then no more."""
        _set(self.descriptor, delay_ns, 0)

    def stop(self) -> None:
        """Tick no more, and forget the ticks that were not heard."""
        _set(self.descriptor, 0, 0)

    def ticks(self) -> int:
        """Return how many ticks there were since the last call, 0 for none."""
        try:
            return int.from_bytes(os.read(self.descriptor, 8), sys.byteorder)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self.descriptor)


if sys.version_info >= (3, 13):

    def _create() -> int:
        return os.timerfd_create(_CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

    def _set(descriptor: int, first_ns: int, period_ns: int) -> None:
        os.timerfd_settime_ns(descriptor, initial=first_ns, interval=period_ns)

else:
    _libc = ctypes.CDLL(None, use_errno=True)

    def _create() -> int:
        descriptor: int = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        return descriptor

    def _set(descriptor: int, first_ns: int, period_ns: int) -> None:
        if _libc.timerfd_settime(descriptor, 0, _times(first_ns, period_ns), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    @functools.lru_cache(maxsize=16)  # an alarm is set to the same few times again and again
    def _times(first_ns: int, period_ns: int) -> "ctypes.Array[ctypes.c_long]":
        return (ctypes.c_long * 4)(*divmod(period_ns, _NS), *divmod(first_ns, _NS))
