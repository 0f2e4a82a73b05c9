"""The publisher's second page: the same clock for ClockBound clients. An edge, off by default.

Owns one file (``shm.clockbound``). It looks at every clock itself, twice a second, so that one look
late is still once a second. A path that is not ours makes the actor DEGRADED; it tries again.
"""

import logging
import time
from pathlib import Path
from typing import Final

from actors.contract import Reactor
from actors.timers import Timer
from hourbook.clock import clockbound
from hourbook.clock.clockbound import Clocks
from protocols import errors
from shm.clockbound import ClockBoundFile
from shm.layout import TimePage

__all__ = ["PERIOD_S", "ClockBoundExport"]

PERIOD_S: Final = 0.5
RETRY_S: Final = 5.0
_COARSE: Final = 6
"""CLOCK_MONOTONIC_COARSE, which Python's ``time`` has no name for."""

_log = logging.getLogger(__name__)


class ClockBoundExport:
    """Publishes at one path from :meth:`start` to :meth:`stop`."""

    def __init__(self, path: Path, reactor: Reactor) -> None:
        self._path = path
        self._reactor = reactor
        self._file: ClockBoundFile | None = None
        self._before: Clocks | None = None
        self._page: TimePage | None = None
        self._vmclock_marker: int | None = None
        self._timer: Timer | None = None

    def start(self) -> None:
        """Take the path, and publish from now on."""
        try:
            self._file = ClockBoundFile(self._path)
        except errors.HourbookError as error:
            self._retry(error)
            return
        self._reactor.recover()
        self._retime(self._reactor.every(PERIOD_S, self._publish))
        self._publish()

    def tell(self, page: TimePage, vmclock_marker: int | None) -> None:
        """Say what to publish next time; a change of status does not wait for that."""
        has_changed = self._page is None or page.status != self._page.status
        self._page, self._vmclock_marker = page, vmclock_marker
        if has_changed and self._file is not None:
            self._publish()

    def stop(self) -> None:
        """Give the path up; clients keep the last record until it is void."""
        self._retime(None)
        if self._file is not None:
            self._file.close()
            self._file = None

    def _publish(self) -> None:
        assert self._file is not None, "published only while there is a file"
        now = _look()
        record = clockbound.record(self._page, now, self._before, self._vmclock_marker)
        self._before = now
        try:
            self._file.publish(record)
        except errors.HourbookError as error:
            self.stop()
            self._retry(error)

    def _retry(self, error: errors.HourbookError) -> None:
        _log.warning("%s", error)
        self._reactor.degrade(str(error))
        self._retime(self._reactor.after(RETRY_S, self.start))

    def _retime(self, timer: Timer | None) -> None:
        """Let another timer, or none, take the place of the last one."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer


def _look() -> Clocks:
    """Read all clocks; the coarse one first, so that it is not later than the others."""
    coarse_ns = time.clock_gettime_ns(_COARSE)
    before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    realtime_ns = time.time_ns()
    after_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    return Clocks(before_ns, realtime_ns, after_ns - before_ns, coarse_ns)
