"""The clock as agents import it."""

import os
import subprocess
import sys
import threading
import time

import pytest
from fakes.time_pages import page_now, state

import hourbook
from hourbook.faces.clock import UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS, Clock, Order, Status
from hourbook.home import Home
from protocols import errors
from shm import _core, segment
from shm.layout import TimePage
from shm.writer import TimeWriter

S = 1_000_000_000


def reading(earliest_ns: int, latest_ns: int) -> _core.Reading:
    """Return a reading with an interval."""
    middle_ns = (earliest_ns + latest_ns) // 2
    return _core.Reading(middle_ns, earliest_ns, latest_ns, 0, Status.SYNCHRONIZED)


@pytest.fixture
def publisher(home: Home) -> TimeWriter:
    """Return a writer that has published a synchronized page."""
    made = TimeWriter(home.segment)
    made.publish(page_now(), is_step=True)
    return made


def test_clock_without_a_tree_says_what_to_run(home: Home) -> None:
    """The path and the command are in the error."""
    with pytest.raises(errors.ClockUnavailable, match="supervisor start") as caught:
        Clock(home)

    assert str(home.segment) in str(caught.value)


def test_stopped_tree_is_no_clock(home: Home, publisher: TimeWriter) -> None:
    """A segment that a stop has closed is not opened; one already open goes on, ageing."""
    clock = Clock(home)
    publisher.close()
    segment.mark_closed(home.segment)

    with pytest.raises(errors.ClockUnavailable, match="closed by a stop"):
        Clock(home.path)

    assert clock.now().status is Status.SYNCHRONIZED


@pytest.mark.usefixtures("publisher")
def test_clock_reads_one_line_in_many_ways(home: Home) -> None:
    """All readings agree."""
    clock = hourbook.Clock(home)

    first, now, last = clock.time_ns(), clock.now(), clock.time_ns()

    assert first <= now.time_ns <= last
    assert now.earliest_ns < now.time_ns < now.latest_ns
    assert now.status is Status.SYNCHRONIZED
    assert clock.time() == pytest.approx(last / S, abs=1)
    assert clock.snapshot().source == "ntp"
    assert clock.uncertainty_ns() < clock.uncertainty_ns(ahead_s=60)  # type: ignore[operator]


@pytest.mark.usefixtures("publisher")
@pytest.mark.parametrize("ago_s", [0.0, 0.125, -3600.0])
def test_stamp_of_the_kernels_clock_is_corrected(home: Home, ago_s: float) -> None:
    """As the seeds' get_corrected_time_at: what the clock said, or will say, at that instant."""
    clock = Clock(home)

    before_s, stamp_s, after_s = clock.time(), time.time(), clock.time()
    corrected_s = clock.time_at(stamp_s - ago_s)

    assert before_s - 0.01 <= corrected_s + ago_s <= after_s + 0.01


@pytest.mark.usefixtures("publisher")
@pytest.mark.parametrize("system_time", [-1.0, 9.1e9, float("nan"), float("inf")])
def test_impossible_stamps_are_refused(home: Home, system_time: float) -> None:
    """Named with the range, before any arithmetic."""
    with pytest.raises(errors.BadRequest, match=r"in 0\.\.9e\+09 s"):
        Clock(home).time_at(system_time)


def test_stamp_without_a_publication_is_the_kernels_own(home: Home) -> None:
    """An hour ago was an hour ago, also where nothing is known."""
    TimeWriter(home.segment).close()
    stamp = time.time() - 3600

    assert Clock(home).time_at(stamp) == pytest.approx(stamp, abs=0.05)


@pytest.mark.usefixtures("publisher")
def test_before_and_after_are_certain_or_false(home: Home) -> None:
    """Within the interval both are False."""
    clock = Clock(home)
    now = clock.now()

    assert clock.before(now.latest_ns + S)
    assert clock.after(now.earliest_ns - 1)
    assert not clock.before(now.time_ns)
    assert not clock.after(now.time_ns)


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [
        (reading(1, 3), reading(4, 6), Order.BEFORE),
        (reading(4, 6), reading(1, 3), Order.AFTER),
        (reading(1, 4), reading(4, 6), Order.CONCURRENT),
        (reading(1, 4), 5, Order.BEFORE),
        (7, reading(1, 6), Order.AFTER),
        (7, 7, Order.CONCURRENT),
        (reading(UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS), 1 << 80, Order.CONCURRENT),
        (reading(UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS), -(1 << 80), Order.CONCURRENT),
    ],
)
def test_compare_has_three_answers(
    first: _core.Reading | int, second: _core.Reading | int, order: Order
) -> None:
    """Disjoint intervals are ordered, others are concurrent."""
    assert Clock.compare(first, second) is order


