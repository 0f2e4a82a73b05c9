"""When a datagram arrived on CLOCK_MONOTONIC_RAW, told by the kernel's stamp of it. Pure.

The kernel stamps what it receives with CLOCK_REALTIME (SO_TIMESTAMPNS), earlier by all that it took
until our process ran. That clock may be slewed or set at any time, so a stamp is only as good as
the two clock pairs around it: with s = REALTIME - RAW of a pair, taken before sending (s0) and
after receiving (s1),

    arrival = stamp - s1,   wrong by at most |s1 - s0| + half of each bracket

as long as REALTIME was slewed one way in between. Where s moved by more than slewing explains, the
clock was set; where the arrival lies outside sending and reading, something else is wrong. Then the
stamp is worth nothing, and the process's own, later one stands.
"""

from typing import Final, NamedTuple

from hourbook.clock.kernel import Reading

__all__ = ["Arrival", "kernel_arrival"]

SLEW_PPB_MAX: Final = 1_000_000
"""Twice what adjtimex(2) grants a daemon; chronyd may go beyond it, and then the stamp is lost."""
GRAIN_NS: Final = 1_000
"""What two readings of the same pair of clocks may differ by beyond their brackets."""
_S_NS: Final = 1_000_000_000


class Arrival(NamedTuple):
    """The instant of arrival on CLOCK_MONOTONIC_RAW, and how wrong it can be."""

    raw_ns: int
    error_ns: int


def kernel_arrival(
    stamp_wall_ns: int, before: Reading, after: Reading, sent_raw_ns: int, read_raw_ns: int
) -> Arrival | None:
    """Return the arrival that the kernel's stamp tells, None where the clocks contradict it.

    Args:
        stamp_wall_ns: CLOCK_REALTIME when the kernel had the datagram.
        before: both clocks before the request left.
        after: both clocks after the datagram was read.
        sent_raw_ns: CLOCK_MONOTONIC_RAW when the request left.
        read_raw_ns: the same clock when the datagram was read.
    """
    moved_ns = (after.wall_ns - after.raw_ns) - (before.wall_ns - before.raw_ns)
    brackets_ns = -(-(before.bracket_ns + after.bracket_ns) // 2)
    slewed_ns_max = (after.raw_ns - before.raw_ns) * SLEW_PPB_MAX // _S_NS
    if abs(moved_ns) > slewed_ns_max + brackets_ns + GRAIN_NS:
        return None
    raw_ns = stamp_wall_ns - (after.wall_ns - after.raw_ns)
    error_ns = abs(moved_ns) + brackets_ns
    if not sent_raw_ns - error_ns <= raw_ns <= read_raw_ns + error_ns:
        return None
    return Arrival(min(max(raw_ns, sent_raw_ns), read_raw_ns), error_ns)
