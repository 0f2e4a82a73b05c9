"""What the kernel's own view is worth, and that it can be read."""

import pytest

from hourbook.clock import kernel
from hourbook.clock.adjtimex import read_kernel_clock
from hourbook.clock.kernel import STA_UNSYNC, TIME_ERROR, KernelClock, Reading
from protocols.clock_messages import FLAG_ASSERTED, FLAG_KERNEL_UNPROVEN, UNBOUNDED_NS

READING = Reading(raw_ns=1000, wall_ns=1_800_000_000_000_000_000, bracket_ns=61)
GOOD = KernelClock(state=0, status=0, maxerror_ns=2_000_000)


@pytest.mark.parametrize(
    ("clock", "word"),
    [
        (KernelClock(refused="EPERM"), "EPERM"),
        (KernelClock(state=0, status=STA_UNSYNC | 1, maxerror_ns=0), "STA_UNSYNC"),
        (KernelClock(state=TIME_ERROR, status=0, maxerror_ns=0), "TIME_ERROR"),
        (KernelClock(state=0, status=0, maxerror_ns=16_000_000_000), "16 s"),
    ],
)
def test_kernel_that_vouches_for_nothing_is_unbounded(clock: KernelClock, word: str) -> None:
    """Each reason is named, and the sample has no half-width."""
    sample = kernel.kernel_sample(clock, READING, floor_ns=100_000_000, poll_s=4)

    assert word in kernel.why_unbounded(clock)
    assert sample.half_width_ns == UNBOUNDED_NS
    assert sample.utc_ns == READING.wall_ns


def test_kernel_bound_has_a_floor() -> None:
    """What it admits, 100 ms because some daemons admit nothing, and half the bracket."""
    sample = kernel.kernel_sample(GOOD, READING, floor_ns=100_000_000, poll_s=4)

    assert kernel.why_unbounded(GOOD) == ""
    assert sample.half_width_ns == 102_000_031
    assert (sample.source, sample.origin, sample.flags) == (
        "kernel",
        "kernel",
        FLAG_KERNEL_UNPROVEN,
    )


def test_asserted_bound_is_the_operators() -> None:
    """The operator's word, under its flag."""
    sample = kernel.asserted_sample(READING, 1_000_000, poll_s=4)

    assert (sample.half_width_ns, sample.origin) == (1_000_031, "asserted")
    assert sample.flags == FLAG_ASSERTED


def test_this_kernel_answers() -> None:
    """The system call works here, or says why not."""
    clock = read_kernel_clock()

    assert clock.refused or 0 <= clock.state <= TIME_ERROR
    assert clock.maxerror_ns >= 0
