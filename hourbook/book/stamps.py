"""What time an entry gets: Hourbook's clock, with its bound, from the shared segment.

Until the clock has been published, or where it can promise nothing, the kernel's time is used and
the bound says so. The book never waits for the clock: order is seq, and always was.
"""

from typing import Final

from hourbook.book.journal import Stamp
from hourbook.home import Home
from hourbook.timebase import Timebase
from protocols import errors
from protocols.entry import BOUND_UNBOUNDED_NS
from shm._core import Reading
from shm.layout import UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS
from shm.reader import TimeReader

__all__ = ["StampSource"]

REOPEN_NS: Final = 1_000_000_000


class StampSource:
    """Reads the clock of one home; for one thread."""

    def __init__(self, home: Home, timebase: Timebase) -> None:
        self._home = home
        self._timebase = timebase
        self._clock: TimeReader | None = None
        self._retry_mono_ns = 0

    def read(self) -> Stamp:
        """Return UTC and its bound (nanoseconds), at this instant."""
        clock = self._clock or self._open()
        if clock is not None:
            return stamp_of(clock.now())
        return Stamp(self._timebase.wall_ns(), BOUND_UNBOUNDED_NS)

    def time_ns(self) -> int:
        """Return UTC alone."""
        clock = self._clock or self._open()
        return self._timebase.wall_ns() if clock is None else clock.time_ns()

    def _open(self) -> TimeReader | None:
        now_ns = self._timebase.mono_ns()
        if now_ns < self._retry_mono_ns:
            return None
        self._retry_mono_ns = now_ns + REOPEN_NS
        try:
            self._clock = TimeReader(self._home.segment)
        except errors.HourbookError:
            return None
        return self._clock


def stamp_of(reading: Reading) -> Stamp:
    """Return a reading as a time and the larger distance to an end of its interval."""
    time_ns, earliest_ns, latest_ns = reading.time_ns, reading.earliest_ns, reading.latest_ns
    if earliest_ns == UNBOUNDED_EARLIEST_NS or latest_ns == UNBOUNDED_LATEST_NS:
        return Stamp(time_ns, BOUND_UNBOUNDED_NS)
    return Stamp(time_ns, max(latest_ns - time_ns, time_ns - earliest_ns, 0))
