"""How journal_writer keeps the store: when it sweeps, by any clock, and what it tells readers."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest
from kv_writes import NOW_NS, FullDisk, kv_write, put, rows_of, say, written

from actors.config import JournalWriterConfig
from actors.store_desk import SegmentGenerations, StoreDesk
from hourbook.book.journal import Stamp
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols.kv_messages import ValueType
from shm import layout, segment
from shm.reader import GenerationReader
from shm.writer import GenerationWriter

if TYPE_CHECKING:
    from actors.contract import Reactor
    from hourbook.book.stamps import StampSource

S_NS = 1_000_000_000
BUCKETS = range(layout.GENERATION_COUNT)


class Alarm:
    """A reactor and a clock, of which only the test says when it is what time."""

    def __init__(self) -> None:
        self.now_ns = NOW_NS
        self.delay_s: float | None = None
        self._wake: Callable[[], None] | None = None

    def after(self, delay_s: float, wake: Callable[[], None]) -> "Alarm":
        """Arm; there is one timer."""
        assert self.delay_s is None, "the earlier timer was not cancelled"
        self.delay_s, self._wake = delay_s, wake
        return self

    def cancel(self) -> None:
        """Disarm."""
        self.delay_s = None

    def ring(self) -> None:
        """Let the time of the timer come, by a clock that never steps."""
        assert self.delay_s is not None
        self.delay_s = None
        assert self._wake is not None
        self._wake()

    def time_ns(self) -> int:
        """Return UTC."""
        return self.now_ns


class Desk:
    """A store's desk with its book, and a disk that may be full."""

    def __init__(self, home: Home) -> None:
        self.alarm = Alarm()
        self.is_full = False
        self.home = home
        self.open()

    def open(self) -> None:
        """Begin as journal_writer does."""
        config, alarm = JournalWriterConfig(), cast("Any", self.alarm)
        self.desk = StoreDesk(
            self.home,
            config,
            cast("Reactor", alarm),
            cast("StampSource", alarm),
            self._write,
        )
        self.book = BookWriter.open(
            self.home.book_db,
            self.home.keys_dir,
            generations=self.desk.generations,
            volatile=self.desk.volatile(),
        )
        self.desk.open(self.book)

    def close(self) -> None:
        """End as journal_writer does."""
        self.book.close()
        self.desk.close()
        self.alarm.cancel()

    def give(self, key: str, ttl_s: float, **fields: Any) -> None:
        """Give a key a value for so long."""
        op = put(key, 1, ttl_ns=round(ttl_s * S_NS), **fields)
        written(say(self.book, op, at_ns=self.alarm.now_ns))
        self.desk.settle()

    def expired(self) -> list[str]:
        """Return the keys that have an entry of their end, each as often as it has."""
        sql = "SELECT entity FROM entry WHERE kind = 'kv.expire' ORDER BY seq"
        found = self.book.query(lambda connection: connection.execute(sql).fetchall())
        return [entity.partition("/")[2] for (entity,) in found]

    def left(self) -> set[str]:
        """Return the keys that the files have."""
        return {key for _, key in rows_of(self.book)}

    def volatile_disk(self) -> FullDisk:
        """Return the disk of volatile keys, which may be full from now on."""
        volatile = self.desk.volatile()
        assert volatile is not None
        path = self.home.volatile_db
        disk = sqlite3.connect(path, isolation_level=None, factory=FullDisk)
        volatile.connection.close()
        volatile.connection = volatile._connection = disk
        return disk

    def _write(self, changes: list[Any]) -> None:
        if not self.is_full:
            self.book.write(changes, Stamp(self.alarm.now_ns, 0))


@pytest.fixture
def desk(home: Home) -> Iterator[Desk]:
    """Return an open desk."""
    made = Desk(home)
    yield made
    made.close()


