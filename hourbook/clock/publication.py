"""From an estimate and the page that readers have to the page they get next. Pure integers.

The output that agents read is not the estimate itself but a line that follows it without ever
running backwards. With e the estimate's centre minus the output, at the instant of deciding:

    |e| > step_threshold, or the estimate begins an epoch   ->  step: output = centre, a new epoch
    |e| <= 2 ns                                             ->  no slew: rounding makes that much
    otherwise                                               ->  slew by e in one second, at most at
                                                                slew_ppb_max, until e is made up

The slew is decided anew with each publication, so the output approaches the centre with a time
constant of a second; a publisher that dies leaves a slew that ends by itself. The hard interval
belongs to the estimate and is never slewed: about a slewed output it is lopsided, and where the
output lies outside the page says SLEWING and readers widen the interval to include it.

What this returns is a proposal: the line of UTC itself. The C core anchors it (``time_page.h``),
because as_of must be read inside the update.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from protocols.clock_messages import FLAG_SLEWING, STATUS_DISRUPTED, ClockEstimate
from shm.layout import UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS, TimePage

__all__ = [
    "Proposal",
    "Settings",
    "across_leap",
    "base_ns",
    "centre_ns",
    "disown",
    "output_ns",
    "propose",
]

_NS: Final = 1_000_000_000
_RATE_SHIFT: Final = 48
_STATUS_MASK: Final = 0xFF
_WORD_MASK: Final = 0xFFFF_FFFF
ROUNDING_NS: Final = 2
SLEW_SPAN_NS: Final = _NS


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator decides; units and ranges in ``ShmPublisherConfig``."""

    slew_ppb_max: int = 500_000
    step_threshold_ns: int = 128_000_000


class Proposal(NamedTuple):
    """The line of UTC for ``shm.writer.TimeWriter.publish``."""

    page: TimePage
    is_step: bool


def propose(
    estimate: ClockEstimate,
    current: TimePage | None,
    now_raw_ns: int,
    settings: Settings,
    *,
    suspended_ns: int = 0,
    vmclock_marker: int = 0,
    is_disrupted: bool = False,
) -> Proposal:
    """Return what to publish at `now_raw_ns`, `current` being what readers have.

    Args:
        estimate: the newest one.
        current: the page in force, None before the first.
        now_raw_ns: CLOCK_MONOTONIC_RAW.
        settings: limits of slewing.
        suspended_ns: BOOTTIME - MONOTONIC, which readers compare.
        vmclock_marker: of /dev/vmclock0, 0 where there is none.
        is_disrupted: the estimate is from before a disruption: its interval means nothing now.
    """
    centre = centre_ns(estimate, now_raw_ns)
    error_ns = 0 if current is None else centre - output_ns(current, now_raw_ns)
    is_step = current is None or _begins_epoch(estimate, current, error_ns, settings)
    slew_ppb, slew_end_raw_ns = (0, 0) if is_step else _slew(error_ns, now_raw_ns, settings)
    earliest_off_ns, latest_off_ns = _interval(estimate, now_raw_ns)
    flags, status = estimate.flags & ~FLAG_SLEWING, estimate.status
    if is_disrupted:
        earliest_off_ns, latest_off_ns = UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS
        status = STATUS_DISRUPTED
    elif not is_step and not earliest_off_ns <= -error_ns <= latest_off_ns:
        flags |= FLAG_SLEWING
    before = current or TimePage()
    page = TimePage(
        as_of_raw_ns=now_raw_ns,
        utc_at_as_of_ns=centre,
        rate=estimate.rate,
        slew_ppb=slew_ppb,
        slew_end_raw_ns=slew_end_raw_ns,
        state=(before.epoch + is_step) << 32 | flags << 8 | status,
        void_after_raw_ns=estimate.last_sample_raw_ns + estimate.void_after_s * _NS,
        earliest_off_ns=earliest_off_ns,
        latest_off_ns=latest_off_ns,
        growth_ppb=estimate.growth_ppb,
        sigma_offset_ns=estimate.sigma_offset_ns,
        sigma_rate_ppb=estimate.sigma_rate_ppb,
        q68_ns=estimate.q68_ns,
        q95_ns=estimate.q95_ns,
        published_raw_ns=now_raw_ns,
        last_sample_raw_ns=estimate.last_sample_raw_ns,
        poll_ns=estimate.poll_s * _NS,
        boottime_minus_monotonic_ns=suspended_ns,
        vmclock_marker=vmclock_marker,
        last_step_raw_ns=before.last_step_raw_ns,
        steps=before.steps + (is_step and current is not None),
        disruptions=estimate.disruptions,
        source=estimate.source.encode("ascii"),
        sources=estimate.sources_total << 32 | estimate.sources_selected,
        confidence_ppm=round(estimate.confidence * 1_000_000),
        samples=estimate.samples,
        publications=before.publications + 1,
        leap_utc_s=estimate.leap_utc_s,
        leap_tai_s=estimate.leap_tai_after_s << 32 | estimate.leap_tai_before_s,
        leap_smear=estimate.smear_length_s << 32 | estimate.smear_kind,
        bound_violations=estimate.bound_violations,
    )
    return Proposal(page, is_step)


