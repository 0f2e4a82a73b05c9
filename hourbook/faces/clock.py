"""The clock as agents see it: UTC with a hard interval and a status, read from shared memory.

    clock = Clock()
    reading = clock.now()
    reading.earliest_ns <= true_utc_ns <= reading.latest_ns

Nothing is asked of anybody: a reading costs about as much as ``time.time_ns()``. Status is data,
not an exception: a caller that needs a synchronized clock waits for one. The only errors are that
there is no segment at all (when the clock is opened), and a wait that took too long.

Importing this imports neither sockets nor numpy.
"""

import os
import time
from collections.abc import Callable
from enum import Enum
from typing import Final

from hourbook.home import Home, find_home
from hourbook.hybrid_clock import process_clock
from protocols import errors
from shm._core import Reading, Snapshot
from shm.layout import UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS, Flag, Status
from shm.reader import TimeReader

__all__ = [
    "UNBOUNDED_EARLIEST_NS",
    "UNBOUNDED_LATEST_NS",
    "Clock",
    "Flag",
    "Order",
    "Reading",
    "Snapshot",
    "Status",
]

_NS: Final = 1_000_000_000
_SYSTEM_TIME_S_MAX: Final = 9e9
"""2^63 nanoseconds, less what lies between 1970 and now."""
_NAP_MAX_S: Final = 0.5
"""Longest sleep towards a time: a step or a slew may have moved it meanwhile."""
_NAP_MIN_S: Final = 0.000_05
_STATUS_NAP_S: Final = 0.02
"""The page has no futex (a wake-up at 100 Hz would cost more than the clock): status is polled."""


class Order(Enum):
    """How two instants lie to each other."""

    BEFORE = "before"
    AFTER = "after"
    CONCURRENT = "concurrent"
    """Their intervals overlap: nobody can tell."""


