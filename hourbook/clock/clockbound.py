"""What a ClockBound client is told of CLOCK_REALTIME, from the page and the clocks. Pure.

Hourbook speaks of UTC against CLOCK_MONOTONIC_RAW; a ClockBound client reads CLOCK_REALTIME and
wants to know how wrong that can be. With [E, L] the hard interval at the instant at which both were
read, and R what REALTIME said:

    bound = max(L - R, R - E)       that is at most |output - R| + the hard bound about the output

It grows with the client's time by `max_drift`: by the growth of the interval, and by what REALTIME
may be slewed meanwhile. That is not ours to know, so 500 ppm, the most that the kernel's own
discipline does, is added to what it was seen to do last.
"""

from typing import Final, NamedTuple

from hourbook.clock import publication, status
from hourbook.clock.status import Status
from shm.clockbound import ClockBoundRecord
from shm.layout import TimePage

__all__ = ["BOUND_NS_MAX", "REALTIME_SLEW_PPB", "Clocks", "record"]

REALTIME_SLEW_PPB: Final = 500_000
BOUND_NS_MAX: Final = 10**18
"""Says "unbounded" in a protocol that has no word for it; a client adds to it without overflow."""
_PPB_MAX: Final = (1 << 32) - 1
_NS: Final = 1_000_000_000


class Clocks(NamedTuple):
    """One look at every clock that matters here.

    Attributes:
        raw_ns: CLOCK_MONOTONIC_RAW.
        realtime_ns: CLOCK_REALTIME at the same instant, within bracket_ns.
        bracket_ns: how far apart the two can have been read.
        coarse_ns: CLOCK_MONOTONIC_COARSE, not later.
    """

    raw_ns: int
    realtime_ns: int
    bracket_ns: int
    coarse_ns: int


def record(
    page: TimePage | None, now: Clocks, before: Clocks | None, vmclock_marker: int | None
) -> ClockBoundRecord:
    """Return what to publish now.

    Args:
        page: in force; None before the first.
        now: the clocks.
        before: the clocks at the last record, None before the first.
        vmclock_marker: of /dev/vmclock0, None where there is none.
    """
    page = page or TimePage()
    known = _status(page, now.raw_ns)
    bound_ns = _bound_ns(page, now)
    if bound_ns >= BOUND_NS_MAX and known in (Status.SYNCHRONIZED, Status.FREE_RUNNING):
        known = Status.UNKNOWN
    return ClockBoundRecord(
        as_of_ns=now.coarse_ns,
        void_after_ns=now.coarse_ns + max(page.void_after_raw_ns - now.raw_ns, 0),
        bound_ns=min(bound_ns, BOUND_NS_MAX),
        disruption_marker=vmclock_marker or 0,
        max_drift_ppb=min(page.growth_ppb + _slew_ppb(now, before), _PPB_MAX),
        status=int(known),
        has_disruption_support=vmclock_marker is not None,
    )


def _status(page: TimePage, raw_ns: int) -> Status:
    """Return the page's status as a reader would see it: a dead model must not look alive."""
    void_after_s = (page.void_after_raw_ns - page.last_sample_raw_ns) // _NS
    age_ns = raw_ns - page.last_sample_raw_ns
    return status.at_age(Status(page.status), age_ns, page.poll_ns // _NS, void_after_s)


def _bound_ns(page: TimePage, now: Clocks) -> int:
    if not page.is_bounded:
        return BOUND_NS_MAX
    line_ns = publication.base_ns(page, now.raw_ns)
    growth_ns = -(-abs(now.raw_ns - page.as_of_raw_ns) * page.growth_ppb // _NS) + 1
    earliest_ns = line_ns + page.earliest_off_ns - growth_ns
    latest_ns = line_ns + page.latest_off_ns + growth_ns
    earliest_ns, latest_ns = publication.across_leap(page, earliest_ns, latest_ns)
    return max(latest_ns - now.realtime_ns, now.realtime_ns - earliest_ns) + now.bracket_ns


def _slew_ppb(now: Clocks, before: Clocks | None) -> int:
    """Return how fast REALTIME may move against RAW until the next record."""
    if before is None or now.raw_ns <= before.raw_ns:
        return REALTIME_SLEW_PPB
    elapsed_ns = now.raw_ns - before.raw_ns
    moved_ns = now.realtime_ns - before.realtime_ns - elapsed_ns
    return REALTIME_SLEW_PPB + -(-abs(moved_ns) * _NS // elapsed_ns)
