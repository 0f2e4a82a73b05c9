"""What the writer remembers of rows from one group to the next, and what it never relies on."""

from typing import Any

import msgspec
import pytest
from kv_writes import NOW_NS, increment, kv_write, open_store, put, rows_of, say, written

from hourbook.book.changes.kinds import KINDS
from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.journal import Stamp
from hourbook.book.store.rebuild import find_fault
from hourbook.book.store.rows import KvRow
from hourbook.book.store.stage import ROWS_KEPT_MAX
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols import entry, errors
from protocols.change import Change, check_change
from protocols.kv_messages import OPS_MAX, Check, Delete

DAY_NS = 24 * 3600 * 1_000_000_000


class Give(Change, frozen=True, kw_only=True):
    """A change that gives a key in each file a value, and then perhaps refuses."""

    key: str
    refuse: bool


class Given(msgspec.Struct):
    """That it is done."""


def _give(change: Give, scope: Scope) -> Given:
    for rows, type_ in ((scope.store.main, "persistent"), (scope.store.volatile, "transient")):
        assert rows is not None
        name = (type_, change.key)
        rows.hold(name, KvRow(*name, 1, 1, type_, None, 0, b"\x01", None))
    if change.refuse:
        raise errors.BadRequest("Expected otherwise", field="key")
    return Given()


def ids_of(book: BookWriter) -> dict[str, int]:
    """Return where in the table the rows of keys are."""
    return dict(book.query(lambda c: c.execute("SELECT key, id FROM kv").fetchall()))


def test_row_stays_where_it_is_until_its_key_is_deleted(home: Home) -> None:
    """Written again in the same group, in the next and after a start; others lie beside it."""
    book = open_store(home)
    book.write([kv_write(put("a", 1)), kv_write(put("b", 1)), kv_write(put("a", 2))], Stamp(1, 0))
    first = ids_of(book)
    written(say(book, put("a", "x" * 5000)))
    written(say(book, put("a", 3)))
    book.close()
    book = open_store(home)
    written(say(book, put("c", 1), put("a", 4), put("b", 2)))
    then = ids_of(book)
    written(say(book, Delete(key="a"), put("d", 1)))
    written(say(book, put("a", 5)))

    assert {key: then[key] for key in first} == first
    assert len(set(ids_of(book).values())) == 4
    assert rows_of(book) == {("notes", key): n for key, n in zip("abcd", (5, 2, 1, 1), strict=True)}
    assert book.query(find_fault) is None


def test_what_is_not_there_is_null(home: Home) -> None:
    """A time and metadata that a value no longer has are gone from its row, too."""
    book = open_store(home)
    sql = "SELECT expires_ns, metadata FROM kv"
    written(say(book, put("a", 1, ttl_ns=DAY_NS, metadata={"by": "me"})))
    before = book.query(lambda c: c.execute(sql).fetchone())

    written(say(book, put("a", 2)))

    assert before == (NOW_NS + DAY_NS, b"\x81\xa2by\xa2me")
    assert book.query(lambda c: c.execute(sql).fetchone()) == (None, None)


def test_refused_write_leaves_its_group_what_came_before(home: Home) -> None:
    """Keys, log and seq go on as if it had never been: what it had done by then is undone."""
    book = open_store(home)
    refused = kv_write(put("a", 2), put("new", 1), put("b", 1, if_version=9))

    group = [kv_write(put("a", 1)), refused, kv_write(increment("a"), put("c", 1))]
    outcomes = book.write(group, Stamp(NOW_NS, 0)).outcomes

    assert [outcome.entries for outcome in outcomes] == [1, 0, 2]
    assert isinstance(outcomes[1].error, errors.VersionConflict)
    assert outcomes[1].error.field == "ops[2].if_version"
    assert rows_of(book) == {("notes", "a"): 2, ("notes", "c"): 1}
    assert book.query(find_fault) is None


def test_row_that_somebody_took_away_is_made_anew(home: Home) -> None:
    """A write is never lost, whatever became of the row that it was to change."""
    book = open_store(home)
    written(say(book, put("a", 1)))
    book.query(lambda c: c.execute("DELETE FROM kv"))

    assert written(say(book, put("a", 2))).versions == [2]
    assert rows_of(book) == {("notes", "a"): 2}


def test_what_was_only_looked_at_is_not_remembered_without_bound(home: Home) -> None:
    """Neither many keys that writes found absent, nor large metadata that they found."""
    book = open_store(home)
    written(say(book, put("large", 1, metadata={"note": "x" * 60_000}), put("small", 1)))
    written(say(book, Check(key="large"), Check(key="small")))
    known = set(book.store.main._rows)

    for start in range(0, ROWS_KEPT_MAX + 1, OPS_MAX):
        written(say(book, *(Delete(key=f"absent-{start + n}") for n in range(OPS_MAX))))

    assert known == {("notes", "small")}
    assert len(book.store.main._rows) <= ROWS_KEPT_MAX


@pytest.mark.parametrize("is_staged", [True, False])
def test_keys_of_a_change_are_kept_or_undone_without_its_asking(
    home: Home, *, is_staged: bool
) -> None:
    """Kept where it is done, undone where it is refused."""
    kind: ChangeKind[Any] = ChangeKind("give", Give, check_change, _give, is_staged=is_staged)
    book = open_store(home, kinds={**KINDS, Give: kind})

    group = [
        Give(writer="giver", nonce=entry.make_nonce(1, n), key=key, refuse=key == "refused")
        for n, key in enumerate(("done", "refused"))
    ]
    book.write([kv_write(put("before", 0)), *group, kv_write(put("after", 2))], Stamp(NOW_NS, 0))

    given = {(ns, key) for ns, key in rows_of(book) if ns != "notes"}
    assert given == {("persistent", "done"), ("transient", "done")}
