"""What `hourbook clock why` answers, as JSON (docs/CLI.md). Pure.

The time page explains itself: status, interval, ages, growth. All the rest, such as which source
says what, only clock_model can tell.
"""

from typing import Any, Final

from hourbook.clock.reasons import status_reason
from hourbook.clock_json import half_width_ns, now_json
from shm._core import Snapshot
from shm.layout import Flag

__all__ = ["page_json"]

_BILLION: Final = 1_000_000_000


def page_json(page: Snapshot) -> dict[str, Any]:
    """Return what the page alone says."""
    return {
        **now_json(page),
        "reason": status_reason(page),
        "flags": [flag.name for flag in Flag if page.flags & flag],
        "interval": _interval_json(page),
    }


def _interval_json(page: Snapshot) -> dict[str, Any] | None:
    """Return the interval about the output, and how much of it is growth since the page."""
    if half_width_ns(page) is None:
        return None
    age_ns = abs(page.raw_ns - page.as_of_raw_ns)
    return {
        "before_ns": page.time_ns - page.earliest_ns,
        "after_ns": page.latest_ns - page.time_ns,
        "published_before_ns": -page.earliest_off_ns,
        "published_after_ns": page.latest_off_ns,
        "age_ns": age_ns,
        "growth_ppb": page.growth_ppb,
        "growth_ns": -(-age_ns * page.growth_ppb // _BILLION) + (age_ns != 0),
    }
