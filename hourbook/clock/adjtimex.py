"""Edge: ask the kernel what it thinks of its own clock. Reading needs no privilege.

Only Linux has adjtimex(2); elsewhere, and in sandboxes that forbid it, the answer says so.
"""

import ctypes
import errno
import os
from typing import Final

from hourbook.clock.kernel import KernelClock

__all__ = ["read_kernel_clock"]

_US_NS: Final = 1000


class _Timex(ctypes.Structure):
    """struct timex of <sys/timex.h>; the tail is padding that the kernel may fill one day."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("padding", ctypes.c_int * 64),
    )


def read_kernel_clock() -> KernelClock:
    """Return the kernel's answer; never raises."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except AttributeError:
        return KernelClock(refused="ENOSYS")
    answer = _Timex()
    state = adjtimex(ctypes.byref(answer))
    if state < 0:
        number = ctypes.get_errno()
        return KernelClock(refused=errno.errorcode.get(number, os.strerror(number)))
    return KernelClock(
        state=state, status=answer.status, maxerror_ns=max(answer.maxerror, 0) * _US_NS
    )
