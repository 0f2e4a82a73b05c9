"""Values of the store that somebody has spoiled in the file: named, and nothing else is touched."""

import os
import resource
import sqlite3
from collections.abc import Iterator

import msgspec
import pytest
import zstandard
from store_world import World

from hourbook.book.reader import BookReader
from hourbook.book.store.rebuild import find_fault
from protocols import errors

BOMB = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode("x" * (64 << 20)))
SPOILED = {
    "no MessagePack": (0, b"\xc1"),
    "cut off": (0, msgspec.msgpack.encode([1, 2, 3])[:-1]),
    "empty": (0, b""),
    "too deep": (0, b"\x91" * 5000),
    "no zstd": (1, b"\x01\x02"),
    "a bomb": (1, BOMB),
    "of no encoding": (9, b"\x01"),
}


@pytest.fixture
def world() -> Iterator[World]:
    """Return a store without processes."""
    made = World()
    yield made
    made.close()


@pytest.mark.parametrize("namespace", ["app", "cache"])
@pytest.mark.parametrize("how", SPOILED)
def test_spoiled_value_is_named_and_the_rest_goes_on(
    world: World, namespace: str, how: str
) -> None:
    """Each read of it says so, the writer adds nothing to it, and a new value mends it."""
    writer = world.client(namespace)
    writer.set("k", 1)
    writer.set("other", 2)
    path = world.home.volatile_db if namespace == "cache" else world.home.book_db
    connection = sqlite3.connect(path)
    connection.execute("UPDATE kv SET encoding = ?, value = ? WHERE key = 'k'", SPOILED[how])
    connection.commit()
    connection.close()
    world.restart(is_orderly=True)
    store = world.client(namespace)

    for read in (
        lambda: store.get("k"),
        lambda: store.get_item("k"),
        lambda: store.get_many(["other", "k"]),
        lambda: list(store.scan("*")),
        lambda: store.increment("k"),
        lambda: store.update("k", lambda value: value),
    ):
        with pytest.raises(errors.BookCorrupt, match="of key 'k'"):
            read()

    assert (store.get("other"), list(store.keys("*"))) == (2, ["k", "other"])
    if namespace == "app":
        assert world.book.query(find_fault) is not None
    store.set("k", 3)
    assert store.get("k") == 3
    assert store.increment("k") == 4


def test_spoiled_metadata_is_named(world: World) -> None:
    """The value beside it is read as ever."""
    store = world.client("app")
    store.set("k", 1, metadata={"by": "us"})
    connection = sqlite3.connect(world.home.book_db)
    connection.execute("UPDATE kv SET metadata = x'c1'")
    connection.commit()
    connection.close()

    with pytest.raises(errors.BookCorrupt, match="of key 'k'"):
        store.get_item("k")
    assert store.get("k") == 1


def test_want_of_descriptors_is_no_want_of_a_writer(world: World) -> None:
    """Who opens too many hears of that."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open(os.devnull, os.O_RDONLY)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 1, limits[1]))
        with pytest.raises(errors.HomeUnusable, match="Too many open files"):
            BookReader(world.home)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.close(held[0])
