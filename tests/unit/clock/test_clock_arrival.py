"""The kernel's stamp of an arrival: used where the clocks around it agree, else thrown away."""

import pytest

from hourbook.clock.arrival import Arrival, kernel_arrival
from hourbook.clock.kernel import Reading

SHIFT_NS = 1_800_000_000 * 10**9
"""REALTIME - RAW in these tests."""
BEFORE = Reading(raw_ns=1_000_000, wall_ns=SHIFT_NS + 1_000_000, bracket_ns=200)
SENT_RAW_NS = 1_010_000
READ_RAW_NS = 21_500_000


def after(moved_ns: int = 0) -> Reading:
    """Return the clocks after the reply was read; REALTIME moved by so much against RAW."""
    return Reading(21_600_000, SHIFT_NS + 21_600_000 + moved_ns, bracket_ns=300)


def arrival_of(raw_ns: int, moved_ns: int = 0) -> Arrival | None:
    """Return what a stamp taken at `raw_ns` tells."""
    stamp_ns = SHIFT_NS + moved_ns + raw_ns
    return kernel_arrival(stamp_ns, BEFORE, after(moved_ns), SENT_RAW_NS, READ_RAW_NS)


def test_stamp_becomes_a_raw_instant_within_its_brackets() -> None:
    """Clocks that did not move: half of each bracket is all the error."""
    assert arrival_of(21_000_000) == Arrival(21_000_000, 250)


def test_slew_between_the_pairs_is_part_of_the_error() -> None:
    """500 ppm over 20 ms."""
    assert arrival_of(21_000_000, moved_ns=-10_000) == Arrival(21_000_000, 10_250)


@pytest.mark.parametrize("moved_ns", [30_000, -30_000, 3_600 * 10**9])
def test_clock_that_was_set_voids_the_stamp(moved_ns: int) -> None:
    """More than slewing explains: nobody knows on which side of the step the stamp lies."""
    assert arrival_of(21_000_000, moved_ns) is None


@pytest.mark.parametrize("raw_ns", [SENT_RAW_NS - 1_000, READ_RAW_NS + 1_000])
def test_stamp_outside_the_exchange_is_void(raw_ns: int) -> None:
    """A reply cannot arrive before its request left, nor after it was read."""
    assert arrival_of(raw_ns) is None


def test_stamp_at_the_edge_is_drawn_inside() -> None:
    """Within the error it may seem to come after its own reading."""
    assert arrival_of(READ_RAW_NS + 200) == Arrival(READ_RAW_NS, 250)
