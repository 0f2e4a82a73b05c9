"""Readers in several processes while their writer is killed: nobody goes back, nobody is behind.

What was acknowledged stands in a page that all share: who begins a get after that must see it.
"""

import mmap
import random
import shutil
import struct
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import multiprocess
import pytest
from book_actors import QuickWriter
from waiting import wait_until

from hourbook.faces.book import connect
from hourbook.faces.store import Store
from hourbook.home import Home, find_home
from protocols import errors

pytestmark = pytest.mark.live

READERS = 3
RUN_S = 4.0
LIFE_WRITES = 20
KEYS = [f"key-{number}" for number in range(5)]
_WORD = struct.Struct("=q")


class Page:
    """Numbers that processes share; each is written by one of them."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 4096)

    def __getitem__(self, index: int) -> int:
        number: int = _WORD.unpack_from(self._map, 8 * index)[0]
        return number

    def __setitem__(self, index: int, number: int) -> None:
        _WORD.pack_into(self._map, 8 * index, number)

    def total(self) -> int:
        """Return how many writes were acknowledged, of all keys."""
        return sum(self[index] for index in range(STOP))

    def reaches(self, count: int) -> bool:
        """Say whether so many were."""
        return self.total() >= count


STOP = len(KEYS)


def read_on(home_path: str, page_path: str, seed: int, pipe: Any) -> None:
    """Get keys until told to stop; send what was wrong, and how much was read."""
    page, rng = Page(Path(page_path)), random.Random(seed)
    wrong: list[tuple[str, int, int]] = []
    last = [0] * len(KEYS)
    with connect(f"reader-{seed}", find_home(home_path), shared=True) as book:
        store = book.store("coherence")
        pipe.send("ready")
        while not page[STOP]:
            index = rng.randrange(len(KEYS))
            floor = max(page[index], last[index])
            value = store.get(KEYS[index], 0)
            if value < floor:
                wrong.append((KEYS[index], value, floor))
            last[index] = value
        stats = store.stats()
        pipe.send((wrong[:10], stats.hits, stats.misses))


def write_on(home: Home, page: Page, index: int, count: list[int]) -> None:
    """Set one key to 1, 2, 3 ... each until it is acknowledged."""
    with connect(f"writer-{index}", home, shared=True) as book:
        store = book.store("coherence")
        number = 0
        while not page[STOP]:
            number += 1
            try:
                store.set(KEYS[index], number)
            except (errors.OutcomeUnknown, errors.ActorUnreachable):
                continue
            page[index] = number
            time.sleep(0.001)  # so that some gets are hits
        count.append(number)


def test_no_reader_is_behind_while_the_writer_is_killed(
    home: Home, tmp_path: Path, rng: random.Random
) -> None:
    """A writer dies about ten times, at any moment; each get is of now.

    Each life lasts until a few writes were acknowledged, however slow the machine is.
    """
    page_path = tmp_path / "page"
    page_path.write_bytes(bytes(4096))
    page = Page(page_path)
    spawn = multiprocess.get_context("spawn")
    writer = QuickWriter(home)
    pipes, readers = [], []
    for number in range(READERS):
        ours, theirs = spawn.Pipe()
        arguments = (str(home.path), str(page_path), number, theirs)
        readers.append(spawn.Process(target=read_on, args=arguments, daemon=True))
        readers[-1].start()
        pipes.append(ours)
    counts: list[int] = []
    threads = [
        threading.Thread(target=write_on, args=(home, page, index, counts))
        for index in range(len(KEYS))
    ]
    with connect("first", home) as book:
        book.store("coherence").set("other", 1)
    for pipe in pipes:
        assert pipe.recv() == "ready"

    for thread in threads:
        thread.start()
    end_s = time.monotonic() + RUN_S
    while time.monotonic() < end_s or page.total() <= 200:
        enough = partial(page.reaches, page.total() + LIFE_WRITES)
        time.sleep(rng.uniform(0.1, 0.6))
        wait_until(enough, 30, "writes of this life")
        writer.kill()
        writer.start()
    page[STOP] = 1
    for thread in threads:
        thread.join()
    results = [pipe.recv() for pipe in pipes]

    for reader in readers:
        reader.join(10)
    writer.stop()
    assert [wrong for wrong, _, _ in results] == [[]] * READERS
    assert all(hits > 1_000 and misses > 100 for _, hits, misses in results)
    assert sum(counts) > 200


def test_a_segment_that_is_removed_fools_nobody(home: Home) -> None:
    """Under a writer that lives, and under one that dies with it; caches go on in the new one."""
    writer = QuickWriter(home)
    with connect("reader", home, shared=True) as ours, connect("agent", home, shared=True) as other:
        store, theirs = ours.store("removed"), other.store("removed")
        for number in range(1, 9):
            store.get("k")
            store.get("k")
            home.segment.unlink()
            if number % 2:
                writer.kill()
                writer.start()

            theirs.set("k", number)

            assert store.get("k") == number
        wait_until(lambda: _is_hit(store), 5, "the cache to go on")
        theirs.set("k", 0)
        assert store.get("k") == 0
    writer.stop()


def test_a_book_that_is_replaced_is_read_anew(home: Home, tmp_path: Path) -> None:
    """As a restore does it: another file under the name, after everybody has read the old one."""
    writer = QuickWriter(home)
    with connect("agent", home, shared=True) as book:
        store = book.store("replaced")
        store.set("k", "backed up")
        book.head()
        writer.stop()
        shutil.copy(home.book_db, tmp_path / "copy.db")
        (tmp_path / "copy.db-wal").write_bytes(Path(f"{home.book_db}-wal").read_bytes())
        writer = QuickWriter(home)
        store.set("k", "lost")
        before = store.get("k")
        writer.stop()
        for name in ("book.db-shm", "book.db-wal"):
            (home.path / name).unlink()
        (tmp_path / "copy.db-wal").rename(home.path / "book.db-wal")
        (tmp_path / "copy.db").rename(home.book_db)

        wait_until(lambda: store.get("k") == "backed up", 5, "the other file to be found")

    assert before == "lost"


def _is_hit(store: Store) -> bool:
    hits = store.stats().hits
    store.get("k")
    return store.stats().hits > hits
