"""What figures depend on beside our code: the Python, and how much of the machine was there for it.

A virtual machine shares its processors with others. What those take whole is counted ("steal",
proc(5)); what they slow down is not, and shows in how long the same loop takes by turns.
"""

import os
import platform
import sqlite3
import time
from pathlib import Path
from typing import Final

__all__ = ["MACHINE", "Machine"]

_TURNS: Final = 50_000
_STEAL: Final = 7
"""Its place among the times of ``/proc/stat``."""
_UNEVEN: Final = 1.5
"""So much longer than at best the loop takes as a rule where neighbours are at work."""
_STOLEN_MAX: Final = 0.01


class Machine:
    """How fast and how free this machine is, as looks at it between measurements tell."""

    def __init__(self) -> None:
        """Look for the first time."""
        self._turns_ns: list[float] = []
        self._times = _processor_times()
        self.look()

    def look(self) -> None:
        """Take the time of a loop that is always the same: about a millisecond."""
        began_ns = time.perf_counter_ns()
        for _ in range(_TURNS):
            pass
        self._turns_ns.append((time.perf_counter_ns() - began_ns) / _TURNS)

    def describe(self) -> str:
        """Return what the figures depend on; a Python not built for speed costs a fifth."""
        self.look()
        turns_ns = sorted(self._turns_ns)
        fast, middle, slow = turns_ns[0], turns_ns[len(turns_ns) // 2], turns_ns[-1]
        stolen = _share_stolen(self._times, _processor_times())
        said = (
            f"Python {platform.python_version()} ({platform.python_compiler()}),"
            f" SQLite {sqlite3.sqlite_version}, {os.cpu_count()} processors\n"
            f"a turn of an empty loop took {fast:.1f} to {slow:.1f} ns, {middle:.1f} as a rule;"
            f" {stolen:.1%} of the processors' time went to others"
        )
        if middle > _UNEVEN * fast or stolen > _STOLEN_MAX:
            said += "\nThis machine was busy with something else: measure again when it is not."
        return said


def _processor_times() -> list[int]:
    """Return what all processors together did so far, in ticks; [] where nobody counts it."""
    try:
        return [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return []


def _share_stolen(before: list[int], after: list[int]) -> float:
    ticks = [later - earlier for earlier, later in zip(before, after, strict=True)]
    return ticks[_STEAL] / sum(ticks) if sum(ticks) else 0.0


MACHINE: Final = Machine()
"""This one; ``_measure`` looks at it before each figure."""
