"""Why a reader sees the status that it sees, from the time page alone. Pure.

The conditions are those of docs/SEGMENT.md in the same order, and of the C reader, which decides;
this only finds words for what was decided. More than the page says, such as which source lies,
only clock_model knows.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from shm.layout import Flag, Status

__all__ = ["FRESH_NS", "FRESH_POLLS", "PageFacts", "status_reason"]

FRESH_NS: Final = 5_000_000_000
"""As in shm/include/hourbook_clock.h."""
FRESH_POLLS: Final = 4
_NS: Final = 1e9


class PageFacts(Protocol):
    """What of ``shm._core.Snapshot`` decides the status."""

    @property
    def status(self) -> Status:
        """Recomputed from age."""

    @property
    def published_status(self) -> int:
        """As the publisher wrote it."""

    @property
    def flags(self) -> int:
        """Bits of ``shm.layout.Flag``."""

    @property
    def raw_ns(self) -> int:
        """CLOCK_MONOTONIC_RAW of the look."""

    @property
    def age_ns(self) -> int:
        """Since the last publication; -1 before the first."""

    @property
    def sample_age_ns(self) -> int:
        """Since the last accepted sample."""

    @property
    def void_after_raw_ns(self) -> int:
        """From when the status is UNKNOWN."""

    @property
    def poll_ns(self) -> int:
        """Between samples."""

    @property
    def is_stale(self) -> bool:
        """The publisher is stuck inside an update."""

    @property
    def is_suspended(self) -> bool:
        """The machine slept since the page was written."""

    @property
    def source(self) -> str:
        """What the time rests on."""


def status_reason(page: PageFacts) -> str:
    """Return in one line why the status is what it is."""
    since = f"{page.sample_age_ns / _NS:.1f} s"
    who = "the only source" if page.flags & Flag.SINGLE_SOURCE else "a majority of sources"
    polls = f"no accepted sample for {since}, more than {FRESH_POLLS} polls"
    reasons = (
        (page.age_ns < 0, "nothing has been published since the tree was started"),
        (page.published_status == Status.UNKNOWN, "no majority of sources vouches for an interval"),
        (
            page.raw_ns >= page.void_after_raw_ns,
            f"no accepted sample for {since}: all that was known is void",
        ),
        (page.is_suspended, "the machine slept since the last publication, and RAW stood still"),
        (
            page.published_status == Status.DISRUPTED,
            "what was measured before a disruption does not carry over; measuring anew",
        ),
        (
            page.published_status == Status.FREE_RUNNING,
            _UNPROVEN.get(
                page.flags & (Flag.KERNEL_UNPROVEN | Flag.ASSERTED),
                polls if page.sample_age_ns > FRESH_POLLS * page.poll_ns else _CARRIED,
            ),
        ),
        (
            page.status is Status.SYNCHRONIZED,
            f"{who} confirmed the interval {since} ago",
        ),
        (page.is_stale, "the publisher is stuck inside an update; this is the page before it"),
        (page.age_ns > FRESH_NS, f"nothing has been published for {page.age_ns / _NS:.1f} s"),
    )
    return next((words for holds, words in reasons if holds), polls)


_UNPROVEN: Final[Mapping[int, str]] = {
    Flag.KERNEL_UNPROVEN: "the interval is what the kernel says of its own clock; nobody checks it",
    Flag.ASSERTED: "the interval is what the operator asserted; nobody checks it",
}
_CARRIED: Final = "the interval is of an earlier run; the first sample of this one will check it"
