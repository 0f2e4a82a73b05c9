"""The explanation of the clock as lines for people. Pure."""

from collections.abc import Mapping
from typing import Any

from hourbook.cli.words import duration_text

__all__ = ["why_lines"]


def why_lines(document: Mapping[str, Any]) -> list[str]:
    """Return status, reason, and the interval term by term."""
    lines = [
        document["time"],
        f"status    {document['status']}: {document['reason']}",
        f"source    {document['source']}",
    ]
    if document["flags"]:
        lines.append(f"flags     {', '.join(document['flags']).lower()}")
    return [*lines, *_interval_lines(document["interval"])]


def _interval_lines(interval: Mapping[str, Any] | None) -> list[str]:
    if interval is None:
        return ["interval  unbounded: nothing can be promised"]
    rate = f"{interval['growth_ppb'] / 1000:g} ppm"
    ends = _ends(interval["before_ns"], interval["after_ns"])
    published = _ends(interval["published_before_ns"], interval["published_after_ns"])
    growth, age = duration_text(interval["growth_ns"]), duration_text(interval["age_ns"])
    return [
        f"interval  {ends}",
        f"  page    {published} when it was published",
        f"  growth  {growth} on each side since: {age} at {rate}",
    ]


def _ends(before_ns: int, after_ns: int) -> str:
    return f"-{duration_text(before_ns)} .. +{duration_text(after_ns)}"
