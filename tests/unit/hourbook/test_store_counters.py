"""When the counters of keys move: odd before anybody can see a commit, even once it has ended."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from kv_writes import FullDisk, increment, kv_write, open_store, put, rows_of, say, written

from hourbook.book.journal import Stamp
from hourbook.book.store import rows
from hourbook.home import Home
from protocols import errors
from protocols.kv_messages import Delete, Op

NOW_NS = 1_800_000_000_000_000_000


class Watched:
    """Counters that look, as another process does, what the files hold while they move."""

    def __init__(self, home: Home) -> None:
        self._paths = (home.book_db, home.volatile_db)
        self.seen: list[tuple[str, list[int], list[int]]] = []

    def begin(self, buckets: Sequence[int]) -> None:
        """Note what is seen as counters become odd."""
        self.seen.append(("odd", sorted(set(buckets)), self._versions()))

    def end(self, buckets: Sequence[int]) -> None:
        """Note what is seen as they become even."""
        self.seen.append(("even", sorted(set(buckets)), self._versions()))

    def _versions(self) -> list[int]:
        return sorted(version for path in self._paths for version in _versions_in(path))


def _versions_in(path: Path) -> list[int]:
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found = [version for (version,) in reader.execute("SELECT version FROM kv")]
    reader.close()
    return found


def buckets_of(*keys: str) -> list[int]:
    """Return the buckets of keys."""
    return sorted(rows.buckets_of(("notes", key) for key in keys))


@pytest.mark.parametrize("kind", ["persistent", "transient"])
@pytest.mark.parametrize(
    "op",
    [put("k", 2), increment("k"), Delete(key="k"), put("k", 2, ttl_ns=1)],
    ids=["set", "increment", "delete", "set-to-end"],
)
def test_counters_are_odd_from_before_a_commit_until_after_it(
    home: Home, kind: str, op: Op
) -> None:
    """What another process reads meanwhile is the old value, and then the new one."""
    watched = Watched(home)
    book = open_store(home, generations=watched)
    written(say(book, put("k", 1, type=kind), put("other", 1, type=kind)))
    before = watched._versions()
    watched.seen.clear()

    written(say(book, op))

    after = watched._versions()
    assert after != before
    assert watched.seen == [("odd", buckets_of("k"), before), ("even", buckets_of("k"), after)]


def test_what_ends_by_itself_moves_its_counter_too(home: Home) -> None:
    """Swept or evicted, by whatever write."""
    watched = Watched(home)
    book = open_store(home, generations=watched)
    written(say(book, put("k", 1, type="transient", ttl_ns=1)))
    written(say(book, put("d", 1, ttl_ns=1)))
    watched.seen.clear()
    assert book.store.volatile is not None

    book.store.volatile.expire(NOW_NS + 1)
    written(say(book, Delete(key="d"), at_ns=NOW_NS + 1))

    assert [seen[:2] for seen in watched.seen] == [
        *(("odd", buckets_of("k")), ("even", buckets_of("k"))),
        *(("odd", buckets_of("d")), ("even", buckets_of("d"))),
    ]


def test_counters_are_even_after_a_commit_that_failed(home: Home) -> None:
    """And the next commit moves those of its own keys alone; nothing of the first is left."""
    made: list[FullDisk] = []

    def connect(path: Path) -> sqlite3.Connection:
        made.append(sqlite3.connect(path, isolation_level=None, factory=FullDisk))
        return made[0]

    watched = Watched(home)
    book = open_store(home, generations=watched, connect=connect)
    written(say(book, put("a", 1)))
    before = watched._versions()
    watched.seen.clear()
    made[0].is_full = True
    with pytest.raises(errors.DiskFull):
        book.write([kv_write(put("a", 2), put("b", 1))], Stamp(NOW_NS, 0))
    made[0].is_full = False
    failed, watched.seen = watched.seen, []

    written(say(book, increment("a")))

    both = buckets_of("a", "b")
    assert failed == [("odd", both, before), ("even", both, before)]
    assert [seen[:2] for seen in watched.seen] == [
        ("odd", buckets_of("a")),
        ("even", buckets_of("a")),
    ]
    assert rows_of(book) == {("notes", "a"): 2}


def test_nothing_that_changes_no_key_moves_a_counter(home: Home) -> None:
    """Refusals, comparisons, deletions of nothing: whoever reads goes on from memory."""
    watched = Watched(home)
    book = open_store(home, generations=watched)
    written(say(book, put("k", 1)))
    watched.seen.clear()
    attempts: list[Callable[[], object]] = [
        lambda: say(book, put("k", 2, if_version=77)),
        lambda: say(book, put("new", 1), put("k", 2, type="cached")),
        lambda: say(book, Delete(key="none")),
    ]

    for attempt in attempts:
        attempt()

    assert watched.seen == []