def test_values_end_in_time_however_the_clock_is_set(desk: Desk) -> None:
    """A timer that is too early sweeps nothing; a clock set forward is found by the next look."""
    desk.give("late", 1000)
    desk.give("soon", 10)
    desk.give("volatile", 20, type="transient")
    armed_s = desk.alarm.delay_s
    desk.alarm.now_ns -= 3600 * S_NS
    desk.alarm.ring()
    early = desk.expired(), desk.alarm.delay_s
    desk.alarm.now_ns += 3610 * S_NS
    desk.desk.tidy()
    first = desk.expired(), desk.left(), desk.alarm.delay_s
    desk.alarm.now_ns += 10 * S_NS
    desk.alarm.ring()
    second = desk.left(), desk.alarm.delay_s
    desk.alarm.now_ns += 86_400 * S_NS
    desk.desk.sweep_due()

    assert armed_s == 10
    assert early == ([], 60)
    assert first == (["soon"], {"late", "volatile"}, 10)
    assert second == ({"late"}, 60)
    assert (desk.expired(), desk.left()) == (["soon", "late"], set())


@pytest.mark.parametrize("kind", ["persistent", "transient"])
def test_what_is_over_at_the_start_is_swept_at_once(desk: Desk, kind: str) -> None:
    """Whichever file it lies in; what ends later is waited for."""
    desk.give("over", 10, type=kind)
    desk.give("later", 50, type=kind)
    desk.close()
    desk.alarm.now_ns += 20 * S_NS

    desk.open()

    assert desk.alarm.delay_s == 0
    desk.alarm.ring()
    assert (desk.left(), desk.alarm.delay_s) == ({"later"}, 30)


def test_sweep_that_finds_no_room_is_tried_again_in_a_second(desk: Desk) -> None:
    """And not at once for ever; the entry is one."""
    desk.give("k", 10)
    desk.is_full = True
    desk.alarm.now_ns += 10 * S_NS
    desk.alarm.ring()
    waiting_s = desk.alarm.delay_s
    desk.is_full = False

    desk.alarm.ring()

    assert waiting_s == 1
    assert (desk.expired(), desk.alarm.delay_s) == (["k"], None)


def test_volatile_values_that_cannot_leave_a_full_file_are_tried_again_in_a_second(
    desk: Desk,
) -> None:
    """And not at once for ever; they are counted when they are gone."""
    desk.give("k", 10, type="transient")
    disk = desk.volatile_disk()
    disk.is_full = True
    desk.alarm.now_ns += 10 * S_NS
    desk.alarm.ring()
    waiting_s, counted = desk.alarm.delay_s, desk.desk.snapshot()["store_expired_total"]
    disk.is_full = False

    desk.alarm.ring()

    assert (waiting_s, counted) == (1, 0)
    assert (desk.left(), desk.alarm.delay_s) == (set(), None)
    assert desk.desk.snapshot()["store_expired_total"] == 1


def test_key_that_moved_leaves_the_other_file_once_there_is_room(desk: Desk) -> None:
    """That is looked after every second, whatever is written."""
    desk.give("k", 10, type="transient")
    disk, volatile = desk.volatile_disk(), desk.desk.volatile()
    assert volatile is not None
    disk.is_full = True
    volatile.owe([("notes", "k")])
    desk.desk.tidy()
    left = desk.left()
    disk.is_full = False

    desk.desk.tidy()

    assert (left, desk.left()) == ({"k"}, set())


def test_volatile_keys_that_could_not_be_kept_are_once_they_can(desk: Desk) -> None:
    """Who had no place for them ends, and its successor finds one."""
    desk.close()
    desk.home.volatile_db.unlink()
    desk.home.volatile_db.mkdir()
    desk.open()
    without = desk.desk.volatile(), desk.desk.has_lost_volatile()

    desk.home.volatile_db.rmdir()

    assert without == (None, False)
    assert not desk.desk.has_lost_volatile(thoroughly=True)
    assert desk.desk.has_lost_volatile()


def test_many_values_that_end_together_end_in_several_groups(desk: Desk) -> None:
    """A thousand in each, so that others are served between; each has one entry."""
    ops = [put(f"{number:04}", 1, ttl_ns=S_NS) for number in range(2100)]
    written(say(desk.book, *ops))
    written(say(desk.book, *(put(f"v{op.key}", 1, type="cached", ttl_ns=S_NS) for op in ops)))
    desk.desk.settle()
    desk.alarm.now_ns += S_NS
    counts = []

    while desk.alarm.delay_s is not None:
        desk.alarm.ring()
        counts.append(len(desk.left()))

    assert counts == [2200, 200, 0]
    assert desk.expired() == [op.key for op in ops]


