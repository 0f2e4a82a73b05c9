"""Following a real journal_writer: filtered, in asyncio, from a time, over a clock set back."""

import asyncio
import os
import resource
import threading
import time
from itertools import islice

import pytest
from book_actors import running_writer
from books import STAMP, append, open_writer
from waiting import wait_until

from hourbook.book.journal import Stamp
from hourbook.faces.book import Book, connect
from hourbook.faces.feed import Follower
from hourbook.home import Home
from hourbook.rfc3339 import format_utc_ns
from protocols import errors
from protocols.entry import Entry

pytestmark = pytest.mark.live

HOUR_NS = 3_600_000_000_000


def actions(follower: Follower) -> list[str]:
    """Return what there is by now."""
    seen = []
    while (entry := follower.poll(0.2)) is not None:
        seen.append(entry.action)
    return seen


def test_filters_choose_entries_old_and_new(book: Book) -> None:
    """The same filter works on what the database has and on what the ring brings."""
    book.log_many([("a", "x"), ("b", "x"), {"action": "a", "entity": "y", "tags": ["t"]}])
    by_action = book.follow(0, action="a")
    by_both = book.follow(0, action=["a", "b"], entity="x")
    by_tag = book.follow(0, tag="t")
    by_writer = book.follow(0, writer="somebody-else")
    book.log("a", "x")

    assert actions(by_action) == ["a", "a", "a"]
    assert actions(by_both) == ["a", "b", "a"]
    assert actions(by_tag) == ["a"]
    assert actions(by_writer) == []


@pytest.mark.parametrize("text", ["'; DROP TABLE entry; --", '"', "a\0b\n", "😀", "*"])
def test_filter_of_any_text_finds_exactly_that(book: Book, text: str) -> None:
    """Quotes, NUL, newline and emoji are text; nothing is taken for a pattern."""
    follower = book.follow(entity=text)
    book.log_many([("did", "other"), ("did", text), ("did", text + "x")])

    entry = follower.poll(5)

    assert entry is not None
    assert entry.entity == text
    assert follower.poll(0.1) is None


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01T00:00:00Z", "-1", ""])
def test_since_that_is_no_place_is_refused(book: Book, since: str) -> None:
    """A clear error at the call."""
    with pytest.raises(errors.BadRequest, match="since"):
        book.follow(since)


def test_order_is_seq_when_the_clock_steps_back_an_hour(home: Home) -> None:
    """Entries come by seq; a time means the last commit that is not later."""
    writer = open_writer(home)
    later, earlier = STAMP.time_ns, STAMP.time_ns - HOUR_NS
    for number, time_ns in enumerate((earlier - 1, later, earlier, later + 1), 1):
        writer.commit([append(number)], Stamp(time_ns, -1))
    writer.close()
    with running_writer(home), connect("agent", home, shared=True) as book:
        everything = book.follow(0)
        seqs = [entry.seq for entry in (everything.poll(5) for _ in range(4)) if entry]
        since = book.follow(format_utc_ns(earlier))
        after = since.poll(5)

    assert seqs == [1, 2, 3, 4]
    assert after is not None
    assert after.seq == 4


def test_async_followers_see_everything_in_order(book: Book) -> None:
    """Twenty tasks of one loop, each with a filter of its own, and a loop that goes on."""

    async def collect(name: str) -> list[int]:
        seen: list[int] = []
        async for entry in book.follow(entity=name):
            seen.append(entry.details)
            if entry.action == "last":
                break
        return seen

    async def main() -> tuple[list[list[int]], int]:
        ticks = 0
        tasks = [asyncio.create_task(collect(f"e{n}")) for n in range(20)]
        await asyncio.sleep(0.3)
        write = asyncio.create_task(asyncio.to_thread(write_all))
        while not all(task.done() for task in tasks):
            ticks += 1
            await asyncio.sleep(0.001)
        await write
        return [await task for task in tasks], ticks

    def write_all() -> None:
        for number in range(100):
            book.log_many([("did", f"e{n}", number) for n in range(20)])
        book.log_many([("last", f"e{n}", 100) for n in range(20)])

    seen, ticks = asyncio.run(asyncio.wait_for(main(), 40))

    assert seen == [list(range(101))] * 20
    assert ticks > 10


def test_slow_async_follower_catches_up_through_the_database(book: Book) -> None:
    """Its thread holds a bounded number of entries, and nothing is lost when it was lapped."""
    big = "x" * 2000

    async def main() -> list[int]:
        feed = aiter(book.follow())
        await asyncio.to_thread(
            lambda: [book.log_many([("did", "x", big)] * 500) for _ in range(20)]
        )
        seen = [(await anext(feed)).seq for _ in range(10_000)]
        await feed.aclose()
        return seen

    seen = asyncio.run(asyncio.wait_for(main(), 40))

    assert seen == list(range(seen[0], seen[0] + 10_000))


def test_cancelled_async_follower_lets_the_loop_end(book: Book) -> None:
    """Nobody waits for an entry that never comes."""

    async def main() -> Entry | None:
        feed = aiter(book.follow())
        try:
            return await asyncio.wait_for(anext(feed), 0.2)
        except TimeoutError:
            return None
        finally:
            await feed.aclose()

    started = time.monotonic()

    assert asyncio.run(main()) is None
    assert time.monotonic() - started < 5


def test_idle_follower_uses_no_processor(book: Book) -> None:
    """Less than 0.5 % of a core while nothing happens."""
    follower = book.follow()
    before = resource.getrusage(resource.RUSAGE_THREAD)

    assert follower.poll(1.5) is None

    after = resource.getrusage(resource.RUSAGE_THREAD)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used_s < 1.5 * 0.005


def descriptors() -> int:
    """Return how many this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a number


def test_dropped_followers_leave_nothing_open(book: Book) -> None:
    """Who looks at one entry and breaks off, again and again, never runs out of descriptors."""
    book.log("did", "it")
    assert [entry.seq for entry in islice(book.follow(0), 1)] == [1]
    before = descriptors()

    for _ in range(5):
        assert [entry.seq for entry in islice(book.follow(0), 1)] == [1]

    assert descriptors() == before


def test_dropped_async_followers_end_their_threads(book: Book) -> None:
    """A task that breaks off leaves no thread behind, while its loop goes on."""
    book.log("did", "it")

    def threads() -> int:
        return sum(thread.name == "hourbook-follow" for thread in threading.enumerate())

    async def main() -> int:
        for _ in range(3):
            async for entry in book.follow(0):
                assert entry.seq == 1
                break
        await asyncio.to_thread(wait_until, lambda: threads() == 0, 5, "the ends of the threads")
        return threads()

    assert asyncio.run(main()) == 0
