"""Watching the store from other processes: order, resumption, and what is left when it ends."""

import asyncio
import contextlib
import gc
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from book_actors import ActorProcess, QuickWriter
from books import raw_connection
from waiting import wait_until

from hourbook.faces.book import Book, connect
from hourbook.faces.store import Store
from hourbook.faces.watch import StoreEvent, Watch
from hourbook.home import Home, prepare_home
from protocols import errors

pytestmark = pytest.mark.live

WATCHER = """
import sys, hourbook
name, home, glob = sys.argv[1:]
book = hourbook.connect(name, home)
watch = book.store("app").watch(glob)
print("up", flush=True)
for event in watch:
    print(event.kind, event.key, event.value, event.version, flush=True)
"""


@pytest.fixture
def book(writer: ActorProcess) -> Iterator[Book]:
    """Connect to it."""
    with connect("tester", writer.home) as connected:
        yield connected


def drain(watch: Watch) -> list[StoreEvent]:
    """Return what is there."""
    found = []
    while (event := watch.poll(0.2)) is not None:
        found.append(event)
    return found


def test_watch_yields_what_is_done_to_keys_that_fit_in_the_order_of_the_book(
    book: Book, store: Store
) -> None:
    """Sets, increments, deletes, locks; of this namespace and glob, and nothing else."""
    with store.watch("job/*") as watch:
        version = store.set("job/1", {"step": 1})
        store.set("other", 1)
        book.store("app2").set("job/1", 2)
        book.log("job/1", "app/job/1")
        store.increment("job/n", 5)
        with store.lock("job/1") as lock:
            pass
        store.delete("job/1")

        found = drain(watch)

    assert [(event.kind, event.key) for event in found] == [
        ("kv.set", "job/1"),
        ("kv.set", "job/n"),
        ("lock.grant", "job/1"),
        ("lock.release", "job/1"),
        ("kv.delete", "job/1"),
    ]
    assert [event.value for event in found] == [{"step": 1}, 5, None, None, None]
    assert [event.token for event in found] == [0, 0, lock.token, lock.token, 0]
    assert found[0].version == version
    assert found[1].action == "increment"
    assert found[0].writer == "tester"


def test_watch_of_one_key_is_not_misled_by_longer_ones(store: Store) -> None:
    """A glob without wildcards is that key."""
    with store.watch("k") as watch:
        for key in ("k2", "k", "kk"):
            store.set(key, key)

        assert [event.key for event in drain(watch)] == ["k"]


def test_watch_goes_on_where_an_earlier_one_ended(store: Store) -> None:
    """From the ring or the database, nothing is missed and nothing comes twice."""
    with store.watch() as watch:
        for number in range(3):
            store.set("k", number)
        assert next(watch).value == 0
        position = watch.position

    with store.watch(since=position) as again:
        store.set("k", 3)
        assert [event.value for event in drain(again)] == [1, 2, 3]


def test_slow_watcher_misses_nothing_that_the_ring_has_lost(store: Store) -> None:
    """Small ones among large ones that fit no ring, and two rings full of others."""
    large, filling = b"x" * (2 << 20), b"y" * 1_000_000
    with store.watch("k*") as watch:
        store.set("k0", 0)
        assert next(watch).value == 0
        for number in range(1, 9):
            store.set("k-large" if number % 4 == 0 else "k", large[number:])
            store.set_nowait("other", filling)
            store.set("k", number)

        found = drain(watch)

    assert [len(event.value) for event in found[::2]] == [len(large) - n for n in range(1, 9)]
    assert [event.value for event in found[1::2]] == [*range(1, 9)]
    assert [event.version for event in found] == sorted(event.version for event in found)


def test_watch_sees_of_a_branch_what_is_merged_and_no_more(book: Book, store: Store) -> None:
    """What would be is not what is."""
    with store.watch("k") as watch:
        store.set("k", 1)
        book.create_branch("try")
        with connect("trying", book.home, branch="try") as trying:
            trying.store("app").set("k", 2)
        store.set("other", 1)
        assert [event.value for event in drain(watch)] == [1]

        book.merge_branch("try")

        assert [event.value for event in drain(watch)] == [2]


def test_expiry_is_one_event_at_its_time(store: Store) -> None:
    """The writer sweeps by itself."""
    with store.watch("short") as watch:
        store.set("short", 1, ttl_s=0.2)

        events = [next(watch), next(watch)]

        assert [event.kind for event in events] == ["kv.set", "kv.expire"]
        assert events[1].value is None
        assert watch.poll(0.3) is None


def test_watch_from_before_the_kept_past_is_refused_and_told_where_it_begins(
    book: Book, store: Store
) -> None:
    """Never a silent gap."""
    for number in range(5):
        store.set("k", number)
    head = book.head()
    assert head is not None
    with contextlib.closing(raw_connection(book.home.book_db)) as raw:
        raw.execute("INSERT INTO kv_floor VALUES ('app', ?)", (head.last_seq - 1,))

    with pytest.raises(errors.Compacted) as refused:
        store.watch(since=1)

    assert refused.value.value == str(head.last_seq - 1)
    with store.watch(since=head.last_seq - 2) as watch:
        assert [event.value for event in drain(watch)] == [3, 4]
    with book.store("elsewhere").watch(since=0) as unharmed:
        assert drain(unharmed) == []


