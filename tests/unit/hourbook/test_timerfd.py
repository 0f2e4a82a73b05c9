"""Times that the kernel keeps."""

import select
from collections.abc import Iterator

import pytest

from hourbook.timerfd import Timerfd

SOON_NS = 1_000_000


@pytest.fixture
def timer() -> Iterator[Timerfd]:
    """Yield one that was not told anything yet."""
    made = Timerfd()
    yield made
    made.close()


def ticks_within(timer: Timerfd, timeout_ms: int) -> int:
    """Return how many ticks are there after waiting for the first of them."""
    poll = select.poll()
    poll.register(timer.descriptor, select.POLLIN)
    poll.poll(timeout_ms)
    return timer.ticks()


def test_timer_ticks_when_it_is_told(timer: Timerfd) -> None:
    """Not before; once, or again and again."""
    untold = ticks_within(timer, 5)
    timer.tick_once(SOON_NS)
    once, after = ticks_within(timer, 5000), ticks_within(timer, 5)
    timer.set_period(SOON_NS)
    periodic = [ticks_within(timer, 5000) for _ in range(3)]

    assert (untold, once, after) == (0, 1, 0)
    assert min(periodic) >= 1


def test_stopped_timer_forgets_ticks_that_nobody_heard(timer: Timerfd) -> None:
    """Its descriptor is quiet again, even where it had signalled."""
    timer.tick_once(SOON_NS)
    select.select([timer.descriptor], [], [], 5)

    timer.stop()

    assert ticks_within(timer, 5) == 0
