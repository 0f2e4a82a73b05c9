"""The store's writer as a real process: values end in time, volatile keys outlive it, bugs end."""

import time

import pytest
from book_actors import QuickWriter, running_writer
from waiting import wait_until

from hourbook.book.reader import BookReader
from hourbook.book.store.rebuild import find_fault
from hourbook.faces.book import connect
from hourbook.home import Home
from protocols import errors

pytestmark = pytest.mark.live

LATE_S_MAX = 0.1


def kinds_about(home: Home, entity: str) -> list[tuple[str, str, int]]:
    """Return kind, writer and time of every entry about a key."""
    sql = "SELECT kind, writer, time_ns FROM entry WHERE entity = ? ORDER BY seq"
    with BookReader(home) as reader:
        return reader.query(lambda book: book.execute(sql, (entity,)).fetchall())


def test_a_value_is_swept_once_within_a_tenth_of_a_second(home: Home) -> None:
    """By a timer to the next one, in whatever order they were set."""
    with running_writer(home), connect("agent", home) as book:
        store = book.store("notes")
        for name, ttl_s in (("late", 0.9), ("early", 0.3), ("next", 0.6)):
            store.set(name, 1, ttl_s=ttl_s)
        store.set("kept", 1)
        store.set("again", 1, ttl_s=0.3)
        store.set("again", 2)

        wait_until(lambda: len(kinds_about(home, "notes/late")) == 2, 5, "the last one to end")

        for name, ttl_s in (("early", 0.3), ("next", 0.6), ("late", 0.9)):
            (_, _, set_ns), (kind, writer, ended_ns) = kinds_about(home, f"notes/{name}")
            assert (kind, writer) == ("kv.expire", "journal_writer")
            assert 0 <= (ended_ns - set_ns) / 1e9 - ttl_s < LATE_S_MAX
        assert list(store.keys()) == ["again", "kept"]
        assert len(kinds_about(home, "notes/again")) == 2


def test_what_has_ended_while_nobody_wrote_is_swept_at_the_start(home: Home) -> None:
    """Both kinds of keys, before the first request is served."""
    writer = QuickWriter(home)
    try:
        with connect("agent", home) as book:
            store = book.store("notes")
            store.set("durable", 1, ttl_s=0.3)
            store.set("transient", 1, type="transient", ttl_s=0.3)
            writer.kill()
            ends_s = time.monotonic() + 0.35
            wait_until(lambda: time.monotonic() > ends_s, 2, "the values to be over")
            # What is absent has no type that could be in the way.
            waiting = [
                store.set_nowait("durable", 2, type="transient", if_version=0),
                store.set_nowait("transient", 2, if_version=0),
            ]
            writer.start()
            for future in waiting:
                future.result(20)

            assert store.get_many(["durable", "transient"]) == {"durable": 2, "transient": 2}
            assert [kind for kind, _, _ in kinds_about(home, "notes/durable")] == [
                "kv.set",
                "kv.expire",
            ]
    finally:
        writer.stop()


def test_transient_values_survive_the_writer_and_counts_are_never_doubled(home: Home) -> None:
    """Killed again and again while it counts, durably and not: each request is done once."""
    writer = QuickWriter(home)
    try:
        with connect("agent", home) as book:
            store = book.store("notes")
            for number in range(1, 31):
                if number % 6 == 0:
                    writer.kill()
                    writer.start()
                counts = [store.increment("t", type="transient"), store.increment("d")]

                assert counts == [number, number]
            with BookReader(home) as reader:
                assert reader.query(find_fault) is None
    finally:
        writer.stop()


def test_a_mixed_write_is_refused_and_the_next_one_works(home: Home) -> None:
    """Nothing of it was done."""
    with running_writer(home), connect("agent", home) as book:
        store = book.store("notes")
        store.set("there", 1, type="transient")

        with pytest.raises(errors.MixedDurability, match="delete it first"):
            store.set("there", 1, type="persistent")

        assert store.get("there") == 1
        store.delete("there")
        store.set("there", 2, type="persistent")
        assert store.get("there") == 2