def test_watcher_in_another_process_sees_each_write_through_a_killed_writer(home: Home) -> None:
    """In order, without a gap and without a double."""
    writer = QuickWriter(home)
    watcher = None
    try:
        with connect("tester", home) as book:
            store = book.store("app")
            store.set("before", 0)
            command = [sys.executable, "-c", WATCHER, "watcher", str(home.path), "k*"]
            watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert watcher.stdout is not None
            assert watcher.stdout.readline() == "up\n"
            versions = []
            for number in range(30):
                versions.append(store.set("k", number))
                if number % 10 == 5:
                    writer.kill()
                    writer.start()

            lines = [watcher.stdout.readline().split() for _ in range(30)]
    finally:
        if watcher is not None and watcher.stdout is not None:
            watcher.kill()
            watcher.wait(10)
            watcher.stdout.close()
        writer.stop()
    assert lines == [["kv.set", "k", str(n), str(v)] for n, v in enumerate(versions)]


@pytest.mark.parametrize("what", ["segment", "run directory"])
def test_watch_lock_and_read_go_on_in_a_segment_that_was_replaced(home: Home, what: str) -> None:
    """Under a writer that goes on, or with the whole run directory, as logind removes it."""
    writer = QuickWriter(home)
    seen: list[object] = []

    def follow(watch: Watch) -> None:
        with contextlib.suppress(errors.BookClosed):
            seen.extend(event.value for event in watch)

    try:
        with connect("tester", home) as book, connect("other", home) as other:
            store, reader = book.store("app"), other.store("app")
            store.set("k", 0)
            lock = store.lock("l", ttl_s=20).acquire()
            thread = threading.Thread(target=follow, args=(reader.watch("k"),), daemon=True)
            thread.start()
            store.set("k", 1)
            wait_until(lambda: reader.get("k") == 1 and seen == [1], 5, "the first event")

            if what == "segment":
                home.segment.unlink()
                wait_until(home.segment.exists, 5, "the writer to make another")
            else:
                writer.kill()
                shutil.rmtree(home.run_dir)
                prepare_home(home)
                writer.start()
            store.set("k", 2)
            read = reader.get("k")
            store.set("l", 1, token=lock.token)

            wait_until(lambda: seen == [1, 2], 5, "the second event")
            assert read == 2
            assert lock.release()
    finally:
        writer.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_watch_that_is_closed_or_dropped_leaves_nothing_behind(store: Store) -> None:
    """No descriptor, no mapping, no thread, however often, and without the collector's help."""

    def counts() -> tuple[int, int, int]:
        mapped = Path("/proc/self/maps").read_text().count("segment")
        return len(list(Path("/proc/self/fd").iterdir())), mapped, threading.active_count()

    def watch_once(number: int) -> None:
        with store.watch() as watch:
            store.set("k", number)
            assert next(watch).value == number
            assert store.stats().watches == 1
        assert store.stats().watches == 0
        for event in store.watch("k", since=0):
            assert event.value == 0
            break

    async def drop() -> StoreEvent:
        async for event in store.asynchronous().watch("k", since=0):
            return event
        raise AssertionError("a watch does not end by itself")

    def watch_in_a_loop() -> None:
        assert asyncio.run(drop()).value == 0
        wait_until(lambda: threading.active_count() <= 2, 5, "the end of the loop's watch")

    store.set("k", 0)
    watch_once(1)
    watch_in_a_loop()
    gc.collect()
    before = counts()
    gc.disable()
    try:
        for number in range(20):
            watch_once(number)
        watch_in_a_loop()
        after = counts()
    finally:
        gc.enable()

    assert after == before
    assert store._watches.all() == []


def test_watch_ends_with_its_book(writer: ActorProcess) -> None:
    """Also for a thread that sleeps in it."""
    book = connect("short", writer.home)
    watch = book.store("app").watch()
    ended = threading.Event()

    def follow() -> None:
        with contextlib.suppress(errors.BookClosed):
            for _ in watch:
                pass
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    book.close()

    assert ended.wait(5)
    assert watch.is_closed


def test_watch_in_asyncio_yields_the_same(store: Store) -> None:
    """``async for`` over a watch."""

    async def follow() -> list[object]:
        seen: list[object] = []
        watch = store.watch("k")
        async with aiter(watch) as events:
            await asyncio.get_running_loop().run_in_executor(None, store.set, "k", "one")
            await asyncio.get_running_loop().run_in_executor(None, store.set, "k", "two")
            async for event in events:
                seen.append(event.value)
                if len(seen) == 2:
                    return seen
        return seen

    assert asyncio.run(follow()) == ["one", "two"]


def test_watch_that_is_closed_ends_the_loop_over_it(store: Store) -> None:
    """Also where that loop waits in asyncio, and after the events that were there."""

    async def follow() -> list[object]:
        watch = store.watch("k", since=0)
        events = aiter(watch)
        seen = [(await anext(events)).value]
        watch.close()
        seen += [event.value async for event in events]
        return seen

    store.set("k", 1)

    assert asyncio.run(asyncio.wait_for(follow(), 5)) == [1]


@pytest.mark.parametrize("glob", ["", "[", "k" * 2000])
def test_watch_with_a_bad_glob_is_refused_at_the_call(store: Store, glob: str) -> None:
    """Before anything is followed."""
    store.set("k", 1)
    with pytest.raises((errors.BadRequest, errors.LimitExceeded)):
        store.watch(glob)


def test_event_comes_promptly_after_its_write(store: Store) -> None:
    """Woken by the kernel: much sooner than any poll."""
    took_ns = []
    store.set("k", 0)
    with store.watch("k") as watch:
        seen = threading.Event()
        arrived: list[int] = []

        def follow() -> None:
            for _ in watch:
                arrived.append(time.monotonic_ns())
                seen.set()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        for number in range(20):
            seen.clear()
            store.set("k", number)
            done_ns = time.monotonic_ns()
            assert seen.wait(5)
            took_ns.append(arrived[-1] - done_ns)
    wait_until(lambda: not thread.is_alive(), 5, "the watcher to end")
    assert sorted(took_ns)[10] < 20_000_000
