"""A process that runs SQL of strangers confines itself: memory, files, and an end in any case.

SQLite checks its own limits between the steps of a statement. What one step can do (compare two
texts of 20 MiB at every offset, expand nested views a billion times) it cannot be stopped at. A
command is a process of its own and can end itself; a library must not do that to its caller.
"""

import os
import resource
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hourbook.cli import exit_codes

__all__ = ["Confinement"]

MEMORY_BYTES_MAX: Final = 1 << 30
"""Address space beyond what the process has when it confines itself."""
FILE_BYTES_MAX: Final = 2 << 30
"""Of each file that sorting spills to, or that the result is written to."""
GRACE_S: Final = 1.0


class Confinement:
    """A context in which the process may not take longer than a time, or it ends (exit code 7)."""

    def __init__(self, timeout_s: float) -> None:
        """Prepare: `timeout_s` seconds, and a little more for a query to end by itself."""
        self._timeout_s = timeout_s
        self._timer = threading.Timer(timeout_s + GRACE_S, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        size = pages * resource.getpagesize()
        _lower(resource.RLIMIT_AS, size + MEMORY_BYTES_MAX)
        _lower(resource.RLIMIT_FSIZE, FILE_BYTES_MAX)
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        sys.stderr.write(f"hourbook: Expected an answer within {self._timeout_s:g} s, got none\n")
        sys.stderr.flush()
        os._exit(exit_codes.TIMED_OUT)


def _lower(limit: int, value: int) -> None:
    """Lower a soft limit; one that is lower already stays."""
    soft, hard = resource.getrlimit(limit)
    bounds = [bound for bound in (value, soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(limit, (min(bounds), hard))
