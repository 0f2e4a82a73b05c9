"""Changes in the writer: applied in order, answered once, refused without harm to their group."""

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from books import STAMP, append, new, open_writer, raw_connection
from msgspec import inspect

from hourbook.book import schema
from hourbook.book.changes import outcomes
from hourbook.book.changes.kinds import KINDS
from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.journal import Row, Stamp
from hourbook.book.reader import BookReader
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols import entry, errors
from protocols.book_messages import Append, check_append
from protocols.change import CHANGE_NONCES, Change, check_change

NOW_NS = STAMP.time_ns


class Mark(Change, frozen=True, kw_only=True):
    """Record `count` entries, note a name as a session, then perhaps refuse."""

    name: str
    count: int = 1
    refuse: bool = False


class Marked(msgspec.Struct, frozen=True):
    """The seqs that were recorded, and the head that was found."""

    seqs: list[int]
    head: int


def _apply(change: Mark, scope: Scope) -> Marked:
    head = scope.head_seq
    seqs = [scope.record("mark.made", "marked", change.name, i) for i in range(change.count)]
    scope.connection.execute("INSERT INTO session VALUES (?, ?, 0, '')", (change.name, head))
    if change.refuse:
        raise errors.BadRequest(f"Expected otherwise, got {change.name}", field="name")
    return Marked(seqs, head)


class Often(Change, frozen=True, kw_only=True):
    """A change whose answer follows from its entry."""


def _often(_: Often, scope: Scope) -> Marked:
    return Marked([scope.record("often.done", "did", "often")], scope.head_seq)


def _replay(_: Often, rows: list[Row]) -> Marked:
    return Marked([row[0] for row in rows], rows[-1][0])


TEST_KINDS: Mapping[type[Change], ChangeKind[Any]] = {
    **KINDS,
    Mark: ChangeKind("mark", Mark, check_change, _apply),
    Often: ChangeKind("often", Often, check_change, _often, _replay),
}


def mark(counter: int, name: str = "x", **fields: Any) -> Mark:
    """Return a change of the agent whose nonce is at `counter`."""
    return Mark(writer="agent", nonce=entry.make_nonce(7, counter), name=name, **fields)


def open_marking(home: Home) -> BookWriter:
    """Open a book that knows the changes of this test."""
    return open_writer(home, kinds=TEST_KINDS)


def sessions(home: Home) -> list[str]:
    """Return what the changes have left in their table."""
    connection = raw_connection(home.book_db)
    rows = connection.execute("SELECT name FROM session ORDER BY started_seq").fetchall()
    connection.close()
    return [row[0] for row in rows]


def test_change_stands_in_its_place_among_the_appends_of_its_group(home: Home) -> None:
    """Its entries follow what came before it, precede what came after, and the chain verifies."""
    writer = open_marking(home)
    group: list[Append | Change] = [
        append(1, 2),
        mark(10, count=3),
        append(10 + CHANGE_NONCES),
    ]

    rows, _, answers, _ = writer.write(group, STAMP)
    writer.close()

    assert [row[9] for row in rows] == ["deployed"] * 2 + ["marked"] * 3 + ["deployed"]
    assert msgspec.msgpack.decode(answers[0].body) == {"seqs": [3, 4, 5], "head": 2}
    assert [row[7] for row in rows[2:5]] == [entry.make_nonce(7, n) for n in (10, 11, 12)]
    with BookReader(home) as book:
        assert book.verify(all_signatures=True).ok


def test_refused_change_leaves_its_group_unharmed(home: Home) -> None:
    """Nothing of it stays, and all else does."""
    writer = open_marking(home)
    group: list[Append | Change] = [
        mark(1, "one"),
        mark(1 + CHANGE_NONCES, "two", refuse=True),
        append(1, writer="b"),
    ]

    rows, _, answers, _ = writer.write(group, STAMP)
    writer.close()

    assert [answer.error is None for answer in answers] == [True, False]
    assert [row[10] for row in rows] == ["one", "api.1"]
    assert sessions(home) == ["one"]


def test_answers_and_refusals_are_given_again_also_by_the_next_writer(home: Home) -> None:
    """What a change was answered is found after a restart; it is not done again."""
    done, refused = mark(1, "one"), mark(1 + CHANGE_NONCES, "two", refuse=True)
    writer = open_marking(home)
    first = writer.write([done, refused], STAMP).outcomes
    writer.close()

    writer = open_marking(home)
    is_new = [writer.admission.is_new(change, (), NOW_NS) for change in (done, refused)]
    again = [writer.admission.outcome_of(change) for change in (done, refused)]
    writer.close()

    assert is_new == [False, False]
    assert again[0] is not None
    assert again[1] is not None
    assert again[0].body == first[0].body
    assert isinstance(again[1].error, errors.BadRequest)
    assert str(again[1].error) == str(first[1].error)


def test_another_change_under_the_same_nonce_is_refused(home: Home) -> None:
    """While the first one waits, and once it is done; a later hybrid time makes it no other."""
    writer = open_marking(home)
    first, other = mark(1, "one"), mark(1, "two")
    assert writer.admission.is_new(first, (), NOW_NS)

    with pytest.raises(errors.BadRequest, match="nonce of its own"):
        writer.admission.is_new(other, [first], NOW_NS)
    writer.write([first], STAMP)
    with pytest.raises(errors.BadRequest, match="nonce of its own"):
        writer.admission.is_new(other, (), NOW_NS)
    with pytest.raises(errors.BadRequest, match="nonce of its own"):
        writer.admission.is_new(append(1), (), NOW_NS)

    assert not writer.admission.is_new(msgspec.structs.replace(first, hlc=5), (), NOW_NS)
    writer.close()


