"""Readings of the clock as lines for people. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from hourbook.clock_json import SnapshotLike, bounds_of, half_width_ns
from hourbook.rfc3339 import format_utc_ns
from hourbook.words import bound_text, duration_text, interval_text

__all__ = ["STATUS_MEANING", "monitor_line", "now_lines", "snapshot_lines"]

STATUS_MEANING: Final[Mapping[str, str]] = {
    "UNKNOWN": "never measured, too long ago, or contradicted; see `hourbook clock why`",
    "SYNCHRONIZED": "fresh, and checked against a majority of sources",
    "FREE_RUNNING": "honest, but nothing corrects it at present",
    "DISRUPTED": "the machine slept or its clock was moved; measuring anew",
}
"""What each status means to somebody who reads it for the first time."""


_FRESH_NS: Final = 1_000_000_000
"""How old a page may be before a watch tells its age: it is published 100 times a second."""


def now_lines(reading: SnapshotLike) -> list[str]:
    """Return the time, its interval and its status."""
    earliest_ns, latest_ns = bounds_of(reading)
    interval = interval_text(reading.time_ns, earliest_ns, latest_ns)
    return [
        format_utc_ns(reading.time_ns),
        f"interval  {interval}",
        f"sigma     {'unknown' if earliest_ns is None else _sigma_text(reading.sigma_ns)}",
        f"status    {reading.status.name}: {STATUS_MEANING[reading.status.name]}",
        f"source    {_source_text(reading)}",
    ]


def monitor_line(reading: SnapshotLike) -> str:
    """Return one line of a watch: time, half-width of the interval, status, source."""
    bound = bound_text(half_width_ns(reading))
    time = format_utc_ns(reading.time_ns, digits=6)
    source = _source_text(reading) if reading.age_ns > _FRESH_NS else reading.source or "none"
    return f"{time}  {bound:<12}  {reading.status.name:<12}  {source}"


def snapshot_lines(document: Mapping[str, Any]) -> list[str]:
    """Return every field of a snapshot, one a line."""
    width = max(len(name) for name in document)
    return [f"{name:<{width}}  {_value_text(value)}" for name, value in document.items()]


def _sigma_text(sigma_ns: int) -> str:
    return "unknown" if sigma_ns < 0 or sigma_ns >= 1 << 53 else duration_text(sigma_ns)


def _source_text(reading: SnapshotLike) -> str:
    source = reading.source or "none"
    if reading.age_ns < 0:
        return source
    return f"{source}, published {duration_text(reading.age_ns)} ago"


def _value_text(value: object) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
