"""Samples against a true line, for the tests of the clock's decisions."""

from protocols.clock_messages import UNBOUNDED_NS, ClockSample, Origin

__all__ = ["S_NS", "UTC_0_NS", "sample", "truth_ns"]

S_NS = 1_000_000_000
UTC_0_NS = 1_800_000_000 * S_NS
"""UTC when the raw clock was 0."""


def truth_ns(raw_ns: int, rate_ppb: int = 0) -> int:
    """Return UTC of the tests at a raw time."""
    return UTC_0_NS + raw_ns + raw_ns * rate_ppb // S_NS


def sample(
    source: str = "a",
    *,
    at_s: float,
    offset_ms: float = 0.0,
    half_width_ms: float | None = 10.0,
    delay_ms: float = 10.0,
    rate_ppb: int = 0,
    origin: Origin = "ntp",
    upstream: str = "",
    identity: str = "",
    poll_s: int = 16,
    flags: int = 0,
) -> ClockSample:
    """Return what a source says at a time, `offset_ms` beside the truth."""
    raw_ns = round(at_s * S_NS)
    width = UNBOUNDED_NS if half_width_ms is None else round(half_width_ms * 1e6)
    return ClockSample(
        source=source,
        raw_ns=raw_ns,
        utc_ns=truth_ns(raw_ns, rate_ppb) + round(offset_ms * 1e6),
        half_width_ns=width,
        delay_ns=round(delay_ms * 1e6),
        origin=origin,
        upstream=upstream,
        identity=identity,
        poll_s=poll_s,
        flags=flags,
    )
