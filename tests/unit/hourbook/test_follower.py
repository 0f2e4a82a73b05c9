"""A follower, taken from in every way at once: nothing is missed, and nothing comes twice."""

import contextlib
import threading
import time
from collections.abc import Iterator
from itertools import islice

import pytest
from books import STAMP, append, open_writer

from hourbook.book.entry_filter import make_filter
from hourbook.faces.feed import EVERYTHING, Follower
from hourbook.home import Home
from protocols.entry import Entry
from shm.writer import RingWriter


class Feed:
    """A book and its ring."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.book, self.ring = open_writer(home), RingWriter(home.segment)
        self.ring.rewind(0)
        self.head_seq = 0

    def commit(self, count: int, *, is_large: bool = False) -> None:
        """Write so many entries, which the ring has as stubs where they are large."""
        written = self.book.write([append(self.head_seq + 1, count)], STAMP)
        self.head_seq += count
        records = [None if is_large else record for record in written.records]
        self.ring.publish(written.rows[0][0], records)


@pytest.fixture
def feed(home: Home) -> Iterator[Feed]:
    """Return a feed of an empty book."""
    made = Feed(home)
    yield made
    made.ring.close()
    made.book.close()


def seqs(entries: Iterator[Entry], count: int) -> list[int]:
    """Return what comes next."""
    return [entry.seq for entry in islice(entries, count)]


@pytest.mark.parametrize("since", [0, None], ids=["database", "ring"])
def test_every_way_to_take_an_entry_shares_the_rest(feed: Feed, since: int | None) -> None:
    """A loop that is left, another, `next` and `poll`: one after the other, and interleaved."""
    if since == 0:
        feed.commit(12)
    follower = Follower(feed.home, since)
    if since is None:
        feed.commit(12)
    seen, positions = [], []

    for entry in follower:
        seen.append(entry.seq)
        positions.append(follower.position)
        if entry.seq == 3:
            break
    first, second = iter(follower), iter(follower)
    for taken_from in (first, follower, second, None, first):
        taken = follower.poll(0) if taken_from is None else next(taken_from)
        assert taken is not None
        seen.append(taken.seq)
        positions.append(follower.position)
    seen += seqs(second, 4)

    assert seen == list(range(1, 13))
    assert positions == seen[:8]
    assert follower.position == 12
    assert follower.poll(0) is None
    follower.close()


def test_loop_goes_on_where_another_took_what_it_had(feed: Feed) -> None:
    """An iterator that comes back finds what was gathered since, not what it had once."""
    follower = Follower(feed.home)
    feed.commit(3)
    early = iter(follower)
    assert next(early).seq == 1
    assert seqs(iter(follower), 2) == [2, 3]
    feed.commit(3)
    assert next(follower).seq == 4

    assert seqs(early, 2) == [5, 6]
    follower.close()


def test_loop_passes_over_what_is_skipped(feed: Feed) -> None:
    """`skip_to_head` counts for a loop that is under way."""
    follower = Follower(feed.home)
    feed.commit(5)
    loop = iter(follower)
    assert next(loop).seq == 1

    follower.skip_to_head()
    feed.commit(2)

    assert follower.position == 5
    assert seqs(loop, 2) == [6, 7]
    follower.close()


def test_close_ends_a_loop_that_sleeps(feed: Feed) -> None:
    """From another thread; what was gathered is still given, and afterwards nothing."""
    follower = Follower(feed.home)
    feed.commit(4)
    loop = iter(follower)
    seen = seqs(loop, 1)
    thread = threading.Thread(target=lambda: seen.extend(entry.seq for entry in loop))
    started_s = time.monotonic()

    thread.start()
    follower.close()
    thread.join(30)

    assert seen == [1, 2, 3, 4]
    assert time.monotonic() - started_s < 10
    assert list(follower) == list(loop) == []


def test_position_covers_what_a_filter_passed_over(feed: Feed) -> None:
    """A position is where to go on: after what was returned, before the next that was not."""
    wanted = make_filter(entity=["api.2", "api.5"])
    follower = Follower(feed.home, None, wanted)
    feed.commit(8)

    loop = iter(follower)
    positions = [(next(loop).seq, follower.position) for _ in range(2)]
    rest = []
    for _, position in positions:
        with contextlib.closing(Follower(feed.home, position, wanted)) as other:
            rest.append(other.poll(0))

    assert [seq for seq, _ in positions] == [2, 5]
    assert 2 <= positions[0][1] < 5 <= positions[1][1] <= 8
    assert [entry and entry.seq for entry in rest] == [5, None]
    follower.close()


@pytest.mark.parametrize("wanted", [EVERYTHING, make_filter(kind="log")], ids=["all", "filtered"])
def test_what_the_ring_lacks_comes_in_its_place(feed: Feed, wanted: object) -> None:
    """Stubs among others, at either end, one after the other, are read in the database."""
    follower = Follower(feed.home, None, wanted)  # type: ignore[arg-type]
    for is_large, count in [(True, 2), (False, 3), (True, 1), (False, 2), (True, 3)]:
        feed.commit(count, is_large=is_large)

    assert seqs(iter(follower), 11) == list(range(1, 12))
    assert follower.poll(0) is None
    feed.commit(2)
    assert seqs(iter(follower), 2) == [12, 13]
    follower.close()


def test_future_since_is_waited_for(feed: Feed) -> None:
    """Entries of the ring up to there are no news; stubs among them neither."""
    follower = Follower(feed.home, since=5)
    feed.commit(2)
    feed.commit(2, is_large=True)
    assert follower.poll(0) is None
    assert follower.position == 5

    feed.commit(4)

    assert seqs(iter(follower), 3) == [6, 7, 8]
    follower.close()
