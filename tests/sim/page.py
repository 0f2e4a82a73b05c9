"""A reader of the time page in plain integers, by the rules of docs/SEGMENT.md.

The C reader reads the machine's own clocks, which a simulation has not. `test_simulator.py` holds
this one to it.
"""

from typing import Final, NamedTuple

from hourbook.clock import publication
from shm.layout import UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS, Status, TimePage

__all__ = ["Reading", "TimePage", "anchored", "read"]

_NS: Final = 1_000_000_000
_FRESH_NS: Final = 5 * _NS
_FRESH_POLLS: Final = 4
_SUSPEND_NS_MIN: Final = 20_000_000


class Reading(NamedTuple):
    """What ``Clock.now()`` returns, without sigma."""

    time_ns: int
    earliest_ns: int
    latest_ns: int
    status: Status

    @property
    def is_bounded(self) -> bool:
        """There is an interval."""
        return self.earliest_ns != UNBOUNDED_EARLIEST_NS


def anchored(proposal: TimePage, current: TimePage | None, as_of_raw_ns: int) -> TimePage:
    """Return the page that a proposal becomes (``page_anchor`` in shm/time_page.h).

    A proposal of another epoch than the current page's is a step.
    """
    centre_ns = publication.base_ns(proposal, as_of_raw_ns)
    is_step = current is None or proposal.epoch != current.epoch
    output_ns = centre_ns if current is None else publication.output_ns(current, as_of_raw_ns)
    if is_step:
        output_ns = centre_ns
    earliest_off_ns, latest_off_ns = proposal.earliest_off_ns, proposal.latest_off_ns
    if proposal.is_bounded:
        grown_ns = _grown(proposal, as_of_raw_ns)
        earliest_off_ns += centre_ns - grown_ns - output_ns
        latest_off_ns += centre_ns + grown_ns - output_ns
    return proposal._replace(
        as_of_raw_ns=as_of_raw_ns,
        utc_at_as_of_ns=output_ns,
        earliest_off_ns=earliest_off_ns,
        latest_off_ns=latest_off_ns,
        last_step_raw_ns=as_of_raw_ns if is_step else proposal.last_step_raw_ns,
    )


def read(page: TimePage, raw_ns: int, now_raw_ns: int, suspended_ns: int) -> Reading:
    """Read a page about `raw_ns`, at `now_raw_ns`, BOOTTIME - MONOTONIC being `suspended_ns`."""
    is_suspended = abs(suspended_ns - page.boottime_minus_monotonic_ns) >= _SUSPEND_NS_MIN
    status = _status(page, raw_ns, now_raw_ns, is_suspended=is_suspended)
    output_ns = publication.output_ns(page, raw_ns)
    if not page.is_bounded or is_suspended or raw_ns < page.last_step_raw_ns:
        return Reading(output_ns, UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS, status)
    base_ns = publication.base_ns(page, raw_ns)
    growth_ns = _grown(page, raw_ns) + (raw_ns != page.as_of_raw_ns)
    earliest_ns, latest_ns = publication.across_leap(
        page, base_ns + page.earliest_off_ns - growth_ns, base_ns + page.latest_off_ns + growth_ns
    )
    return Reading(output_ns, min(earliest_ns, output_ns), max(latest_ns, output_ns), status)


def _grown(page: TimePage, raw_ns: int) -> int:
    return -(-abs(raw_ns - page.as_of_raw_ns) * page.growth_ppb // _NS)


def _status(page: TimePage, raw_ns: int, now_raw_ns: int, *, is_suspended: bool) -> Status:
    if page.status == Status.UNKNOWN or max(raw_ns, now_raw_ns) >= page.void_after_raw_ns:
        return Status.UNKNOWN
    if raw_ns < page.last_step_raw_ns:
        return Status.UNKNOWN
    if is_suspended:
        return Status.DISRUPTED
    if page.status != Status.SYNCHRONIZED:
        return Status(page.status)
    is_fresh = (
        now_raw_ns - page.published_raw_ns <= _FRESH_NS
        and now_raw_ns - page.last_sample_raw_ns <= _FRESH_POLLS * page.poll_ns
    )
    return Status.SYNCHRONIZED if is_fresh else Status.FREE_RUNNING
