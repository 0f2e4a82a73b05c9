"""No room for volatile keys: what is refused, and that whoever reads finds a key in one file."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator

import pytest
from kv_writes import BOOT, NOW_NS, FullDisk, kv_write, put, rows_of, say, written

from hourbook.book.journal import Stamp
from hourbook.book.store.files import StoreFiles
from hourbook.book.store.generations import Unread
from hourbook.book.store.reading import KeyReader
from hourbook.book.store.volatile import Capacity, VolatileStage
from hourbook.book.store.volatile_file import open_volatile
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols import entry, errors
from protocols.branch_messages import CreateBranch, MergeBranch
from protocols.kv_messages import Delete, Sweep

S_NS = 1_000_000_000


class Place:
    """A home with a writer whose disk of volatile keys may be full.

    Attributes:
        book: the writer.
        volatile: its volatile keys.
        disk: where they are.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.open()

    def open(self, *, is_full: bool = False) -> None:
        """Begin as journal_writer does."""
        open_volatile(self.home.volatile_db, BOOT).close()
        self.disk = sqlite3.connect(self.home.volatile_db, isolation_level=None, factory=FullDisk)
        self.disk.is_full = is_full
        self.volatile = VolatileStage(self.disk, Unread(), Capacity())
        self.book = BookWriter.open(self.home.book_db, self.home.keys_dir, volatile=self.volatile)
        self.book.query(self.volatile.give_way)

    def close(self) -> None:
        """End."""
        self.book.close()
        self.disk.close()

    def merge(self) -> None:
        """Bring the key of the branch to main, over a volatile one."""
        merge = MergeBranch(writer="agent", nonce=entry.make_nonce(5, 1 << 20), name="try")
        self.book.write([merge], Stamp(NOW_NS, 0))

    def in_volatile(self) -> set[str]:
        """Return the keys in the file of volatile keys."""
        return {key for (key,) in self.disk.execute("SELECT key FROM kv")}

    def read(self, now_ns: int = NOW_NS) -> list[object]:
        """Return what a reader finds in the key that moves, asked in each way."""
        files = StoreFiles(self.home)
        files.time_ns = lambda: now_ns
        with contextlib.closing(files):
            reader = KeyReader(files, "notes")
            item, loaded = reader.find("k"), reader.load("k")
            found = None if loaded is None or 0 < loaded[1] <= now_ns else loaded[0]
            return [item and item.value, found, reader.many(["k"]).get("k")]


@pytest.fixture
def place(home: Home) -> Iterator[Place]:
    """Return a book with a volatile key, and a branch that holds the same key for 9 s."""
    made = Place(home)
    make = CreateBranch(writer="agent", nonce=entry.make_nonce(5, 1), name="try", parent=0)
    made.book.write([make], Stamp(NOW_NS, 0))
    written(say(made.book, put("k", "durable", ttl_ns=9 * S_NS), branch=1))
    written(say(made.book, put("k", "volatile", type="transient"), put("t", 1, type="cached")))
    yield made
    made.close()


def test_key_that_moves_leaves_a_full_file_at_once(place: Place) -> None:
    """Its removal needs no room; the writes that were with it in the group do, and are refused."""
    (pages,) = place.disk.execute("PRAGMA page_count").fetchone()
    place.disk.execute(f"PRAGMA max_page_count = {pages}")
    group = [
        kv_write(Delete(key="k")),
        kv_write(put("k", "durable")),
        kv_write(put("large", os.urandom(500_000), type="transient")),
    ]

    outcomes = place.book.write(group, Stamp(NOW_NS, 0)).outcomes

    kinds = [type(outcome.error) for outcome in outcomes]
    assert kinds == [errors.DiskFull, type(None), errors.DiskFull]
    assert place.in_volatile() == {"t"}
    written(say(place.book, put("k", "later")))
    assert place.read() == ["later"] * 3


def test_key_that_cannot_leave_yet_is_the_books_for_all(place: Place) -> None:
    """Written and read there alone; it leaves as soon as there is room."""
    place.disk.is_full = True
    place.merge()
    merged = place.read()
    refused = say(place.book, put("t", 2))
    written(say(place.book, put("k", "later", keep_ttl=True)))

    later = place.read(), place.read(NOW_NS + 9 * S_NS), place.in_volatile()
    place.disk.is_full = False
    place.volatile.pay()

    assert merged == ["durable"] * 3
    assert isinstance(refused.error, errors.DiskFull)
    assert later == (["later"] * 3, [None] * 3, {"k", "t"})
    assert place.in_volatile() == {"t"}
    assert rows_of(place.book) == {("notes", "k"): "later", ("notes", "t"): 1}


@pytest.mark.parametrize("how", ["deleted", "over"])
def test_key_does_not_leave_the_book_before_the_full_file(place: Place, how: str) -> None:
    """It would be back as it was there: the group is refused, others are not."""
    at_ns = NOW_NS + 9 * S_NS
    change = kv_write(Delete(key="k"))
    if how == "over":
        change = Sweep(writer="journal_writer", nonce=change.nonce)  # type: ignore[assignment]
    place.disk.is_full = True
    place.merge()
    with pytest.raises(errors.DiskFull, match="run directory"):
        place.book.write([change], Stamp(at_ns, 0))
    written(say(place.book, put("other", 1)))
    kept = place.read()
    place.disk.is_full = False

    place.book.write([change], Stamp(at_ns, 0))

    assert kept == ["durable"] * 3
    assert place.read() == [None] * 3
    assert place.in_volatile() == {"t"}


def test_start_on_a_full_disk_does_the_same(place: Place) -> None:
    """A writer that ended in between owes it to its successor."""
    place.disk.is_full = True
    place.merge()
    place.close()

    place.open(is_full=True)

    written(say(place.book, put("k", "later")))
    assert (place.read(), place.in_volatile()) == (["later"] * 3, {"k", "t"})
