"""The cache of the store: never an old value, always the caller's own, in a bounded room."""

import gc
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from waiting import wait_until

from hourbook.home import Home
from shm import _core, segment
from shm.reader import GenerationReader
from shm.writer import GenerationWriter

NS = "agents"
NESTED = {"a": [1, {"b": [2.5, None]}], "c": {"d": b"x"}, "e": "text"}


class World:
    """What a cache asks of Python, under the test's control."""

    def __init__(self, home: Home) -> None:
        self.values: dict[str, Any] = {}
        self.loaded: list[str] = []
        self.now_ns = 1_000
        self.meanwhile: Callable[[], object] = lambda: None
        self.writer = GenerationWriter(home.segment)
        self.writer.reset_all()
        self.map: Any = segment.open_reader(home.segment).map

    def load(self, key: str) -> tuple[object, int] | None:
        """Read the database."""
        self.loaded.append(key)
        found: tuple[object, int] | None = self.values.get(key)
        self.meanwhile()
        return found

    def cache(self, entries_max: int = 100, bytes_max: int = 1 << 20) -> _core.StoreCache:
        """Return a new cache."""
        return _core.StoreCache(
            NS, self.load, lambda: self.map, lambda: self.now_ns, _elsewhere, entries_max, bytes_max
        )

    def write(self, key: str, value: object, expires_ns: int = 0) -> None:
        """Commit a value as the protocol says."""
        bucket = bucket_of(key)
        self.writer.begin([bucket])
        self.values[key] = (value, expires_ns)
        self.writer.end([bucket])


def _elsewhere(*args: object, **kwargs: object) -> tuple[object, object]:
    return args, kwargs


def bucket_of(key: str) -> int:
    """Return the bucket of a key, as other languages would."""
    return zlib.crc32(key.encode(), zlib.crc32(NS.encode())) & 4095


@pytest.fixture
def world(home: Home) -> Iterator[World]:
    """A segment with a writer, and a database that is a dict."""
    world = World(home)
    yield world
    world.writer.close()


@pytest.mark.parametrize("key", ["k", "ключ", "\0", "x" * 1024, "🕰"])
def test_second_get_reads_nothing_until_the_key_is_written(world: World, key: str) -> None:
    """The bucket is the one of zlib.crc32 over UTF-8, whatever the key."""
    cache = world.cache()
    world.write(key, 1)

    before = [cache.get(key), cache.get(key)]
    world.write(key, 2)

    assert before == [1, 1]
    assert [cache.get(key), cache.get(key)] == [2, 2]
    assert world.loaded == [key, key]


@pytest.mark.parametrize(
    "value", [None, 0, "", False, b"", 2.5, [], {}, [1, "a"], {"a": 1}, NESTED]
)
def test_every_value_comes_back_as_the_callers_own(world: World, value: object) -> None:
    """What a caller does to a dict or list is nobody else's; empty values are values."""
    cache = world.cache()
    world.write("k", value)

    got = [cache.get("k", "absent") for _ in range(3)]

    assert got == [value] * 3
    assert world.loaded == ["k"]
    assert not isinstance(value, dict | list) or len({id(one) for one in got}) == 3
    if value is NESTED:
        got[1]["a"][1]["b"].append("mine")
        got[1]["c"].clear()
        assert cache.get("k") == NESTED


def test_absence_is_kept_too(world: World) -> None:
    """A key that is not there costs one read, and answers the fallback of each call."""
    cache = world.cache()

    assert [cache.get("k"), cache.get("k", 5)] == [None, 5]
    assert world.loaded == ["k"]
    world.write("k", 1)
    assert cache.get("k", 5) == 1


def test_nothing_is_kept_while_a_commit_is_under_way(world: World) -> None:
    """An odd counter is not waited for either."""
    cache = world.cache()
    world.write("k", 1)
    world.writer.begin([bucket_of("k")])

    got = [cache.get("k"), cache.get("k")]

    assert got == [1, 1]
    assert world.loaded == ["k", "k"]


