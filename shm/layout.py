"""Where everything in the segment lies, and what it means: the single source for Python.

``shm/layout.h`` says the same in C and ``docs/SEGMENT.md`` in words; a test compares the three. All
fields are 64-bit words in the byte order of the machine. `TimePage` is the time page as a value.
"""

import struct
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

__all__ = [
    "CLOSED",
    "GENERATIONS",
    "GENERATION_COUNT",
    "HEADER",
    "LIVE",
    "MAGIC",
    "RING",
    "RING_DATA_OFFSET",
    "RING_DATA_SIZE",
    "RING_PAYLOAD_BYTES_MAX",
    "RING_RECORD_ENTRY",
    "RING_RECORD_HEADER_SIZE",
    "RING_RECORD_STUB",
    "RING_WORDS",
    "SEGMENT_SIZE",
    "TIME",
    "TIME_PAGE",
    "TIME_PAGE_SIZE",
    "TIME_SHADOW_OFFSET",
    "UNBOUNDED_EARLIEST_NS",
    "UNBOUNDED_LATEST_NS",
    "VERSION",
    "VERSION_MIN",
    "Flag",
    "Region",
    "Status",
    "TimePage",
    "Word",
    "generation_offset",
]

MAGIC: Final = b"HOURBOOK"
VERSION: Final = 1
"""Of the layout; a reader accepts a segment whose version_min..version holds its own."""
VERSION_MIN: Final = 1
LIVE: Final = 1
CLOSED: Final = 2
"""Set by an ordered stop of the whole tree: nobody writes here, and nobody will unless it is set
back to LIVE by the first writer of the next start."""

UNBOUNDED_EARLIEST_NS: Final = -(1 << 63)
UNBOUNDED_LATEST_NS: Final = (1 << 63) - 1


class Status(IntEnum):
    """How far a reading can be trusted; the words and numbers are ClockBound's."""

    UNKNOWN = 0
    """Nothing is promised."""
    SYNCHRONIZED = 1
    """Fresh samples from sources outside this machine."""
    FREE_RUNNING = 2
    """The interval holds and grows: samples or publications stopped, or the source is unproven."""
    DISRUPTED = 3
    """The machine slept or its clock was changed: earlier readings do not carry over."""


class Flag(IntFlag):
    """Bits of the page's flags: those of ``protocols.clock_messages``, as a reader wants them."""

    SINGLE_SOURCE = 1
    """One source alone vouches for the interval."""
    KERNEL_UNPROVEN = 2
    """The interval is what the kernel says of its own clock; nothing checked it."""
    ASSERTED = 4
    """The interval is what the operator asserted."""
    SLEWING = 8
    """The output lies outside the hard interval, which was widened to include it."""


class Region(NamedTuple):
    """A part of the segment with one writer, who holds an OFD lock on exactly these bytes."""

    name: str
    offset: int
    size: int


class Word(NamedTuple):
    """One 64-bit field: byte offset within its region, struct code, unit."""

    offset: int
    name: str
    code: str
    unit: str


TIME: Final = Region("time", 4096, 4096)
GENERATIONS: Final = Region("generations", 8192, 32768)
RING: Final = Region("ring", 40960, 4198400)
SEGMENT_SIZE: Final = 4239360

HEADER: Final = (
    Word(0, "magic", "8s", "ASCII"),
    Word(8, "version", "Q", ""),
    Word(16, "version_min", "Q", ""),
    Word(24, "size", "Q", "byte"),
    Word(32, "boot_id_first", "8s", ""),
    Word(40, "boot_id_last", "8s", ""),
    Word(48, "segment_id", "Q", ""),
    Word(56, "state", "Q", ""),
)

