"""What a process uses, as the kernel counts it: resident memory and processor time. An edge."""

from typing import Any

__all__ = ["Gauges"]


class Gauges:
    """Memory and load by pid; the load is that since the last time it was asked for."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Any, float, int]] = {}  # process, CPU seconds, when

    def rss_bytes(self, pid: int) -> int:
        """Return the resident memory of a process, 0 when it is gone."""
        return self.read(pid, 0)[0]

    def read(self, pid: int, now_ns: int) -> tuple[int, float]:
        """Return (resident bytes, percent of one processor), zeros when it is gone.

        Args:
            pid: of the process.
            now_ns: monotonic time; 0 leaves the load unmeasured.
        """
        import psutil  # noqa: PLC0415 - only a supervisor that is asked needs it

        try:
            process, used_s, since_ns = self._seen.get(pid) or (psutil.Process(pid), 0.0, 0)
            rss_bytes: int = process.memory_info().rss
            if not now_ns:
                return rss_bytes, 0.0
            times = process.cpu_times()
        except psutil.Error:
            self._seen.pop(pid, None)
            return 0, 0.0
        total_s = times.user + times.system
        self._seen[pid] = (process, total_s, now_ns)
        elapsed_s = (now_ns - since_ns) / 1e9
        percent = 100 * (total_s - used_s) / elapsed_s if since_ns and elapsed_s > 0 else 0.0
        return rss_bytes, round(percent, 1)

    def forget(self, pid: int) -> None:
        """Forget a process that has ended."""
        self._seen.pop(pid, None)