class Clock(TimeReader):
    """UTC for one process; threads may share it, and a forked child may go on using it.

    Attributes:
        now: ``now() -> Reading``: `time_ns`, `earliest_ns`, `latest_ns`, `sigma_ns`, `status`.
        time_ns: ``time_ns() -> int``: UTC in nanoseconds, monotonic within a step epoch.
        at: ``at(raw_ns) -> Reading``: UTC when CLOCK_MONOTONIC_RAW read, or will read, `raw_ns`.
        uncertainty_ns: ``uncertainty_ns(ahead_s=0) -> int | None``: how far UTC can be from
            `time_ns` `ahead_s` (seconds, 0..1e9) from now; None where there is no bound.
        snapshot: ``snapshot() -> Snapshot``: every field of the time page, by name.

    An unbounded interval reads UNBOUNDED_EARLIEST_NS..UNBOUNDED_LATEST_NS: ``before`` and ``after``
    are then False, ``compare`` CONCURRENT, and waits want a time-out.
    """

    __slots__ = ()

    def __init__(self, home: Home | str | os.PathLike[str] | None = None) -> None:
        """Open the clock of a home (default: as :func:`hourbook.home.find_home` finds it).

        Raises:
            ClockUnavailable: no tree has run here since boot, or it was stopped.
            UnsupportedVersion: the tree runs another version of Hourbook.
        """
        found = home if isinstance(home, Home) else find_home(home)
        super().__init__(found.segment)

    def time(self) -> float:
        """Return UTC in seconds, as ``time.time()`` does (a float steps by 238 ns today)."""
        return self.time_ns() / _NS

    def time_at(self, system_time: float) -> float:
        """Return UTC in seconds when the kernel's clock, ``time.time()``, read `system_time`.

        For stamps that were taken from the kernel's clock, such as those in logs:
        ``clock.time_at(time.time())`` is ``clock.time()``. Both clocks are read together now, and
        the stamp is counted back from there; so it is as right as the kernel's clock ran evenly
        since. If that was set or slewed meanwhile, an earlier stamp is wrong by as much. The hard
        interval is that of ``at``, for which nothing but CLOCK_MONOTONIC_RAW is asked.

        Raises:
            BadRequest: `system_time` is not in 0..9e9.
        """
        if not 0 <= system_time <= _SYSTEM_TIME_S_MAX:
            raise errors.BadRequest(
                f"Expected `system_time` in 0..{_SYSTEM_TIME_S_MAX:g} s, got {system_time!r}",
                field="system_time",
            )
        raw_ns, realtime_ns = _read_together()
        ago_ns = realtime_ns - round(system_time * _NS)
        return self.at(raw_ns - ago_ns).time_ns / _NS

    def before(self, time_ns: int) -> bool:
        """Say whether it is certainly earlier than `time_ns` (UTC) now."""
        return _is_earlier(self.now().latest_ns, time_ns)

    def after(self, time_ns: int) -> bool:
        """Say whether it is certainly later than `time_ns` (UTC) now."""
        return _is_earlier(time_ns, self.now().earliest_ns)

    @staticmethod
    def compare(first: Reading | int, second: Reading | int) -> Order:
        """Say how `first` lies to `second`; an int is an exact time (UTC, ns)."""
        first_earliest_ns, first_latest_ns = _ends(first)
        second_earliest_ns, second_latest_ns = _ends(second)
        if _is_earlier(first_latest_ns, second_earliest_ns):
            return Order.BEFORE
        if _is_earlier(second_latest_ns, first_earliest_ns):
            return Order.AFTER
        return Order.CONCURRENT

    def wait_until(self, time_ns: int, timeout_s: float | None = None) -> Reading:
        """Sleep until the estimate reaches `time_ns` (UTC); return the reading that did.

        Raises:
            WaitTimeout: not within `timeout_s`.
            BadRequest: no `timeout_s` while the interval is unbounded.
        """
        return self._wait(
            lambda reading: time_ns - reading.time_ns, timeout_s, f"UTC to reach {time_ns} ns"
        )

    def wait_until_after(self, time_ns: int, timeout_s: float | None = None) -> Reading:
        """Sleep until `time_ns` (UTC) has certainly passed; return the reading that says so.

        This is the commit wait of Spanner (Corbett et al., OSDI 2012, 4.1.2): who waits until its
        timestamp is past everywhere may let others see what it stamped.

        Raises:
            WaitTimeout: not within `timeout_s`.
            BadRequest: no `timeout_s` while the interval is unbounded.
        """
        return self._wait(
            lambda reading: time_ns + 1 - reading.earliest_ns,
            timeout_s,
            f"UTC to be after {time_ns} ns",
        )

    def wait_synchronized(self, timeout_s: float) -> Reading:
        """Sleep until the status is SYNCHRONIZED; return the reading that says so.

        Raises:
            WaitTimeout: not within `timeout_s`.
        """
        end_s = time.monotonic() + timeout_s
        while (reading := self.now()).status is not Status.SYNCHRONIZED:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise errors.WaitTimeout(
                    f"Expected a synchronized clock within {timeout_s:g} s,"
                    f" got {reading.status.name}",
                    hint="`hourbook clock why` says why",
                )
            time.sleep(min(left_s, _STATUS_NAP_S))
        return reading

    def hlc(self, received: int | None = None) -> int:
        """Return the hybrid logical time of a local event, or of receiving one stamped `received`.

        Each number is greater than all that this process has issued or received before, those of
        the entries that it logged included.

        Raises:
            BadRequest: `received` is out of range or more than a minute ahead of this clock.
        """
        return process_clock.issue(self.time_ns, received)

    def _wait(
        self, remaining_ns: Callable[[Reading], int], timeout_s: float | None, what: str
    ) -> Reading:
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while (left_ns := remaining_ns(reading := self.now())) > 0:
            nap_s = min(max(left_ns / _NS, _NAP_MIN_S), _NAP_MAX_S)
            if end_s is None:
                _refuse_unbounded(reading, what)
            else:
                left_s = end_s - time.monotonic()
                if left_s <= 0:
                    raise errors.WaitTimeout(
                        f"Expected {what} within {timeout_s:g} s,"
                        f" got {reading.time_ns} ns with status {reading.status.name}"
                    )
                nap_s = min(nap_s, left_s)
            time.sleep(nap_s)
        return reading


def _read_together() -> tuple[int, int]:
    """Return CLOCK_MONOTONIC_RAW and CLOCK_REALTIME at one instant: the tightest of a few."""
    readings = []
    for _ in range(3):
        before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        realtime_ns = time.time_ns()
        after_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        readings.append((after_ns - before_ns, (before_ns + after_ns) // 2, realtime_ns))
    return min(readings)[1:]


def _ends(instant: Reading | int) -> tuple[int, int]:
    if isinstance(instant, Reading):
        return instant.earliest_ns, instant.latest_ns
    return instant, instant


def _is_earlier(end_ns: int, beginning_ns: int) -> bool:
    """Say whether one interval ends before another begins; an end without a bound never does."""
    is_bounded = end_ns != UNBOUNDED_LATEST_NS and beginning_ns != UNBOUNDED_EARLIEST_NS
    return is_bounded and end_ns < beginning_ns


def _refuse_unbounded(reading: Reading, what: str) -> None:
    if reading.latest_ns == UNBOUNDED_LATEST_NS or reading.earliest_ns == UNBOUNDED_EARLIEST_NS:
        raise errors.BadRequest(
            f"Expected `timeout_s` to wait for {what}, got None while the interval is unbounded"
            f" (status {reading.status.name})",
            field="timeout_s",
        )
