"""A change with a bug in it: refused and buried alone, whatever stands beside it in its group."""

import logging
import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from books import STAMP, append, open_writer

from actors import dead_letters, guard
from hourbook.book import schema
from hourbook.book.changes import outcomes
from hourbook.book.changes.kinds import KINDS
from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.reader import BookReader
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols import entry, errors, wire
from protocols.change import CHANGE_NONCES, Change, check_change

NOW_NS = STAMP.time_ns


class Poison(Change, frozen=True, kw_only=True):
    """Record an entry and a session, then fail in the way that `how` says."""

    how: str


def _fail(change: Poison, scope: Scope) -> msgspec.Struct:
    scope.record("mark.made", "marked", change.how)
    insert = "INSERT INTO session VALUES (?, 0, 0, '')"
    scope.connection.execute(insert, (change.how,))
    match change.how:
        case "key":
            raise KeyError("nobody expected this")
        case "assert":
            raise AssertionError
        case "constraint":
            scope.connection.execute(insert, (change.how,))
        case "sql":
            scope.connection.execute("SELECT nothing FROM nowhere")
        case "binding":
            scope.connection.execute(insert, ())
        case "answer":
            return object()  # type: ignore[return-value]  # that is the bug
        case "disk":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
            raise error
    return change


POISONED: Mapping[type[Change], ChangeKind[Any]] = {
    **KINDS,
    Poison: ChangeKind("poison", Poison, check_change, _fail),
}


def poison(how: str, counter: int = 2) -> Poison:
    """Return a change that fails."""
    return Poison(writer="agent", nonce=entry.make_nonce(7, counter), how=how)


def open_guarded(home: Home) -> BookWriter:
    """Open a book as journal_writer does, with one kind of change more."""
    now_ns, is_fatal = lambda: NOW_NS, schema.has_failed
    attempt = guard.containing("journal_writer", home, now_ns, is_fatal)
    return open_writer(home, kinds=POISONED, attempt=attempt)


def letters(home: Home) -> list[dict[str, Any]]:
    """Return what was buried."""
    path = home.dead_letter_dir / "journal_writer.msgpack"
    return list(dead_letters.exhume(path)) if path.exists() else []


@pytest.mark.parametrize("how", ["key", "assert", "constraint", "sql", "binding", "answer"])
def test_bug_of_a_change_is_refused_and_leaves_its_group_unharmed(
    home: Home, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The appends and changes around it are written; nothing of it is; its traceback is logged."""
    writer = open_guarded(home)
    after = 2 + CHANGE_NONCES

    with caplog.at_level(logging.ERROR):
        rows, _, answers, _ = writer.write(
            [append(1), poison(how), poison("fine", after), append(after + CHANGE_NONCES)], STAMP
        )
    names = writer.query(lambda c: c.execute("SELECT name FROM session").fetchall())
    writer.close()

    assert [row[10] for row in rows] == ["api.1", "fine", f"api.{after + CHANGE_NONCES}"]
    assert isinstance(answers[0].error, errors.InternalError)
    assert answers[1].error is None
    assert names == [("fine",)]
    assert "Traceback" in caplog.text
    assert "applying poison of agent" in caplog.text
    with BookReader(home) as book:
        assert book.verify(all_signatures=True).entries == 3


def test_dead_letter_holds_the_change_as_it_would_be_sent(home: Home) -> None:
    """Whoever mends the bug can do the change again."""
    writer = open_guarded(home)

    refusal = writer.write([poison("key")], STAMP).outcomes[0].error
    writer.close()

    (letter,) = letters(home)
    envelope = wire.decode_envelope(letter["frame"])
    assert (envelope.kind, wire.decode_body(envelope, Poison)) == ("poison", poison("key"))
    assert "KeyError: 'nobody expected this'" in letter["error"]
    assert str(home.dead_letter_dir) in str(refusal)


def test_resend_hears_the_same_and_is_not_tried_again(home: Home) -> None:
    """Also of the next incarnation: no loop, and one letter."""
    writer = open_guarded(home)
    first = writer.write([poison("key")], STAMP).outcomes[0]
    writer.close()

    writer = open_guarded(home)
    is_new = writer.admission.is_new(poison("key"), (), NOW_NS)
    again = writer.admission.outcome_of(poison("key"))
    writer.close()

    assert not is_new
    assert again is not None
    assert isinstance(again.error, errors.InternalError)
    assert again.body == first.body
    assert len(letters(home)) == 1


def test_failing_disk_is_no_bug_of_a_change(home: Home) -> None:
    """The writer hears of it, and nothing of the group is written."""
    writer = open_guarded(home)

    with pytest.raises(sqlite3.OperationalError, match="disk"):
        writer.write([append(1), poison("disk")], STAMP)

    assert writer.head.seq == 0
    assert letters(home) == []
    writer.close()


def test_letter_that_cannot_be_kept_changes_nothing(home: Home) -> None:
    """A full disk under the letters is said; the change is refused all the same."""
    home.dead_letter_dir.parent.mkdir(parents=True, exist_ok=True)
    home.dead_letter_dir.write_text("in the way")
    writer = open_guarded(home)

    rows, _, answers, _ = writer.write([poison("key"), append(2 + CHANGE_NONCES)], STAMP)
    writer.close()

    assert len(rows) == 1
    assert isinstance(answers[0].error, errors.InternalError)
    assert "could not be kept" in str(answers[0].error)


def test_what_fails_around_a_change_is_no_bug_of_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not be kept what became of it: the group ends, and nobody is buried for it."""
    writer = open_guarded(home)

    def fail(*_: object) -> None:
        raise KeyError("nobody expected this")

    monkeypatch.setattr(outcomes, "store", fail)
    with pytest.raises(KeyError):
        writer.write([append(1), poison("fine")], STAMP)

    assert writer.head.seq == 0
    assert letters(home) == []
    writer.close()