def disown(page: TimePage, now_raw_ns: int) -> TimePage:
    """Return a page that no estimate stands behind any more: its line goes on, unbounded."""
    return page._replace(
        state=page.state & ~_STATUS_MASK | STATUS_DISRUPTED,
        earliest_off_ns=UNBOUNDED_EARLIEST_NS,
        latest_off_ns=UNBOUNDED_LATEST_NS,
        published_raw_ns=now_raw_ns,
        publications=page.publications + 1,
    )


def centre_ns(estimate: ClockEstimate, raw_ns: int) -> int:
    """Return UTC at `raw_ns` as the estimate has it."""
    dt_ns = raw_ns - estimate.as_of_raw_ns
    return estimate.utc_ns + dt_ns + (dt_ns * estimate.rate >> _RATE_SHIFT)


def across_leap(page: TimePage, earliest_ns: int, latest_ns: int) -> tuple[int, int]:
    """Return an interval by a page, widened if it reaches the leap second that the page announces.

    As readers do (``hourbook_line_leap`` in shm/include/hourbook_clock.h).
    """
    if not page.leap_utc_s or page.leap_smear & _WORD_MASK:
        return earliest_ns, latest_ns
    step_s = _signed(page.leap_tai_s & _WORD_MASK) - _signed(page.leap_tai_s >> 32)
    if latest_ns < (page.leap_utc_s - max(step_s, 0)) * _NS:
        return earliest_ns, latest_ns
    return earliest_ns + min(step_s, 0) * _NS, latest_ns + max(step_s, 0) * _NS


def base_ns(page: TimePage, raw_ns: int) -> int:
    """Return the page's line at `raw_ns`, without its slew."""
    dt_ns = raw_ns - page.as_of_raw_ns
    return page.utc_at_as_of_ns + dt_ns + (dt_ns * page.rate >> _RATE_SHIFT)


def output_ns(page: TimePage, raw_ns: int) -> int:
    """Return what readers of a page read at `raw_ns`."""
    slewing_ns = max(min(raw_ns, page.slew_end_raw_ns) - page.as_of_raw_ns, 0)
    return base_ns(page, raw_ns) + slewing_ns * page.slew_ppb // _NS


def _begins_epoch(
    estimate: ClockEstimate, current: TimePage, error_ns: int, settings: Settings
) -> bool:
    # The estimate repeats until the next one, and a restarted publisher meets it again: its step is
    # news only if the page's epoch is older.
    announced = max(estimate.last_step_raw_ns, estimate.as_of_raw_ns if estimate.is_step else 0)
    return announced > current.last_step_raw_ns or abs(error_ns) > settings.step_threshold_ns


def _slew(error_ns: int, now_raw_ns: int, settings: Settings) -> tuple[int, int]:
    """Return the slew that makes up for `error_ns`: ppb, and RAW at which it is done."""
    if abs(error_ns) <= ROUNDING_NS:
        return 0, 0
    ppb = min(abs(error_ns) * _NS // SLEW_SPAN_NS, settings.slew_ppb_max)
    return ppb if error_ns > 0 else -ppb, now_raw_ns + abs(error_ns) * _NS // ppb


def _interval(estimate: ClockEstimate, now_raw_ns: int) -> tuple[int, int]:
    """Return the hard interval about the centre, grown to `now_raw_ns`."""
    if not estimate.bounded:
        return UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS
    growth_ns = -(-abs(now_raw_ns - estimate.as_of_raw_ns) * estimate.growth_ppb // _NS)
    return estimate.earliest_off_ns - growth_ns, estimate.latest_off_ns + growth_ns


def _signed(word: int) -> int:
    """Return 32 bits as a signed number."""
    return (word & _WORD_MASK ^ 1 << 31) - (1 << 31)