@pytest.mark.parametrize(("kind", "other"), [("persistent", "cached"), ("cached", "persistent")])
def test_value_that_is_over_is_in_the_way_of_no_write(
    desk: Desk, kind: ValueType, other: ValueType
) -> None:
    """However many are over at once: those that a group would write leave before it."""
    ops = [put(f"{number:04}", 1, type=kind, ttl_ns=S_NS) for number in range(2100)]
    written(say(desk.book, *ops))
    desk.desk.settle()
    desk.alarm.now_ns += S_NS
    write = kv_write(
        put("2098", 2, type=other), put("2099", 2, type=other), put("new", 2, type=other)
    )

    desk.desk.make_way([write])

    outcome = desk.book.write([write], Stamp(desk.alarm.now_ns, 0)).outcomes[0]
    assert len(written(outcome).versions) == 3
    while desk.alarm.delay_s is not None:
        desk.alarm.ring()
    assert desk.left() == {"2098", "2099", "new"}
    assert sorted(desk.expired()) == ([op.key for op in ops] if kind == "persistent" else [])
    assert desk.desk.snapshot()["store_expired_total"] == len(ops)


@pytest.mark.parametrize("kind", ["persistent", "transient"])
def test_groups_do_not_try_again_what_finds_no_room(desk: Desk, kind: ValueType) -> None:
    """Each would pay for an attempt that fails; the timer tries, once a second."""
    desk.give("k", 10, type=kind)
    disk = desk.volatile_disk()
    desk.is_full = disk.is_full = True
    desk.alarm.now_ns += 10 * S_NS
    desk.alarm.ring()

    for _ in range(5):
        desk.desk.make_way([kv_write(put("other", 1))])
        desk.desk.settle()
    desk.desk.tidy()
    during = desk.desk.snapshot()["store_sweeps_total"]
    desk.is_full = disk.is_full = False
    desk.alarm.ring()
    desk.give("next", 10, type=kind)
    desk.alarm.now_ns += 10 * S_NS
    desk.desk.make_way([])

    assert during == 1
    assert (desk.left(), desk.desk.snapshot()["store_sweeps_total"]) == (set(), 3)


def counters(home: Home) -> Callable[[], list[int]]:
    """Return what reads all counters of the segment that is in force now."""
    load = GenerationReader(segment.open_reader(home.segment)).load
    return lambda: [load(bucket) for bucket in BUCKETS]


def test_counters_that_a_dead_writer_left_odd_end_with_the_next_start(home: Home) -> None:
    """All of them move: what readers keep may be of another book."""
    dead = GenerationWriter(home.segment)
    dead.reset_all()
    dead.begin([7])
    dead.close()
    before = counters(home)()

    desk = Desk(home)

    after = counters(home)()
    assert all(new > old and new % 2 == 0 for old, new in zip(before, after, strict=True))
    desk.close()


def test_first_commit_in_a_new_segment_waits_until_every_reader_has_found_it(home: Home) -> None:
    """Until then nobody keeps anything."""
    began_s = time.monotonic()
    table = SegmentGenerations(home)
    table.reset_all()
    unused = set(counters(home)())

    table.begin([5])

    assert time.monotonic() - began_s >= 0.04
    assert unused == {0}
    during = counters(home)()
    assert [bucket for bucket in BUCKETS if during[bucket] % 2] == [5]
    table.close()


@pytest.mark.parametrize("is_between", [False, True], ids=["before", "between"])
def test_segment_that_is_replaced_is_never_believed_again(home: Home, *, is_between: bool) -> None:
    """Its counters stay odd for ever; those of the next one move with the commit."""
    table = SegmentGenerations(home)
    table.begin([1])
    table.end([1])
    old = counters(home)
    if is_between:
        table.begin([5])
    home.segment.unlink()
    segment.create(home.segment, segment.current_boot_id())
    new = counters(home)
    if not is_between:
        table.begin([5])
        during = new()
        assert all(count % 2 for count in old())
        assert [bucket for bucket in BUCKETS if during[bucket] % 2] == [5]

    table.end([5])

    assert all(count % 2 for count in old())
    assert all(count % 2 == 0 and count for count in new())
    table.close()
