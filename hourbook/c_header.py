"""Where the clock's header for C and C++ was installed."""

from pathlib import Path
from typing import Final

import shm

__all__ = ["clock_header"]

_HEADER: Final = Path(*shm.__path__) / "include" / "hourbook_clock.h"


def clock_header() -> Path:
    """Return the path of ``hourbook_clock.h``, which reads the clock from C11 and C++17.

    ``cc -I"$(python -c 'import hourbook; print(hourbook.clock_header().parent)')" program.c``
    """
    return _HEADER
