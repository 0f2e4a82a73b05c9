"""Timers: order, periods, cancelling, and a process that slept through its due times."""

from actors.timers import Timers


def test_timers_fire_in_order_of_due_time() -> None:
    """What is due fires by due time, and equal times in the order of adding."""
    fired: list[str] = []
    timers = Timers()
    for due_ns, name in ((30, "c"), (10, "a"), (10, "b"), (99, "late")):
        timers.add(due_ns, lambda n=name: fired.append(n))  # type: ignore[misc]  # bound per turn

    count = timers.fire(50)

    assert (count, fired, timers.next_due_ns()) == (3, ["a", "b", "c"], 99)


def test_periodic_timer_keeps_its_phase_and_owes_nothing() -> None:
    """After a long stop a periodic timer fires once and goes on in its own rhythm."""
    fired: list[int] = []
    timers = Timers()
    timers.add(100, lambda: fired.append(1), period_ns=10)

    timers.fire(157)

    assert (len(fired), timers.next_due_ns()) == (1, 160)


def test_cancelled_timer_is_gone() -> None:
    """A cancelled timer neither fires nor wakes anybody."""
    timers = Timers()
    timer = timers.add(10, lambda: None, period_ns=10)
    timers.fire(10)

    timer.cancel()

    assert timers.next_due_ns() is None
    assert timers.fire(1000) == 0


def test_timer_may_cancel_itself_while_it_fires() -> None:
    """A callback that cancels its own periodic timer is called once."""
    fired: list[int] = []
    timers = Timers()

    def once() -> None:
        fired.append(1)
        timer.cancel()

    timer = timers.add(10, once, period_ns=10)

    timers.fire(10)
    timers.fire(100)

    assert fired == [1]
