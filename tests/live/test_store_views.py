"""The store in SQL: what keys hold, what they held, and what a branch sees."""

import contextlib
from typing import Any

import pytest
from book_actors import running_writer
from books import raw_connection

from hourbook.book.sql.query import run_query
from hourbook.faces.book import connect
from hourbook.home import Home
from protocols import errors

pytestmark = pytest.mark.live

HELD = "SELECT key, value, version, type, metadata FROM store WHERE namespace = 'jobs' ORDER BY key"


def rows(home: Home, sql: str, **extent: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return [tuple(row) for row in run_query(home, sql, **extent)]


def test_views_show_what_keys_hold_and_held(home: Home) -> None:
    """Values as JSON; nothing whose time is over; and each version that there was."""
    with running_writer(home), connect("agent", home) as book:
        store = book.store("jobs")
        first = store.set("a", {"status": "new"}, metadata={"by": "me"})
        second = store.set("a", {"status": "done"})
        brief = store.set("b", "brief", ttl_s=0.01)
        gone = store.set("c", 1)
        deleted = store.delete("c")
        secret = store.set("d", "secret")
        book.redact(secret, "a secret")
        while store.get("b") is not None:
            pass

        now = rows(home, "SELECT key, value, version FROM store ORDER BY key")
        then = rows(home, HELD, at_seq=first)
        status = rows(home, "SELECT value->>'status' FROM store WHERE key = 'a'", at_seq=second)
        there = rows(home, "SELECT key FROM store ORDER BY key", at_seq=gone)
        history = rows(home, "SELECT key, version, action, value FROM store_history"
                             " WHERE key IN ('a', 'c') ORDER BY version")  # fmt: skip
        why = rows(home, "SELECT value, missing->>'cause' FROM store_history WHERE key = 'd'")

    assert [row for row in now if row[0] != "d"] == [("a", '{"status":"done"}', second)]
    assert then == [("a", '{"status":"new"}', first, "persistent", '{"by":"me"}')]
    assert status == [("done",)]
    assert there in ([("a",), ("c",)], [("a",), ("b",), ("c",)])
    assert brief < gone
    assert history == [
        ("a", first, "set", '{"status":"new"}'),
        ("a", second, "set", '{"status":"done"}'),
        ("c", gone, "set", "1"),
        ("c", deleted, "delete", None),
    ]
    assert why == [(None, "redacted")]


def test_a_branch_sees_its_own_keys_and_its_parents(home: Home) -> None:
    """Up to where it began; main never sees what it writes."""
    with running_writer(home), connect("agent", home) as book:
        main = book.store("jobs")
        main.set("a", 1)
        main.set("b", 1)
        book.create_branch("plan-b")
        main.set("a", 2)
        with connect("planner", home, branch="plan-b") as other:
            store = other.store("jobs")
            store.set("b", 3)
            version = store.set("c", 4)
            seen = [store.get(key) for key in "abc"], dict(store.scan()), store.count()
            history = [found.value for found in store.history("b")]
            store.delete("b")
            left = list(store.keys()), store.get("b", "gone"), store.get_many(["a", "b"])
        held = rows(home, "SELECT key, value FROM store ORDER BY key", branch="plan-b")

        assert seen == ([1, 3, 4], {"a": 1, "b": 3, "c": 4}, 3)
        assert history == [3, 1]
        assert left == (["a", "c"], "gone", {"a": 1})
        assert held == [("a", "1"), ("c", "4")]
        assert dict(main.scan()) == {"a": 2, "b": 1}
        with pytest.raises(errors.NotInBook):
            main.get("c", version=version)


def test_a_past_that_was_compacted_says_from_when_it_is_known(home: Home) -> None:
    """States before that are refused; a version that is left can be read."""
    with running_writer(home), connect("agent", home) as book:
        store = book.store("jobs")
        first = store.set("a", 1)
        second = store.set("a", 2)
        third = store.set("b", 3)
    with contextlib.closing(raw_connection(home.book_db)) as connection:
        connection.execute("DELETE FROM kv_log WHERE seq = ?", (first,))
        connection.execute("INSERT INTO kv_floor VALUES ('jobs', ?)", (third,))

    with connect("agent", home) as book:
        store = book.store("jobs")
        for ask in (
            lambda: store.get("a", at=first),
            lambda: store.get_item("a", at=second),
            lambda: list(store.keys(at=second)),
            lambda: store.count(at=second),
            lambda: store.get("a", version=first),
            lambda: run_query(home, "SELECT key FROM store", at_seq=second),
        ):
            with pytest.raises(errors.Compacted) as caught:
                ask()
            assert caught.value.value == str(third)

        assert store.get("a", version=second) == 2
        assert [found.version for found in store.history("a")] == [second]
        assert (store.get("a", at=third), store.get("b", at=third)) == (2, 3)
        assert rows(home, "SELECT key FROM store ORDER BY key", at_seq=third) == [("a",), ("b",)]


def test_volatile_keys_are_read_like_others(home: Home) -> None:
    """From a file of their own, with durable ones; SQL and the past know nothing of them."""
    with running_writer(home), connect("agent", home) as book:
        store = book.store("mixed")
        durable = store.set("a", [1])
        volatile = store.set("b", {"n": 2}, type="transient", metadata={"unit": "s"})
        store.set("c", 3, type="cached", ttl_s=3600)

        item = store.get_item("b")
        stats = store.stats()

        assert [store.get(key) for key in "abcabc"] == [[1], {"n": 2}, 3] * 2
        assert store.get_many(list("abcd")) == {"a": [1], "b": {"n": 2}, "c": 3}
        assert (list(store.keys("[!a]")), store.count(), store.count("b*")) == (["b", "c"], 3, 1)
        assert item is not None
        assert (item.version, item.type, item.metadata) == (volatile, "transient", {"unit": "s"})
        assert store.get("b", version=volatile) == {"n": 2}
        assert stats.entries == {"persistent": 1, "transient": 1, "cached": 1}
        assert store.history("b") == []
        assert dict(store.scan(at=durable)) == {"a": [1]}
        assert rows(home, "SELECT key FROM store") == [("a",)]
        assert store.update("b", lambda value: {**value, "m": 1}) == {"n": 2, "m": 1}
        assert store.get_item("b").type == "transient"  # type: ignore[union-attr]
        assert store.delete("b") > volatile
        assert store.get("b", "gone") == "gone"
