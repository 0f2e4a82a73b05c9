"""The feed ring: records in order, followers that are lapped know it, and no wake-up is lost."""

import threading
import time

import pytest
from ring_records import records_from

from hourbook.home import Home
from shm import layout, segment
from shm.reader import Lapped, RingReader
from shm.writer import RingWriter


@pytest.fixture
def feed(home: Home) -> RingWriter:
    """Return a writer that has announced an empty database."""
    made = RingWriter(home.segment)
    made.rewind(0)
    return made


def reader_of(feed: RingWriter) -> RingReader:
    """Return a reader with a map of its own."""
    return RingReader(segment.open_reader(feed.segment.path))


def test_records_are_read_in_order(feed: RingWriter) -> None:
    """What is published is read, whole, however the reads are cut; and how far that goes."""
    payloads = [b"", b"1", b"12345678", b"123456789" * 100]
    feed.publish(1, payloads)
    reader = reader_of(feed)

    first, seen, position, seq = reader.read(0, 0, 3)
    rest, last, end, last_seq = reader.read(position, seen, 100)

    assert first + rest == payloads
    assert (seen, seq, last, last_seq) == (3, 3, 4, 4)
    assert (end, last_seq) == reader.head()
    assert reader.read(end, 4, 10) == ([], 4, end, last_seq)
    assert records_from(reader, 0) == (list(enumerate(payloads, 1)), end)


@pytest.mark.parametrize("seen_seq", range(8))
def test_read_leaves_out_what_was_seen(feed: RingWriter, seen_seq: int) -> None:
    """Whoever begins further on gets what follows that, and is never taken back."""
    feed.publish(1, [b"%d" % seq for seq in range(1, 6)])
    reader = reader_of(feed)

    payloads, last, position, seq = reader.read(0, seen_seq, 10)

    assert payloads == [b"%d" % seq for seq in range(seen_seq + 1, 6)]
    assert last == max(seen_seq, 5)
    assert (position, seq) == reader.head()


def test_read_ends_at_a_stub(feed: RingWriter) -> None:
    """What is before it is seen, it is not; who has read it in the database goes on after it."""
    feed.publish(1, [b"a", None, None, b"b"])
    reader = reader_of(feed)

    before = reader.read(0, 0, 10)
    another = reader.read(before[2], 2, 10)
    after = reader.read(another[2], 3, 10)

    assert (before[:2], before[3]) == (([b"a"], 1), 2)
    assert (another[:2], another[3]) == (([], 2), 3)
    assert after == ([b"b"], 4, *reader.head())
    assert reader.read(0, 3, 10) == after  # stubs of what was seen are passed over


def test_read_leaves_out_what_lacks_a_needle(feed: RingWriter) -> None:
    """One of each tuple must be there; stubs are for everybody; what was looked at is told."""
    feed.publish(1, [b"red fox", b"red hen", b"blue fox", b"hen", None, b"grey fox", b""])
    reader = reader_of(feed)
    needles = ((b"red", b"blue"), (b"fox",))

    payloads, seen, position, seq = reader.read(0, 0, 7, needles)

    assert payloads == [b"red fox", b"blue fox"]
    assert (seen, seq) == (4, 5)
    assert reader.read(position, 5, 5, needles) == ([], 7, *reader.head())
    assert reader.read(position, 5, 5, ((),))[0] == []
    assert reader.read(position, 5, 5, ())[0] == [b"grey fox", b""]


def test_read_sleeps_until_something_is_wanted(feed: RingWriter) -> None:
    """What is not wanted wakes it and is passed over; the time-out ends it, and tells how far."""
    reader = reader_of(feed)
    found: list[object] = []

    def follow() -> None:
        found.append(reader.read(0, 0, 2, ((b"fox",),), 30))

    thread = threading.Thread(target=follow)
    thread.start()
    for seq, payload in enumerate([b"hen", b"owl", b"hen", b"fox"], 1):
        feed.publish(seq, [payload])
    thread.join(30)

    assert found == [([b"fox"], 4, *reader.head())]
    feed.publish(5, [b"hen"])
    assert reader.read(0, 0, 2, ((b"cat",),), 0.01) == ([], 5, *reader.head())
    assert reader.read(0, 9, 2, (), 0.01) == ([], 9, *reader.head())  # all of it was seen
    with pytest.raises(ValueError, match="timeout_s must be in"):
        reader.read(0, 0, 1, (), -1)


@pytest.mark.parametrize("needles", [b"fox", (b"fox",), (("fox",),), [(b"fox",)]])
def test_needles_are_tuples_of_tuples_of_bytes(feed: RingWriter, needles: object) -> None:
    """Anything else is the caller's mistake, said at once; so is a limit that reads nothing."""
    with pytest.raises(TypeError, match="tuple of tuples of bytes"):
        reader_of(feed).read(0, 0, 1, needles)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="limit must be >= 1"):
        reader_of(feed).read(0, 0, 0)


