"""What the kernel's view of its own clock is worth: the decision, without the system call.

The kernel knows what the daemon that disciplines it has said: a status and a maximum error
(adjtimex(2)). Nobody checked it, so it never makes a clock more than FREE_RUNNING, and where the
kernel itself declines, there is no bound at all. systemd-timesyncd sets the maximum error to 0,
hence the floor.
"""

from dataclasses import dataclass
from typing import Final

from protocols.clock_messages import (
    FLAG_ASSERTED,
    FLAG_KERNEL_UNPROVEN,
    UNBOUNDED_NS,
    ClockSample,
)

__all__ = ["KernelClock", "Reading", "asserted_sample", "kernel_sample", "why_unbounded"]

STA_UNSYNC: Final = 0x0040
TIME_ERROR: Final = 5
MAXERROR_NS_MAX: Final = 16_000_000_000
"""NTP_PHASE_LIMIT: where the kernel gives up on its own clock."""


@dataclass(frozen=True, slots=True)
class KernelClock:
    """The answer of adjtimex(2), or why there is none.

    Attributes:
        state: TIME_OK .. TIME_ERROR, the call's return value.
        status: STA_* bits.
        maxerror_ns: what the kernel admits.
        refused: the error's name where the call failed (EPERM in some sandboxes), else "".
    """

    state: int = TIME_ERROR
    status: int = STA_UNSYNC
    maxerror_ns: int = MAXERROR_NS_MAX
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """CLOCK_REALTIME against CLOCK_MONOTONIC_RAW: `raw, real, raw`, the tightest of a few."""

    raw_ns: int
    wall_ns: int
    bracket_ns: int


def why_unbounded(clock: KernelClock) -> str:
    """Return why the kernel's clock has no bound, "" where it has one."""
    if clock.refused:
        return f"adjtimex is refused ({clock.refused})"
    if clock.status & STA_UNSYNC:
        return "the kernel calls its clock unsynchronised (STA_UNSYNC)"
    if clock.state == TIME_ERROR:
        return "the kernel's clock is in error (TIME_ERROR)"
    if clock.maxerror_ns >= MAXERROR_NS_MAX:
        return f"the kernel admits an error of {clock.maxerror_ns / 1e9:g} s"
    return ""


def kernel_sample(clock: KernelClock, reading: Reading, floor_ns: int, poll_s: int) -> ClockSample:
    """Return the kernel's view as a sample; without a bound where it vouches for nothing."""
    terms = {
        "kernel_maxerror_ns": clock.maxerror_ns,
        "kernel_floor_ns": floor_ns,
        "bracket_ns": -(-reading.bracket_ns // 2),
    }
    return ClockSample(
        source="kernel",
        origin="kernel",
        raw_ns=reading.raw_ns,
        utc_ns=reading.wall_ns,
        half_width_ns=UNBOUNDED_NS if why_unbounded(clock) else sum(terms.values()),
        terms=terms,
        poll_s=poll_s,
        flags=FLAG_KERNEL_UNPROVEN,
    )


def asserted_sample(reading: Reading, error_ns: int, poll_s: int) -> ClockSample:
    """Return this machine's clock with the error that its operator asserts."""
    terms = {"asserted_ns": error_ns, "bracket_ns": -(-reading.bracket_ns // 2)}
    return ClockSample(
        source="asserted",
        origin="asserted",
        raw_ns=reading.raw_ns,
        utc_ns=reading.wall_ns,
        half_width_ns=sum(terms.values()),
        terms=terms,
        poll_s=poll_s,
        flags=FLAG_ASSERTED,
    )
