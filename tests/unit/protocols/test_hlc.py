"""Hybrid logical clocks: order is kept whatever the clocks do."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import errors, hlc

NOW_NS = 1_800_000_000_000_000_000
times = st.integers(NOW_NS - 3 * 10**10, NOW_NS + 3 * 10**10)


@given(st.lists(times, min_size=1, max_size=50))
def test_ticks_rise_even_when_the_clock_goes_back(clock: list[int]) -> None:
    """Numbers of one process rise strictly, however its wall clock jumps."""
    last, seen = 0, []

    for now_ns in clock:
        last = hlc.tick(last, now_ns)
        seen.append(last)

    assert all(a < b for a, b in pairwise(seen))


@given(times, times, times)
def test_merge_is_after_both(last_ns: int, remote_ns: int, now_ns: int) -> None:
    """A received message is after everything seen here and after its own sending."""
    last, remote = hlc.tick(0, last_ns), hlc.tick(0, remote_ns)

    merged = hlc.merge(last, remote, now_ns)

    assert merged > last
    assert merged > remote


@given(times)
def test_number_follows_the_clock_to_66_us(now_ns: int) -> None:
    """Without traffic the number is the time, to the width of its counter."""
    assert 0 <= now_ns - hlc.physical_ns(hlc.tick(0, now_ns)) < 65_536


@pytest.mark.parametrize("remote", [-1, hlc.HLC_MAX + 1, NOW_NS + 61 * 10**9])
def test_merge_refuses_a_runaway_remote(remote: int) -> None:
    """A remote clock that is absurdly ahead must not drag ours along."""
    with pytest.raises(errors.BadRequest, match="hlc"):
        hlc.merge(0, remote, NOW_NS)


def test_counter_overflow_carries_into_time() -> None:
    """More events than the counter holds keep rising; the time part takes the carry."""
    last = hlc.tick(0, NOW_NS)

    for _ in range(70_000):
        last = hlc.tick(last, NOW_NS)

    assert last == hlc.physical_ns(hlc.tick(0, NOW_NS)) + 70_000