@pytest.mark.usefixtures("publisher")
def test_wait_until_and_commit_wait(home: Home) -> None:
    """One waits for the estimate, the other until the instant is past for everybody."""
    clock = Clock(home)
    target_ns = clock.time_ns() + 5_000_000

    reached = clock.wait_until(target_ns)
    passed = clock.wait_until_after(target_ns)

    assert target_ns <= reached.time_ns < target_ns + S
    assert passed.earliest_ns > target_ns
    with pytest.raises(errors.WaitTimeout, match=r"within 0\.01 s"):
        clock.wait_until(target_ns + 3600 * S, timeout_s=0.01)


def test_unbounded_waits_need_a_timeout(home: Home) -> None:
    """Else they might never end."""
    publisher = TimeWriter(home.segment)
    publisher.publish(TimePage(as_of_raw_ns=1), is_step=True)
    clock = Clock(home)

    with pytest.raises(errors.BadRequest, match="unbounded"):
        clock.wait_until_after(clock.time_ns())
    with pytest.raises(errors.WaitTimeout, match="UNKNOWN"):
        clock.wait_until_after(clock.time_ns(), timeout_s=0.01)

    assert not clock.before(1 << 80)
    assert not clock.after(-(1 << 80))
    publisher.close()


def test_wait_synchronized_returns_when_it_is(home: Home) -> None:
    """Status is data; who needs it waits."""
    publisher = TimeWriter(home.segment)
    publisher.publish(page_now(state=state(Status.FREE_RUNNING)), is_step=True)
    clock = Clock(home)

    with pytest.raises(errors.WaitTimeout, match="FREE_RUNNING"):
        clock.wait_synchronized(0.01)
    threading.Timer(0.03, lambda: publisher.publish(page_now(), is_step=True)).start()

    assert clock.wait_synchronized(10).status is Status.SYNCHRONIZED
    publisher.close()


@pytest.mark.usefixtures("publisher")
def test_hlc_rises_and_merges(home: Home) -> None:
    """Across two clocks of a process, and past what was received."""
    one, other = Clock(home), Clock(home)

    first, second = one.hlc(), other.hlc()
    merged = one.hlc(received=second + 1_000_000_000)

    assert first < second < second + 1_000_000_000 < merged < other.hlc()
    with pytest.raises(errors.BadRequest, match="ahead of our clock"):
        one.hlc(received=second + 3600 * S)


def test_clock_survives_a_rebuilt_segment(home: Home, publisher: TimeWriter) -> None:
    """The old one is marked closed, so the next reading looks for the new one."""
    clock = Clock(home)
    old_ns = clock.time_ns()
    publisher.close()
    segment.create(home.segment, segment.current_boot_id())
    successor = TimeWriter(home.segment)

    successor.publish(page_now(utc_at_as_of_ns=old_ns + 3600 * S), is_step=True)

    assert clock.time_ns() >= old_ns + 3600 * S
    successor.close()


@pytest.mark.usefixtures("publisher")
def test_clock_works_in_a_forked_child(home: Home) -> None:
    """The map is shared memory, and there is nothing else."""
    clock = Clock(home)
    before_ns = clock.time_ns()
    child = os.fork()
    if child == 0:
        fine = clock.now().time_ns > before_ns and clock.hlc() > 0
        os._exit(0 if fine else 1)

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.usefixtures("publisher")
def test_threads_may_share_a_clock(home: Home) -> None:
    """Each thread sees time that does not run back."""
    clock = Clock(home)
    wrong: list[int] = []

    def read() -> None:
        last_ns = 0
        for _ in range(20_000):
            now_ns = clock.time_ns()
            if now_ns < last_ns:
                wrong.append(last_ns - now_ns)
            last_ns = now_ns

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_import_is_light() -> None:
    """Who only wants the time pays for no sockets, no numpy, no codecs."""
    code = "import sys, hourbook; hourbook.Clock; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert not {"zmq", "numpy", "msgspec", "asyncio", "sqlite3", "rich"} & set(loaded)


def test_status_is_downgraded_when_publications_stop(home: Home, publisher: TimeWriter) -> None:
    """A dead publisher cannot say so itself."""
    clock = Clock(home)
    old = page_now()
    publisher.publish(old._replace(published_raw_ns=old.published_raw_ns - 6 * S), is_step=True)

    assert clock.now().status is Status.FREE_RUNNING
    assert clock.snapshot().age_ns >= 6 * S
    publisher.close()