def test_what_was_read_beside_a_commit_is_not_served_again(world: World) -> None:
    """The counter is loaded first, so that a commit during the read shows."""
    cache = world.cache()
    world.write("k", 1)
    world.meanwhile = lambda: world.write("k", 2)

    first = cache.get("k")
    world.meanwhile = lambda: None

    assert [first, cache.get("k")] == [1, 2]


def test_a_value_ends_with_its_time(world: World) -> None:
    """A hit compares the clock; nobody has to sweep."""
    cache = world.cache()
    world.write("k", {"v": 1}, expires_ns=2_000)

    alive = cache.get("k")
    world.now_ns = 2_000

    assert alive == {"v": 1}
    assert cache.get("k", "gone") == "gone"
    assert world.loaded == ["k"]


def test_a_time_limit_that_is_far_off_needs_no_clock(world: World) -> None:
    """One look a lease will do; so a clock that was set shows within 20 ms."""
    cache = world.cache()
    world.write("k", 1, expires_ns=10**10)
    cache.get("k")

    world.now_ns = 10**10

    wait_until(lambda: cache.get("k") is None, 5, "the next lease")


def test_a_closed_segment_keeps_nothing(world: World, home: Home) -> None:
    """After a stop every get reads; the next tree may have another book."""
    cache = world.cache()
    world.write("k", 1)
    cache.get("k")

    segment.mark_closed(home.segment)

    assert [cache.get("k"), cache.get("k")] == [1, 1]
    assert world.loaded == ["k"] * 3
    assert cache.figures()[3] == 0


def test_another_segment_empties_the_cache_within_its_lease(world: World, home: Home) -> None:
    """A map whose file was removed never moves again: it is trusted for 20 ms only."""
    cache = world.cache()
    world.write("k", 1)
    cache.get("k")
    home.segment.unlink()
    segment.ensure(home.segment)
    world.map = segment.open_reader(home.segment).map
    world.values["k"] = (2, 0)

    wait_until(lambda: cache.get("k") == 2, 5, "the lease of the old segment to end")

    assert world.loaded[-1] == "k"


def test_a_table_that_no_writer_has_used_keeps_nothing(world: World, home: Home) -> None:
    """The writer may not have noticed yet that its own file is gone."""
    home.segment.unlink()
    segment.ensure(home.segment)
    world.map = segment.open_reader(home.segment).map
    cache = world.cache()
    world.write("k", 1)  # in the table that is gone

    first = cache.get("k")
    world.write("k", 2)

    assert [first, cache.get("k")] == [1, 2]


def test_without_a_segment_every_get_reads(world: World) -> None:
    """A home without a tree."""
    world.map = None
    cache = world.cache()
    world.values["k"] = (1, 0)

    assert [cache.get("k"), cache.get("k")] == [1, 1]
    assert world.loaded == ["k", "k"]


def test_room_is_bounded_and_what_is_used_stays(world: World) -> None:
    """By entries and by bytes; what would take an eighth of the room is not kept at all."""
    few, small = world.cache(entries_max=10), world.cache(bytes_max=10_000)
    for number in range(100):
        world.values[str(number)] = ("x" * 500, 0)
    world.values["large"] = ("x" * 2_000, 0)

    for number in range(100):
        for cache in (few, small):
            cache.get(str(number))
            cache.get("0")
    world.loaded.clear()
    small.get("large")
    small.get("large")
    few.get("0")

    assert few.figures()[2:4] == (90, 10)
    assert 0 < small.figures()[4] <= 10_000
    assert world.loaded == ["large", "large"]


def test_a_failed_read_is_raised_and_not_kept(world: World) -> None:
    """Redacted, say; and what is no pair is a mistake of ours."""
    cache = world.cache()
    world.write("k", 1)

    def fail() -> None:
        raise LookupError("redacted")

    world.meanwhile = fail
    for _ in range(2):
        with pytest.raises(LookupError, match="redacted"):
            cache.get("k")
    world.meanwhile = lambda: None
    world.values["k"] = (1, 2, 3, 4)
    with pytest.raises(TypeError):
        cache.get("k")

    assert cache.figures()[3] == 0


