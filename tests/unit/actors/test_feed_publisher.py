"""When followers are woken: at once where they are few, and in portions where they are many."""

import contextlib
import platform
import threading
from pathlib import Path
from typing import Any

from books import STAMP, append, open_writer
from waiting import wait_until

from actors.feed_publisher import (
    FEW,
    PAUSE_NS_EACH,
    PAUSE_NS_MAX,
    SAVED_NS_MAX,
    FeedPublisher,
    pause_ns,
)
from hourbook.home import Home
from shm import segment
from shm.reader import RingReader

SYS_FUTEX = "202" if platform.machine() == "x86_64" else "98"
FUTEX_WAIT_BITSET = 9
"""Without FUTEX_PRIVATE_FLAG: only the ring is waited for like this."""


class FakeTime:
    """A clock that stands still, and a reactor that remembers what it was asked to do later."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.later: list[tuple[float, Any]] = []

    def mono_ns(self) -> int:
        """Return the time."""
        return self.now_ns

    def after(self, delay_s: float, callback: Any) -> None:
        """Take an order."""
        self.later.append((delay_s, callback))


def test_pause_grows_with_the_followers_that_were_woken() -> None:
    """A few never wait, many wait in proportion, and nobody longer than the limit."""
    assert [pause_ns(count) for count in (0, 1, FEW)] == [0, 0, 0]
    assert pause_ns(20) == 20 * PAUSE_NS_EACH
    assert pause_ns(10_000) == PAUSE_NS_MAX


def test_many_followers_are_woken_again_only_after_a_pause(home: Home) -> None:
    """The second commit waits for one wake that is due; all see it then, and none before."""
    book, time = open_writer(home), FakeTime(now_ns=0)
    feed = FeedPublisher(home, time, time)  # type: ignore[arg-type] # what it needs of both
    feed.rewind(0)
    seen, threads = _followers(home, commits=2)
    feed.publish(book.write([append(1)], STAMP))
    wait_until(lambda: seen.count(1) == 20 and _asleep(threads) == 20, 10, "the first wake")

    feed.publish(book.write([append(2)], STAMP))

    assert seen.count(2) == 0
    ((delay_s, wake),) = time.later
    assert delay_s == 20 * PAUSE_NS_EACH / 1e9
    time.now_ns += PAUSE_NS_MAX
    wake()
    for thread in threads:
        thread.join(20)
    assert seen.count(2) == 20
    book.close()


def test_a_burst_after_a_quiet_time_is_seen_as_it_comes(home: Home) -> None:
    """Time without commits makes up for pauses, up to a limit."""
    book, time = open_writer(home), FakeTime(now_ns=3600 * 10**9)
    feed = FeedPublisher(home, time, time)  # type: ignore[arg-type] # what it needs of both
    feed.rewind(0)
    burst = SAVED_NS_MAX // (20 * PAUSE_NS_EACH) + 1
    seen, threads = _followers(home, commits=burst + 1)

    for seq in range(1, burst + 1):
        feed.publish(book.write([append(seq)], STAMP))
        wait_until(lambda seq=seq: seen.count(seq) == 20, 10, "everybody to see it")  # type: ignore[misc] # bound now
        wait_until(lambda: _asleep(threads) == 20, 10, "everybody to sleep")

    assert time.later == []
    feed.publish(book.write([append(burst + 1)], STAMP))
    ((delay_s, wake),) = time.later
    assert 0 < delay_s <= 20 * PAUSE_NS_EACH / 1e9
    wake()
    for thread in threads:
        thread.join(20)
    assert seen.count(burst + 1) == 20
    book.close()


def _followers(home: Home, commits: int) -> tuple[list[int], list[threading.Thread]]:
    """Start 20 that see each of so many commits; return what they saw, once all of them sleep."""
    seen: list[int] = []

    def follow() -> None:
        ring = RingReader(segment.open_reader(home.segment))
        for seq in range(commits):
            assert ring.wait(seq, 20)
            seen.append(seq + 1)

    threads = [threading.Thread(target=follow) for _ in range(20)]
    for thread in threads:
        thread.start()
    wait_until(lambda: _asleep(threads) == 20, 10, "the followers to sleep")
    return seen, threads


def _asleep(threads: list[threading.Thread]) -> int:
    """Return how many threads are in the system call `futex` with our word, not in a lock."""
    count = 0
    for thread in threads:
        with contextlib.suppress(OSError):
            call = Path(f"/proc/self/task/{thread.native_id}/syscall").read_text("ascii").split()
            count += call[0] == SYS_FUTEX and int(call[2], 16) == FUTEX_WAIT_BITSET
    return count
