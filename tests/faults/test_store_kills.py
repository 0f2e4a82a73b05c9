"""The store in spite of kill -9: a transaction is whole or not there, and each value ends once."""

import random
import threading
import time
from functools import partial

import multiprocess
import pytest
from book_actors import QuickWriter
from waiting import wait_until

from hourbook.book.reader import BookReader
from hourbook.book.store.rebuild import find_fault
from hourbook.faces.book import connect
from hourbook.faces.store import Store
from hourbook.home import Home, find_home

pytestmark = pytest.mark.live

KEYS = [f"k{number}" for number in range(30)]
ROUNDS = 6
ENDING = 3000


def move_on(home_path: str, name: str) -> None:
    """Write the same number under all keys, again and again, until killed."""
    with connect(name, find_home(home_path), timeout_s=30) as book:
        store = book.store("whole")
        while True:
            with store.transaction() as steps:
                number = steps.get(KEYS[0], 0)
                for key in KEYS:
                    steps.set(key, number + 1)
                steps.increment("sum", 1)


def has_moved(store: Store, before: int) -> bool:
    """Return whether there was a transaction more."""
    return bool(store.get("sum", 0) > before)


def test_transactions_are_whole_whoever_is_killed(home: Home, rng: random.Random) -> None:
    """Their client or the writer, at any moment; who reads sees one number at a time."""
    spawn = multiprocess.get_context("forkserver")
    writer = QuickWriter(home)
    with connect("reader", home) as book:
        store = book.store("whole")
        book.log("began", "test")
        for turn in range(ROUNDS):
            before = store.get("sum", 0)
            client = spawn.Process(
                target=move_on, args=(str(home.path), f"client-{turn}"), daemon=True
            )
            client.start()
            wait_until(partial(has_moved, store, before), 20, "a transaction")
            end_s = time.monotonic() + rng.uniform(0.0, 0.05)
            while time.monotonic() < end_s:
                assert len(set(store.get_many([*KEYS, "sum"]).values())) == 1
            (writer if turn % 2 else client).kill()
            assert len(set(store.get_many([*KEYS, "sum"]).values())) == 1
            if turn % 2:
                writer.start()
                wait_until(partial(has_moved, store, before), 20, "the writer to go on")
                client.kill()
            client.join(10)
        with BookReader(home) as reader:
            assert reader.query(find_fault) is None
            assert reader.verify().ok
    writer.stop()


def test_each_value_ends_once_though_its_sweep_is_killed(home: Home, rng: random.Random) -> None:
    """Three thousand that end together, in groups of a thousand, some of them begun in vain."""
    writer = QuickWriter(home)
    sql = "SELECT count(*), count(DISTINCT entity) FROM entry WHERE kind = 'kv.expire'"
    with connect("agent", home) as book, BookReader(home) as reader:
        store = book.store("ending")
        store.set("kept", 1)
        ends_s = time.monotonic() + 0.7
        for start in range(0, ENDING, 500):
            with store.transaction() as steps:
                for number in range(start, start + 500):
                    steps.set(str(number), number, ttl_s=ends_s - time.monotonic())
        writer.kill()
        wait_until(lambda: time.monotonic() > ends_s, 5, "the values to be over")
        seen: list[tuple[int, int]] = []
        while not seen or seen[-1][0] < ENDING:
            writer.start()
            threading.Event().wait(rng.uniform(0.0, 0.06))
            writer.kill()
            seen.append(reader.query(lambda opened: opened.execute(sql).fetchone()))
        writer.start()

        assert store.set("kept", 2) > 0
        assert seen[-1] == (ENDING, ENDING)
        assert reader.query(lambda opened: opened.execute(sql).fetchone()) == (ENDING, ENDING)
        assert list(store.keys()) == ["kept"]
        assert reader.query(find_fault) is None
        print(f"expired after each kill: {[count for count, _ in seen]}")
    writer.stop()