def test_the_loader_may_use_and_clear_the_cache(world: World) -> None:
    """Nothing borrowed is held across a call of Python's; what was cleared stays so."""
    cache = world.cache()
    world.write("k", NESTED)
    world.write("other", 1)
    depth = iter(range(3))

    def again() -> None:
        if next(depth, None) is not None:
            cache.get("k")
            cache.get("other")
            cache.clear()

    world.meanwhile = again
    got = cache.get("k")

    assert got == NESTED
    assert cache.get("k") == NESTED


def test_what_was_loaded_before_another_segment_came_is_not_kept(world: World, home: Home) -> None:
    """Its counter is of the old table, and may by chance be that of the new one."""
    cache = world.cache()
    world.write("k", "old")
    world.write("other", 1)
    home.segment.unlink()
    new = GenerationWriter(home.segment)
    new.reset_all()
    for _ in range(2):
        new.begin([bucket_of("k")])
        new.end([bucket_of("k")])
    while _counter(world.writer) < _counter(new):
        world.write("k", "old")
    end_s = time.monotonic() + 0.05  # of the lease, beside the clock that it is counted by

    def replace() -> None:
        world.meanwhile = lambda: None
        wait_until(lambda: time.monotonic() > end_s, 5, "the lease to end")
        world.map = segment.open_reader(home.segment).map
        cache.get("other")
        world.values["k"] = ("new", 0)

    world.meanwhile = replace

    assert cache.get("k") == "old"
    assert _counter(world.writer) == _counter(new)
    assert cache.get("k") == "new"
    new.close()


def _counter(writer: GenerationWriter) -> int:
    return GenerationReader(writer.segment).load(bucket_of("k"))


def test_other_arguments_are_answered_elsewhere(world: World) -> None:
    """As they came; so are keys that are no text."""
    cache = world.cache()
    get: Any = cache.get

    assert get("k", version=3) == (("k",), {"version": 3})
    assert get(3) == ((3,), {})
    assert get() == ((), {})


def test_threads_never_see_a_value_go_back(world: World) -> None:
    """Readers of one cache, while a writer goes on."""
    cache = world.cache(entries_max=2)
    world.write("k", [0])
    stop = threading.Event()
    backwards: list[tuple[int, int]] = []

    def read() -> None:
        last = 0
        while not stop.is_set():
            (number,) = cache.get("k")
            cache.get("other")
            cache.get("third")
            if number < last:
                backwards.append((last, number))
            last = number

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 3_000):
        world.write("k", [number])
        assert cache.get("k") == [number]
    stop.set()
    for thread in threads:
        thread.join()

    assert backwards == []


def test_a_forgotten_cache_is_collected(world: World) -> None:
    """Its owner's methods lead back to it."""

    class Owner:
        def __init__(self) -> None:
            self.cache = _core.StoreCache(
                NS, world.load, lambda: world.map, self.time, self.time, 10, 1 << 20
            )

        def time(self) -> int:
            return 0

    owner = Owner()
    owner.cache.get("k")
    gone = weakref.ref(owner)
    get = owner.cache.get

    del owner
    gc.collect()
    still_there = gone() is not None
    del get
    gc.collect()

    assert still_there
    assert gone() is None


def test_uses_that_others_want_to_know_of_are_told_once(world: World) -> None:
    """Those of keys whose reader said so; until they are used again."""
    cache = world.cache(entries_max=3)
    world.values |= {"a": (1, 0, True), "b": (2, 0), "c": ([3], 0, True)}
    for key in "abc":
        cache.get(key)

    first, second = cache.news(10), cache.news(10)
    cache.get("a")
    cache.get("b")

    assert (sorted(first), second) == (["a", "c"], [])
    assert cache.news(10) == ["a"]
    for key in "acxyz":
        cache.get(key)
    assert len(cache.news(1)) <= 1
    cache.clear()
    assert cache.news(10) == []