def test_large_payload_and_none_become_stubs(feed: RingWriter) -> None:
    """The follower is told to read the database."""
    largest = b"x" * layout.RING_PAYLOAD_BYTES_MAX
    feed.publish(1, [largest + b"y", None, largest])

    records, _ = records_from(reader_of(feed), 0)

    assert records == [(1, None), (2, None), (3, largest)]


def test_lapped_follower_is_told(feed: RingWriter) -> None:
    """A position that was overwritten raises; the tail is where reading can begin."""
    reader = reader_of(feed)
    for seq in range(1, 10):
        feed.publish(seq, [bytes([seq]) * 1_000_000])

    with pytest.raises(Lapped, match="Expected a position at or after"):
        reader.read(0, 0, 1)
    records, _ = records_from(reader, reader.tail())

    assert [seq for seq, _ in records] == [6, 7, 8, 9]
    assert all(payload == bytes([seq]) * 1_000_000 for seq, payload in records)


def test_batch_larger_than_the_ring_keeps_its_end(feed: RingWriter) -> None:
    """A burst of any size is published in parts, and never over itself."""
    feed.publish(1, [bytes([seq]) * 999_999 for seq in range(1, 21)])
    reader = reader_of(feed)

    records, end = records_from(reader, reader.tail())

    assert [seq for seq, _ in records] == [17, 18, 19, 20]
    assert (end, 20) == reader.head()


@pytest.mark.parametrize("position", [4, 8, 1 << 40, (1 << 64) - 8])
def test_position_that_is_none_is_lapped(feed: RingWriter, position: int) -> None:
    """Whoever holds a position that means nothing must start afresh, and is never fed garbage."""
    feed.publish(1, [b"\xff" * 64])

    with pytest.raises(Lapped):
        reader_of(feed).read(position, 0, 10)


def test_seq_must_follow(feed: RingWriter) -> None:
    """A gap in the feed is our own mistake, and is refused."""
    with pytest.raises(ValueError, match="Expected first_seq 1, got 2"):
        feed.publish(2, [b"x"])
    with pytest.raises(TypeError, match="bytes or None, got str"):
        feed.publish(1, [b"x", "y"])  # type: ignore[list-item]

    assert reader_of(feed).head() == (0, 0)


def test_rewind_to_the_same_seq_changes_nothing(feed: RingWriter) -> None:
    """A restarted writer whose database agrees disturbs no follower."""
    feed.publish(1, [b"x", b"y"])
    feed.close()
    successor = RingWriter(feed.segment.path)

    successor.rewind(2)
    successor.publish(3, [b"z"])

    assert records_from(reader_of(feed), 0)[0] == [(1, b"x"), (2, b"y"), (3, b"z")]
    successor.close()


@pytest.mark.parametrize("head_seq", [1, 5], ids=["back", "further"])
def test_rewind_to_another_seq_laps_every_follower(feed: RingWriter, head_seq: int) -> None:
    """Whoever was up to date, or waits, must look at the database."""
    feed.publish(1, [b"x", b"y"])
    reader = reader_of(feed)
    position, seq = reader.head()

    feed.rewind(head_seq)
    woken = reader.wait(seq, 0)
    feed.publish(head_seq + 1, [b"z"])

    assert woken
    with pytest.raises(Lapped):
        reader.read(position, seq, 10)
    assert records_from(reader, reader.tail())[0] == [(head_seq + 1, b"z")]


def test_wait_times_out_and_sees_what_is_there(feed: RingWriter) -> None:
    """It sleeps as long as asked, and not at all where there is news."""
    reader = reader_of(feed)
    started_s = time.monotonic()

    assert not reader.wait(0, 0.05)
    assert 0.05 <= time.monotonic() - started_s < 5
    feed.publish(1, [b"x"])

    assert reader.wait(0, 60)
    with pytest.raises(ValueError, match="timeout_s must be in"):
        reader.wait(0, -1)


def test_no_wake_up_is_lost(feed: RingWriter) -> None:
    """Ping-pong 2000 times without a time-out: one lost wake-up would hang both sides."""
    rounds = 2000
    reader = reader_of(feed)
    seen: list[int] = []
    progressed = threading.Semaphore(0)

    def follow() -> None:
        position, seq = 0, 0
        while seq < rounds:
            assert reader.wait(seq, 30), f"a wake-up was lost after {seq}"
            payloads, seq, position, _ = reader.read(position, seq, 1000)
            seen.extend(map(len, payloads))
            progressed.release()

    follower = threading.Thread(target=follow)
    follower.start()
    for seq in range(1, rounds + 1):
        feed.publish(seq, [b"x" * (seq % 50)])
        assert progressed.acquire(timeout=30)
    follower.join(30)

    assert seen == [seq % 50 for seq in range(1, rounds + 1)]
