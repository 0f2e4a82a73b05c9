"""Time pages for tests: a plausible one, and a reader over any buffer."""

import time
from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

from shm import _core, layout

__all__ = ["page_now", "raw_ns", "reader_of", "segment_bytes", "state", "suspended_ns"]

STATUSES = (
    layout.Status.UNKNOWN,
    layout.Status.SYNCHRONIZED,
    layout.Status.FREE_RUNNING,
    layout.Status.DISRUPTED,
)


def raw_ns() -> int:
    """Return CLOCK_MONOTONIC_RAW."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def suspended_ns() -> int:
    """Return BOOTTIME - MONOTONIC."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


def state(status: int, epoch: int = 1, flags: int = 0) -> int:
    """Return the state word."""
    return epoch << 32 | flags << 8 | status


def page_now(**changes: Any) -> layout.TimePage:
    """Return a fresh synchronized page, 1 ms wide each side, with some words changed."""
    now_ns = raw_ns()
    page = layout.TimePage(
        seq=2,
        as_of_raw_ns=now_ns,
        utc_at_as_of_ns=1_800_000_000_000_000_000,
        state=state(layout.Status.SYNCHRONIZED),
        void_after_raw_ns=now_ns + 1_000_000_000_000,
        earliest_off_ns=-1_000_000,
        latest_off_ns=1_000_000,
        growth_ppb=50_000,
        published_raw_ns=now_ns,
        last_sample_raw_ns=now_ns,
        poll_ns=16_000_000_000,
        boottime_minus_monotonic_ns=suspended_ns(),
        source=b"ntp",
    )
    return page._replace(**changes)


def segment_bytes(page: layout.TimePage, shadow: layout.TimePage | None = None) -> bytearray:
    """Return a segment in private memory that holds a page and its shadow."""
    data = bytearray(layout.SEGMENT_SIZE)
    data[56:64] = layout.LIVE.to_bytes(8, "little")
    place = layout.TIME.offset
    data[place : place + layout.TIME_PAGE_SIZE] = page.pack()
    place += layout.TIME_SHADOW_OFFSET
    data[place : place + layout.TIME_PAGE_SIZE] = (shadow or page).pack()
    return data


def reader_of(
    buffer: Buffer, refresh: Callable[[], Buffer | None] = lambda: None
) -> _core.TimeReader:
    """Return a reader of a segment."""
    return _core.TimeReader(buffer, STATUSES, refresh)
