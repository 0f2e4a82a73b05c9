"""The store in SQL: what keys hold, what they held, and what a branch sees."""

from typing import Any

import pytest
from book_actors import running_writer

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
