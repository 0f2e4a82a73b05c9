"""What time an entry gets: the clock's and the larger side of its interval, else the kernel's."""

import pytest
from fakes.time_pages import page_now
from fakes.timebase import FakeTimebase

from hourbook.book.stamps import REOPEN_NS, StampSource
from hourbook.home import Home
from protocols.entry import BOUND_UNBOUNDED_NS
from shm import layout
from shm.writer import TimeWriter


@pytest.mark.parametrize(("earliest_ns", "latest_ns"), [(-9_000_000, 1000), (-1000, 9_000_000)])
def test_bound_is_the_larger_side_of_the_interval(
    home: Home, earliest_ns: int, latest_ns: int
) -> None:
    """UTC is within the bound of the stamp, whichever way the interval leans."""
    publisher = TimeWriter(home.segment)
    page = page_now(earliest_off_ns=earliest_ns, latest_off_ns=latest_ns)
    publisher.publish(page, is_step=True)

    stamp = StampSource(home, FakeTimebase()).read()

    publisher.close()
    assert 0 <= stamp.time_ns - page.utc_at_as_of_ns < 60 * 10**9
    assert 9_000_000 <= stamp.bound_ns < 20_000_000


@pytest.mark.parametrize("side", ["earliest_off_ns", "latest_off_ns"])
def test_interval_without_an_end_leaves_an_entry_unbounded(home: Home, side: str) -> None:
    """The clock's time is used all the same."""
    publisher = TimeWriter(home.segment)
    open_ends = {
        "earliest_off_ns": layout.UNBOUNDED_EARLIEST_NS,
        "latest_off_ns": layout.UNBOUNDED_LATEST_NS,
    }
    page = page_now(**{side: open_ends[side]})
    publisher.publish(page, is_step=True)

    stamp = StampSource(home, FakeTimebase(wall_ns=7)).read()

    publisher.close()
    assert stamp.time_ns >= page.utc_at_as_of_ns
    assert stamp.bound_ns == BOUND_UNBOUNDED_NS


def test_kernels_time_is_used_until_there_is_a_clock(home: Home) -> None:
    """The book never waits for it, and finds it once it is there."""
    timebase = FakeTimebase(wall_ns=7)
    stamps = StampSource(home, timebase)
    before = stamps.read()
    publisher = TimeWriter(home.segment)
    page = page_now()
    publisher.publish(page, is_step=True)
    soon = stamps.time_ns()
    timebase.advance_ns(REOPEN_NS)

    later = stamps.time_ns()

    publisher.close()
    assert before == (7, BOUND_UNBOUNDED_NS)
    assert soon == 7
    assert later >= page.utc_at_as_of_ns