TIME_PAGE_SIZE: Final = 256
TIME_SHADOW_OFFSET: Final = 256
TIME_PAGE: Final = (
    # first cache line: all that time_ns needs
    Word(0, "seq", "Q", ""),
    Word(8, "as_of_raw_ns", "q", "ns RAW"),
    Word(16, "utc_at_as_of_ns", "q", "ns UTC"),
    Word(24, "rate", "q", "2^-48"),
    Word(32, "slew_ppb", "q", "ppb"),
    Word(40, "slew_end_raw_ns", "q", "ns RAW"),
    Word(48, "state", "Q", "epoch << 32 | flags << 8 | status"),
    Word(56, "void_after_raw_ns", "q", "ns RAW"),
    # second cache line: the interval and the estimate's spread
    Word(64, "earliest_off_ns", "q", "ns"),
    Word(72, "latest_off_ns", "q", "ns"),
    Word(80, "growth_ppb", "q", "ppb"),
    Word(88, "sigma_offset_ns", "q", "ns"),
    Word(96, "sigma_rate_ppb", "q", "ppb"),
    Word(104, "q68_ns", "q", "ns"),
    Word(112, "q95_ns", "q", "ns"),
    Word(120, "published_raw_ns", "q", "ns RAW"),
    # third cache line, ages and disruptions
    Word(128, "last_sample_raw_ns", "q", "ns RAW"),
    Word(136, "poll_ns", "q", "ns"),
    Word(144, "boottime_minus_monotonic_ns", "q", "ns"),
    Word(152, "vmclock_marker", "Q", ""),
    Word(160, "last_step_raw_ns", "q", "ns RAW"),
    Word(168, "steps", "Q", ""),
    Word(176, "disruptions", "Q", ""),
    Word(184, "source", "8s", "ASCII"),
    # fourth cache line: where it comes from
    Word(192, "sources", "Q", "total << 32 | selected"),
    Word(200, "confidence_ppm", "Q", "ppm"),
    Word(208, "samples", "Q", ""),
    Word(216, "publications", "Q", ""),
    Word(224, "leap_utc_s", "q", "s UTC"),
    Word(232, "leap_tai_s", "Q", "after << 32 | before, two i32, s"),
    Word(240, "leap_smear", "Q", "length s << 32 | kind"),
    Word(248, "bound_violations", "Q", ""),
)

GENERATION_COUNT: Final = 4096

RING_DATA_OFFSET: Final = 4096
RING_DATA_SIZE: Final = 4194304
RING_PAYLOAD_BYTES_MAX: Final = 1048576
RING_RECORD_HEADER_SIZE: Final = 16
RING_RECORD_ENTRY: Final = 0
RING_RECORD_STUB: Final = 1
RING_WORDS: Final = (
    Word(0, "publication", "Q", ""),
    Word(8, "tail_position", "Q", "byte"),
    Word(64, "head_0_position", "Q", "byte"),
    Word(72, "head_0_seq", "Q", ""),
    Word(80, "head_1_position", "Q", "byte"),
    Word(88, "head_1_seq", "Q", ""),
)

_PAGE = struct.Struct("=" + "".join(word.code for word in TIME_PAGE))


class TimePage(NamedTuple):
    """The words of a time page, in their order; see docs/SEGMENT.md for the meaning of each."""

    seq: int = 0
    as_of_raw_ns: int = 0
    utc_at_as_of_ns: int = 0
    rate: int = 0
    slew_ppb: int = 0
    slew_end_raw_ns: int = 0
    state: int = 0
    void_after_raw_ns: int = 0
    earliest_off_ns: int = UNBOUNDED_EARLIEST_NS
    latest_off_ns: int = UNBOUNDED_LATEST_NS
    growth_ppb: int = 0
    sigma_offset_ns: int = 0
    sigma_rate_ppb: int = 0
    q68_ns: int = 0
    q95_ns: int = 0
    published_raw_ns: int = 0
    last_sample_raw_ns: int = 0
    poll_ns: int = 0
    boottime_minus_monotonic_ns: int = 0
    vmclock_marker: int = 0
    last_step_raw_ns: int = 0
    steps: int = 0
    disruptions: int = 0
    source: bytes = b""
    sources: int = 0
    confidence_ppm: int = 0
    samples: int = 0
    publications: int = 0
    leap_utc_s: int = 0
    leap_tai_s: int = 0
    leap_smear: int = 0
    bound_violations: int = 0

    def pack(self) -> bytes:
        """Return the 256 bytes of the page."""
        return _PAGE.pack(*self)

    @classmethod
    def unpack(cls, page: bytes) -> "TimePage":
        """Return the page that 256 bytes hold."""
        return cls(*_PAGE.unpack(page))

    @property
    def epoch(self) -> int:
        """Rises with each step."""
        return self.state >> 32

    @property
    def flags(self) -> int:
        """Bits of :class:`Flag`."""
        return self.state >> 8 & 0xFFFFFF

    @property
    def status(self) -> int:
        """As published; readers recompute it from age."""
        return self.state & 0xFF

    @property
    def is_bounded(self) -> bool:
        """There is a hard interval."""
        return (
            self.earliest_off_ns != UNBOUNDED_EARLIEST_NS
            and self.latest_off_ns != UNBOUNDED_LATEST_NS
        )


def generation_offset(bucket: int) -> int:
    """Return the byte offset of a bucket's counter in the segment."""
    return GENERATIONS.offset + 8 * bucket
