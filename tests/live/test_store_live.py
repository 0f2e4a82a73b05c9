"""The store as agents use it, on a real writer: values, versions, the past, and bad input."""

import asyncio
import inspect
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from book_actors import ActorProcess, running_writer
from waiting import wait_until

from hourbook.book.reader import BookReader
from hourbook.faces.book import Book, connect
from hourbook.faces.store import Store
from hourbook.home import Home, find_home, prepare_home
from protocols import errors

pytestmark = pytest.mark.live

LARGEST = (16 << 20) - 12
"""Bytes of a value whose entry says nothing else, and is 16 MiB long."""
CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, ActorProcess]]:
    """One writer for all of these tests; each has a namespace of its own."""
    home = find_home(tmp_path_factory.mktemp("store"))
    prepare_home(home)
    with running_writer(home) as writer:
        yield home, writer
    shutil.rmtree(home.run_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def book(running: tuple[Home, ActorProcess]) -> Iterator[Book]:
    """A connection that all of these tests share."""
    with connect("tester", running[0]) as book:
        yield book


@pytest.fixture
def store(book: Book, request: pytest.FixtureRequest) -> Store:
    """A namespace of this test's own."""
    name = request.node.name.split("[")[0].removeprefix("test_")[:56]
    return book.store(f"{name}-{abs(hash(request.node.name)) % 10**6}")


@pytest.mark.parametrize(
    "value",
    [
        *(None, 0, "", False, b"", [], {}),
        *(b"\xff\x00", "日本\0", 1 << 63, -(1 << 63), 2.5, math.inf),
        {"a": [1, {"b": None}], "1": b"x"},
        datetime(2026, 11, 21, tzinfo=UTC),
        "x" * 100_000,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_every_value_comes_back_as_it_was(store: Store, value: object) -> None:
    """From the cache and from the file; what is empty is there."""
    version = store.set("k", value)

    got = [store.get("k", "absent"), store.get("k", "absent")]

    assert got == [value, value]
    assert [type(one) for one in got] == [type(value)] * 2
    assert store.get_many(["k", "other"]) == {"k": value}
    assert list(store.scan()) == [("k", value)]
    assert store.get("k", version=version) == value


def test_the_largest_value_and_key_come_back(store: Store) -> None:
    """The next byte is refused, below."""
    store.set("k", bytes(LARGEST))
    store.set("é" * 512, 1)

    assert store.get("k") == bytes(LARGEST)
    assert store.get("é" * 512) == 1


def test_nan_is_a_float_like_others(store: Store) -> None:
    """MessagePack carries it, so the store does."""
    store.set("k", math.nan)

    assert math.isnan(store.get("k"))
    assert math.isnan(store.get_item("k").value)  # type: ignore[union-attr]


BAD: dict[str, Callable[[Store], object]] = {
    "an empty key": lambda s: s.set("", 1),
    "a long key": lambda s: s.set("é" * 513, 1),
    "a key of bytes": lambda s: s.set(b"k", 1),  # type: ignore[arg-type]
    "a surrogate in the key": lambda s: s.set("\ud800", 1),
    "get of an empty key": lambda s: s.get(""),
    "get of a long key": lambda s: s.get("x" * 1025),
    "get of bytes": lambda s: s.get(b"k"),  # type: ignore[arg-type]
    "get of a surrogate": lambda s: s.get("\ud800"),
    "many of a text": lambda s: s.get_many("keys"),
    "many of a number": lambda s: s.get_many(5),  # type: ignore[arg-type]
    "many of lists": lambda s: s.get_many([[]]),  # type: ignore[list-item]
    "history of an empty key": lambda s: s.history(""),
    "an object": lambda s: s.set("k", object()),
    "a lock": lambda s: s.set("k", threading.Lock()),
    "a cycle": lambda s: s.set("k", CYCLE),
    "a surrogate": lambda s: s.set("k", "\udcff"),
    "a wide integer": lambda s: s.set("k", 1 << 64),
    "too much": lambda s: s.set("k", bytes((16 << 20) + 1)),
    "a byte too much": lambda s: s.set("k", bytes(LARGEST + 1)),
    "too deep": lambda s: s.set("k", deep(29)),
    "a negative ttl": lambda s: s.set("k", 1, ttl_s=-1),
    "a ttl of nothing": lambda s: s.set("k", 1, ttl_s=0),
    "a ttl that is no number": lambda s: s.set("k", 1, ttl_s=math.nan),
    "an endless ttl": lambda s: s.set("k", 1, ttl_s=math.inf),
    "a ttl of many digits": lambda s: s.set("k", 1, ttl_s=10**5000),
    "a value with gaps": lambda s: s.set("k", memoryview(b"abcd")[::2]),
    "both ttls": lambda s: s.set("k", 1, ttl_s=1, keep_ttl=True),
    "an unknown type": lambda s: s.set("k", 1, type="eternal"),  # type: ignore[arg-type]
    "a negative version": lambda s: s.set("k", 1, if_version=-1),
    "metadata that is no map": lambda s: s.set("k", 1, metadata=[1]),  # type: ignore[arg-type]
    "much metadata": lambda s: s.set("k", 1, metadata={"a": "x" * 65_536}),
    "adding nan": lambda s: s.increment("k", math.nan),
    "adding a wide integer": lambda s: s.increment("k", 1 << 63),
    "adding truth": lambda s: s.increment("k", by=True),
    "adding to text": lambda s: s.increment("text"),
    "a bad glob": lambda s: s.keys("["),
    "a bad glob to count": lambda s: s.count("[z-a]"),
    "no attempts": lambda s: s.update("k", str, attempts=0),
    "a version and a moment": lambda s: s.get("k", version=1, at=1),
    "no moment": lambda s: s.get("k", at="yesterday"),
    "no limit": lambda s: s.history("k", limit=0),
    "a foreign token": lambda s: s.set("text", 1, token=1),
    "a token of nobody": lambda s: s.delete("text", token=1 << 62),
    "no token": lambda s: s.set("k", 1, type="locked"),
    "a stale version": lambda s: s.set("text", 1, if_version=1 << 62),
    "a version of nothing": lambda s: s.increment("k", if_version=5),
    "the other file": lambda s: s.set("text", 1, type="cached"),
}


def deep(levels: int) -> object:
    """Return lists within lists."""
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


class Awaited:
    """The asynchronous face, called like the other one."""

    def __init__(self, store: Store) -> None:
        self._store = store.asynchronous()

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*args: Any, **named: Any) -> object:
            async def wait() -> object:
                found = getattr(self._store, name)(*args, **named)
                return await found if inspect.isawaitable(found) else found

            return asyncio.run(wait())

        return call


class Together:
    """Each write as the second step of a transaction; what is more than a step as it is."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*args: Any, **named: Any) -> None:
            with self._store.transaction() as steps:
                steps.set("first", 1)
                getattr(steps, name)(*args, **named)

        is_step = name in ("set", "delete", "increment")
        return call if is_step else cast("Callable[..., object]", getattr(self._store, name))


@pytest.mark.parametrize("attempt", BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_words(store: Store, attempt: Callable[[Any], object]) -> None:
    """What was expected, what came and where, by every face; and the store is as it was."""
    store.set("text", "text")
    before = dict(store.scan())

    for face in (store, Awaited(store), Together(store)):
        with pytest.raises(errors.CallerError, match=r"^Expected .*, got ") as caught:
            attempt(face)

        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
        assert caught.value.field
        assert dict(store.scan()) == before


@pytest.mark.parametrize("name", ["", "a/b", "A", "x" * 65, 5, None])
def test_a_namespace_is_a_name(book: Book, name: Any) -> None:
    """A slash would let one namespace write another's entities."""
    with pytest.raises(errors.BadRequest, match="namespace"):
        book.store(name)


def test_a_stale_version_is_refused_with_the_current_one(store: Store) -> None:
    """So is a first version of what is there already."""
    version = store.set("k", 1, if_version=0)

    for stale in (0, version - 1, version + 1):
        with pytest.raises(errors.VersionConflict) as caught:
            store.set("k", 2, if_version=stale)
        assert caught.value.value == str(version)

    assert store.set("k", 2, if_version=version) > version
    assert store.get("k") == 2


def test_a_write_is_seen_by_every_connection_at_once(
    store: Store, running: tuple[Home, ActorProcess]
) -> None:
    """Whatever each of them has cached: values, absence, and the end of a value."""
    with connect("other", running[0]) as other:
        mirror = other.store(store.namespace)
        seen = []
        for number in range(20):
            seen.append((mirror.get("k", -1), mirror.get("k", -1)))
            store.set("k", number) if number % 5 else store.delete("k")

    expected = [-1, *(-1 if n % 5 == 0 else n for n in range(19))]
    assert seen == [(value, value) for value in expected]


def test_increments_of_many_threads_all_count(store: Store) -> None:
    """And tell each caller a number of its own."""
    numbers: list[float] = []
    threads = [
        threading.Thread(target=lambda: numbers.extend(store.increment("n", 2) for _ in range(25)))
        for _ in range(4)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(numbers) == list(range(2, 202, 2))
    assert store.get("n") == 200
    assert store.increment("n", 0.5) == 200.5


def test_updates_of_many_threads_all_count(store: Store) -> None:
    """Each is tried again whenever another came between."""
    store.set("k", {"n": 0}, metadata={"unit": "1"}, ttl_s=3600)
    expires_ns = store.get_item("k").expires_ns  # type: ignore[union-attr]

    def add(value: dict[str, int]) -> dict[str, int]:
        value["n"] += 1
        return value

    def work() -> None:
        for _ in range(10):
            store.update("k", add)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    item = store.get_item("k")
    assert item is not None
    assert (item.value, item.metadata) == ({"n": 40}, {"unit": "1"})
    assert item.expires_ns == expires_ns


def test_an_update_that_raises_changes_nothing(store: Store) -> None:
    """What it did to its copy is lost with it."""
    version = store.set("k", [1])

    def fail(value: list[int]) -> list[int]:
        value.append(2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.update("k", fail)

    assert store.get("k") == [1]
    assert store.get_item("k").version == version  # type: ignore[union-attr]


def test_an_update_that_never_converges_gives_up(store: Store) -> None:
    """After as many attempts as it may have, with an error of its own."""

    def overtaken(value: int | None) -> int:
        return store.set("k", (value or 0) + 1)

    with pytest.raises(errors.NeverConverged, match="within 5 attempts"):
        store.update("k", overtaken, attempts=5)

    assert store.get("k") == 5
    assert store.update("other", lambda value: value + 1, default=1) == 2


def test_a_transaction_happens_whole(store: Store) -> None:
    """It sees its own steps, and what it read has not changed when it ends."""
    store.set("a", 5)
    with store.transaction() as both:
        both.set("a", both.get("a") - 1)
        both.set("b", both.get("b", 0) + 1)
        both.increment("c", 3)
        both.delete("d")
        seen = both.get("a"), both.get("b"), both.get("d", "gone")
        with pytest.raises(errors.BadRequest, match="incremented"):
            both.get("c")

    assert seen == (4, 1, "gone")
    assert store.get_many(list("abcd")) == {"a": 4, "b": 1, "c": 3}
    assert both.result is not None
    assert len(both.result.versions) == 4
    assert both.result.numbers == [3]
    with pytest.raises(errors.BadRequest, match="ended"):
        both.set("a", 1)


def test_a_transaction_is_refused_whole_or_never_sent(store: Store) -> None:
    """Where anybody wrote what it read, and where its block raised."""
    store.set("a", 1)

    def overtaken() -> None:
        with store.transaction() as late:
            late.set("b", late.get("a"))
            store.set("a", 2)

    def broken() -> None:
        with store.transaction() as steps:
            steps.set("b", 1)
            steps.set("a", 1 / 0)

    def required() -> None:
        with store.transaction() as steps:
            steps.set("b", 1)
            steps.require("a", 0)

    for block, error in (
        (overtaken, errors.VersionConflict),
        (broken, ZeroDivisionError),
        (required, errors.VersionConflict),
    ):
        with pytest.raises(error):
            block()

    assert dict(store.scan()) == {"a": 2}
    with store.transaction() as nothing:
        nothing.get("a")
    assert nothing.result is None


def test_keys_are_found_by_globs_over_many_pages(store: Store) -> None:
    """In the order of UTF-8, each once."""
    names = [f"job/{n:04}" for n in range(600)] + ["job", "jobs", "a*b", "日", "\U0001f570"]
    for future in [store.set_nowait(name, name) for name in names]:
        future.result()

    assert list(store.keys()) == sorted(names, key=str.encode)
    assert list(store.keys("job/059?")) == [f"job/{n:04}" for n in range(590, 600)]
    assert list(store.scan("a[*]b")) == [("a*b", "a*b")]
    assert [store.count(), store.count("job/*"), store.count("job*"), store.count("?")] == [
        605, 600, 602, 2
    ]  # fmt: skip
    assert list(store.keys("job/*x")) == []


def test_the_past_of_a_key_can_be_read(store: Store) -> None:
    """By version, as of a seq, a time, a hash; and as the list of what was done."""
    first = store.set("k", 1)
    second = store.set("k", [2], metadata={"by": "me"}, ttl_s=3600)
    third = store.delete("k")
    store.increment("k", 4)
    fourth = store.history("k", limit=1)[0].version

    history = store.history("k")

    assert [(h.version, h.action, h.value, h.writer) for h in history] == [
        (fourth, "increment", 4, "tester"),
        (third, "delete", None, "tester"),
        (second, "set", [2], "tester"),
        (first, "set", 1, "tester"),
    ]
    assert [store.get("k", "gone", version=h.version) for h in history] == [4, "gone", [2], 1]
    assert [store.get("k", "gone", at=h.version) for h in history] == [4, "gone", [2], 1]
    assert store.get("k", at=history[2].entry.hash) == [2]
    assert store.get_item("k", at=second).metadata == {"by": "me"}  # type: ignore[union-attr]
    assert [list(store.scan(at=at)) for at in (first, third)] == [[("k", 1)], []]
    assert (store.count(at=first), store.get_many(["k"], at=second)) == (1, {"k": [2]})
    assert [h.version for h in store.history("k", limit=2, before=fourth)] == [third, second]
    with pytest.raises(errors.NotInBook):
        store.get("k", version=third + 1000)
    with pytest.raises(errors.NotInBook):
        store.get("other", version=first)


def test_a_time_limit_is_judged_by_the_moment_asked_of(store: Store) -> None:
    """As of its writing the value is there; an hour later it was not."""
    version = store.set("k", 1, ttl_s=0.05)
    item = store.history("k")[0]

    assert store.get("k", at=version) == 1
    assert item.item.expires_ns is not None
    while store.get("k", "over") != "over":
        pass
    assert (store.get_item("k"), store.get_many(["k"]), list(store.keys())) == (None, {}, [])
    assert store.count() == 0
    assert store.set("k", 2, if_version=0) > version


def test_a_redacted_value_says_so_everywhere(store: Store, book: Book) -> None:
    """Never None: that is a value."""
    version = store.set("k", "secret")
    later = store.set("k", "public")
    book.redact(version, "a secret")

    with pytest.raises(errors.Redacted, match="a secret"):
        store.get("k", version=version)
    with pytest.raises(errors.Redacted):
        store.get("k", at=version)
    with pytest.raises(errors.Redacted):
        _ = store.history("k")[1].value

    assert store.get("k", version=later) == store.get("k") == "public"


def test_a_forked_child_reads_on_and_does_not_write(store: Store) -> None:
    """With connections of its own; those of the parent stay as they are."""
    store.set("k", [1])
    store.get("k")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.read(reading, 1)
            saw = store.get("k") == [2] and store.get("cold") is None and store.count() == 1
            try:
                store.set("k", 3)
            except errors.UsedAfterFork:
                os._exit(0 if saw else 1)
        finally:
            os._exit(2)
    store.set("k", [2])
    os.write(writing, b"!")

    status = os.waitpid(child, 0)[1]

    assert os.waitstatus_to_exitcode(status) == 0
    assert store.get("k") == [2]
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_figures_say_what_is_there_and_what_was_done(store: Store) -> None:
    """Overwriting one key many times is one key."""
    for future in [store.set_nowait("k", "x" * 10) for _ in range(50)]:
        future.result()
    for _ in range(4):
        store.get("k")
    with pytest.raises(errors.VersionConflict):
        store.set("k", 1, if_version=1)

    stats = store.stats()

    assert stats.entries == {"persistent": 1}
    assert stats.bytes == len("k") + 11
    assert (stats.reads, stats.hits, stats.misses, stats.hit_rate) == (4, 3, 1, 0.75)
    assert (stats.writes, stats.refusals, stats.locks) == (51, 1, 0)
    assert sum(stats.miss_latency_ns.values()) == 1
    assert stats.cached_entries == 1


def test_asyncio_has_the_same_words(store: Store) -> None:
    """Writes are awaited, and share their fsyncs; the loop is never held up."""

    async def work() -> list[Any]:
        ours = store.asynchronous()
        versions = await asyncio.gather(*(ours.set(f"k{n}", n) for n in range(50)))
        sums = await asyncio.gather(*(ours.increment("n") for _ in range(10)))
        await asyncio.gather(
            *(ours.update("u", lambda value: value + 1, default=0) for _ in range(5))
        )
        async with ours.transaction() as both:
            both.set("k0", both.get("k1") + 10)
            both.delete("k1")
        with pytest.raises(errors.VersionConflict):
            await ours.delete("k2", if_version=1)
        with pytest.raises(errors.BadRequest, match="async with"), ours.transaction() as wrong:
            wrong.set("k0", 1)
        keys = [key async for key in ours.keys("k?")]
        history = await ours.history("k1")
        return [
            len(set(versions)),
            sorted(sums),
            (ours.get("u"), ours.get("k0")),
            keys,
            [h.action for h in history],
            (await ours.count(), await ours.get_many(["k2"]), (await ours.stats()).locks),
        ]

    assert asyncio.run(work()) == [
        50,
        list(range(1, 11)),
        (5, 11),
        ["k0", *(f"k{n}" for n in range(2, 10))],
        ["delete", "set"],
        (51, {"k2": 2}, 0),
    ]


def test_asyncio_locks_and_watches_while_its_loop_goes_on(store: Store) -> None:
    """A lock keeps other tasks out, guards its writes, and is let go when its wait is cancelled."""

    async def work() -> list[Any]:
        ours = store.asynchronous()
        inside, most = 0, 0

        async def hold() -> int:
            nonlocal inside, most
            async with ours.lock("k", wait_s=20) as lock:
                inside += 1
                most = max(most, inside)
                await ours.set("k", lock.token, token=lock.token)
                inside -= 1
                return lock.token

        watch = ours.watch("k")
        tokens = await asyncio.gather(*(hold() for _ in range(5)))
        async with ours.lock("k"):
            late = asyncio.create_task(ours.lock("k", wait_s=20).acquire())
            await asyncio.sleep(0.05)
            late.cancel()
            with pytest.raises(asyncio.CancelledError):
                await late
        seen = []
        async for event in watch:
            if event.kind == "kv.set":
                seen.append(event.value)
                if len(seen) == 5:
                    break
        async with ours.lock("k", wait_s=20) as again:
            held = again.is_held, again.is_lost
        watch.close()
        return [most, sorted(tokens) == sorted(seen), held, ours.get("k") == max(tokens)]

    assert asyncio.run(work()) == [1, True, (True, False), True]


def test_names_and_numbers_may_be_of_classes_of_their_own(book: Book, store: Store) -> None:
    """As those of numpy are: they are taken for what they say."""

    class Name(str):
        __slots__ = ()

    class Count(int):
        pass

    class Share(float):
        pass

    own = book.store(Name(store.namespace))

    version = own.set(Name("k"), 1, type=Name("versioned"))  # type: ignore[arg-type]
    assert own.set(Name("k"), 2, if_version=Count(version)) > version
    assert [own.increment(Name("k"), Count(2)), own.increment("k", Share(0.5))] == [4, 4.5]
    with own.lock(Name("k")) as lock:
        own.delete(Name("k"), token=Count(lock.token))
    assert book.log(Name("did"), Name("it"), tags=[Name("tag")]).action == "did"
    assert store.get("k") is None


def test_reading_needs_no_tree_and_changes_nothing(home: Home) -> None:
    """A home whose writer has ended, and one that cannot be written."""
    with running_writer(home), connect("agent", home) as book:
        book.store("ns").set("k", {"a": 1})
    shutil.rmtree(home.run_dir)
    before = home.book_db.read_bytes()

    with connect("agent", home) as book:
        store = book.store("ns")
        got = [store.get("k"), store.get("k"), store.get("other"), list(store.keys())]

    assert got == [{"a": 1}, {"a": 1}, None, ["k"]]
    assert home.book_db.read_bytes() == before
    with BookReader(home) as reader:
        assert reader.head_seq() > 0


def test_a_home_without_a_book_says_so(tmp_path: Path) -> None:
    """As every other reading does; and a closed book reads nothing."""
    with connect("agent", tmp_path / "nothing") as book:
        store = book.store("ns")
        with pytest.raises(errors.BookMissing):
            store.get("k")

    with pytest.raises(errors.BookClosed):
        store.get("k")
    with pytest.raises(errors.BookClosed):
        book.store("other")


def test_cached_keys_that_are_read_stay(home: Home) -> None:
    """The writer hears which they are, though the reads are of memory; others make room."""
    with running_writer(home, cached_max_mib=1), connect("agent", home) as book:
        store = book.store("cache")
        store.set("old", "old")
        store.set("used", "used")
        for number in range(30):
            for index in range(40):
                future = store.set_nowait(f"{number}-{index}", os.urandom(2000))
            future.result()
            wait_until(lambda: _tells(store), 5, "the reader to tell what it used")

        assert store.get("used") == "used"
        assert store.get("old") is None


def _tells(store: Store) -> bool:
    """Read a key, and tell so at once rather than in a second."""
    store._next_news_s = 0.0
    store._inspect()
    return store.get("used") is not None


def test_docs_tell_every_call() -> None:
    """docs/STORE.md has a row for each public name of a Store."""
    text = (Path(__file__).parents[2] / "docs" / "STORE.md").read_text("utf-8")

    public = {name for name in dir(Store) if name[0] != "_"}
    missing = {name for name in public if f"`{name}(" not in text}

    assert missing == set()
