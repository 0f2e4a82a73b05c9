"""One process, one hybrid logical clock: what is stamped, received and logged has one order."""

import threading

import pytest

from hourbook.hybrid_clock import HybridClock
from protocols import errors, hlc

NOW_NS = 1_795_000_000_000_000_000


def test_numbers_rise_over_whatever_was_received_or_logged() -> None:
    """Each number is above all before it, wherever they came from."""
    clock = HybridClock()

    first = clock.issue(lambda: NOW_NS)
    received = clock.issue(lambda: NOW_NS, first + 1000)
    clock.observe(received + 1000, NOW_NS)
    clock.observe(first, NOW_NS)

    assert first == hlc.physical_ns(NOW_NS)
    assert received == first + 1001
    assert clock.to_send(NOW_NS) == received + 1000
    assert clock.issue(lambda: NOW_NS) == received + 1001


def test_book_that_is_far_ahead_does_not_drag_the_process_along() -> None:
    """An entry's number a minute ahead of its own time is left to its book."""
    clock = HybridClock()

    clock.observe(NOW_NS + 2 * hlc.AHEAD_MAX_NS, NOW_NS)

    assert clock.to_send(NOW_NS) == 0
    with pytest.raises(errors.BadRequest):
        clock.issue(lambda: NOW_NS, NOW_NS + 2 * hlc.AHEAD_MAX_NS)


def test_number_far_ahead_is_not_sent_and_still_rises() -> None:
    """After a step back by an hour others hear nothing of it, and the order here holds."""
    clock = HybridClock()
    before = clock.issue(lambda: NOW_NS)
    stepped_ns = NOW_NS - 3600 * 1_000_000_000

    after = clock.issue(lambda: stepped_ns)

    assert after == before + 1
    assert clock.to_send(stepped_ns) == 0
    assert clock.to_send(NOW_NS) == after


def test_threads_never_get_the_same_number() -> None:
    """Numbers are issued one at a time."""
    clock = HybridClock()
    numbers: list[int] = []

    def issue() -> None:
        numbers.extend([clock.issue(lambda: NOW_NS) for _ in range(1000)])

    threads = [threading.Thread(target=issue) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(numbers)) == 4000