def test_change_that_can_be_replayed_keeps_no_answer(home: Home) -> None:
    """Its entry says what it was answered, for as long as the entry is there."""
    writer = open_marking(home)
    change = Often(writer="agent", nonce=entry.make_nonce(7, 1))
    first = writer.write([change], STAMP).outcomes[0]

    assert not writer.admission.is_new(change, (), NOW_NS)
    again = writer.admission.outcome_of(change)
    stored = writer.query(lambda c: c.execute("SELECT count(*) FROM outcome").fetchone()[0])
    writer.close()

    assert again is not None
    assert again.body == first.body
    assert stored == 0


def test_answers_are_forgotten_after_a_day(home: Home) -> None:
    """Later changes drop what is older; a resend that late is refused, not done again."""
    writer = open_marking(home)
    writer.write([mark(1, "one")], STAMP)
    late = Stamp(NOW_NS + outcomes.OUTCOME_KEPT_NS + 1, -1)

    writer.write([mark(1 + CHANGE_NONCES, "two")], late)

    with pytest.raises(errors.NonceExpired):
        writer.admission.is_new(mark(1, "one"), (), late.time_ns)
    writer.close()


def test_group_that_records_nothing_is_no_commit(home: Home) -> None:
    """A refusal alone is kept without a signed commit; the next group follows on."""
    writer = open_marking(home)
    writer.write([mark(1, refuse=True)], STAMP)
    head = writer.head

    writer.commit([append(2 + CHANGE_NONCES)], STAMP)
    writer.close()

    assert head.commit_no == 0
    with BookReader(home) as book:
        assert book.verify(all_signatures=True).entries == 1


def test_what_is_written_beside_is_kept_with_the_group(home: Home) -> None:
    """And undone with it."""
    writer = open_marking(home)

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO session VALUES ('beside', 0, 0, '')")

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO session VALUES ('undone', 0, 0, '')")
        raise errors.InternalError("no")

    writer.write([], STAMP, fill)
    with pytest.raises(errors.InternalError):
        writer.write([append(1)], STAMP, fail)
    writer.commit([append(2)], STAMP)
    writer.close()

    assert sessions(home) == ["beside"]
    with BookReader(home) as book:
        assert book.verify().ok


@pytest.mark.parametrize("kind", ["instance.register", "kv.set", "memory.x", "book.redact"])
def test_append_may_not_use_a_kind_that_stands_for_a_change(kind: str) -> None:
    """Nobody can pretend that a table was changed."""
    request = msgspec.structs.replace(
        append(1), entries=[msgspec.structs.replace(new(), kind=kind)]
    )

    with pytest.raises(errors.BadRequest, match="kind"):
        check_append(request)


def test_append_may_use_any_other_kind_and_not_our_name() -> None:
    """A kind of its own may have dots; the name of journal_writer is taken."""
    request = append(1)
    check_append(
        msgspec.structs.replace(request, entries=[msgspec.structs.replace(new(), kind="ci.book")])
    )

    with pytest.raises(errors.BadRequest, match="journal_writer"):
        check_append(msgspec.structs.replace(request, writer="journal_writer"))


def test_book_of_version_1_is_migrated_with_its_entries(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables of version 2 are added, a copy of the old book is kept, and it verifies."""
    with monkeypatch.context() as old:
        old.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        old.setattr(schema, "SCHEMA_VERSION", 1)
        schema.prepare(connection := schema.connect_writer(home.book_db), home.book_db)
        connection.close()

    writer = open_marking(home)
    writer.write([append(1), mark(2)], STAMP)
    version = writer.query(lambda c: c.execute("PRAGMA user_version").fetchone()[0])
    writer.close()

    assert version == schema.SCHEMA_VERSION >= 2
    assert (home.path / "book.db.v1").stat().st_mode & 0o777 == 0o600
    with BookReader(home) as book:
        assert book.verify(all_signatures=True).entries == 2


def test_request_of_a_forgotten_writer_is_not_taken_twice(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for its commit is remembered, however many other writers came since."""
    monkeypatch.setattr("hourbook.book.admission.WRITERS_REMEMBERED_MAX", 1)
    writer = open_marking(home)
    waiting, other = mark(1), Mark(writer="other", nonce=entry.make_nonce(7, 1), name="y")
    assert writer.admission.is_new(waiting, (), NOW_NS)
    assert writer.admission.is_new(other, [waiting], NOW_NS)

    assert not writer.admission.is_new(waiting, [waiting, other], NOW_NS)
    writer.close()


@pytest.mark.parametrize("request_type", [Append, *KINDS], ids=lambda type_: type_.__name__)
def test_every_integer_of_a_request_fits_a_column(request_type: type[msgspec.Struct]) -> None:
    """A larger one is refused by its type: the database never gets to see it."""
    assert list(unbounded(inspect.type_info(request_type), request_type.__name__)) == []


def unbounded(type_: inspect.Type, path: str) -> Iterator[str]:
    """Return where in a type an integer may be larger than 63 bits."""
    match type_:
        case inspect.IntType(le=most) if most is None or most >= 1 << 63:
            yield path
        case inspect.StructType(fields=fields):
            for field in fields:
                yield from unbounded(field.type, f"{path}.{field.name}")
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            yield from unbounded(item, f"{path}[]")
        case inspect.TupleType(item_types=types) | inspect.UnionType(types=types):
            for item in types:
                yield from unbounded(item, path)
