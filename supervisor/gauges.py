"""What a process uses, as the kernel counts it: resident memory and processor time. An edge."""

from collections import deque
from typing import Any, Final

from supervisor import portable

__all__ = ["Gauges"]

WINDOW_NS: Final = 5_000_000_000
"""The load is that of so long; shorter, and it would jump with every beat."""
_SAMPLES_MAX: Final = 64


class Gauges:
    """Memory and load by pid.

    The load of a span needs what was used at its beginning, so it is noted at every beat, whoever
    asks: one system call a second for each actor.
    """

    def __init__(self) -> None:
        self._used: dict[int, deque[tuple[int, int]]] = {}  # when, processor time (ns)
        self._processes: dict[int, Any] = {}

    def note(self, pid: int, now_mono_ns: int) -> None:
        """Note what a process has used so far."""
        used = self._used.setdefault(pid, deque(maxlen=_SAMPLES_MAX))
        used_ns = portable.processor_time_ns(pid)
        if used_ns is None:
            return
        used.append((now_mono_ns, used_ns))
        while len(used) > 1 and now_mono_ns - used[1][0] >= WINDOW_NS:
            used.popleft()

    def load_percent(self, pid: int, now_mono_ns: int) -> float:
        """Return the share of one processor over the last seconds (percent), 0 when it is gone."""
        used = self._used.get(pid)
        used_ns = portable.processor_time_ns(pid)
        if not used or used_ns is None or now_mono_ns <= used[0][0]:
            return 0.0
        since_ns, before_ns = used[0]
        return round(100 * (used_ns - before_ns) / (now_mono_ns - since_ns), 1)

    def rss_bytes(self, pid: int) -> int:
        """Return the resident memory of a process, 0 when it is gone."""
        import psutil  # noqa: PLC0415 - only a supervisor that is asked needs it

        try:
            process = self._processes.get(pid) or psutil.Process(pid)
            rss_bytes: int = process.memory_info().rss
        except psutil.Error:
            self._processes.pop(pid, None)
            return 0
        self._processes[pid] = process
        return rss_bytes

    def forget(self, pid: int) -> None:
        """Forget a process that has ended."""
        self._used.pop(pid, None)
        self._processes.pop(pid, None)
