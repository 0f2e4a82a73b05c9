"""Keys with a null character: SQLite's functions of text end there, and the store's rules do not.

A key that was cut short there would be another's: its past held for damage, its value for history.
"""

import pytest
from kv_writes import NOW_NS, open_store, put, rows_of, say, written

from hourbook.book.changes.locks import list_leases
from hourbook.book.copies.rewind import find_cut, rewind
from hourbook.book.journal import Stamp
from hourbook.book.moment import parse_moment
from hourbook.book.store.rebuild import find_fault
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols.change import Change
from protocols.entry import make_nonce
from protocols.instance_messages import Holder
from protocols.keep_messages import Redact, Retain
from protocols.kv_messages import AcquireLock

NOW = Stamp(NOW_NS, 0)
MONTH_LATER = Stamp(NOW_NS + 30 * 86_400 * 10**9, 0)


@pytest.fixture(params=["\0", "a\0b", "a/\0é"])
def key(request: pytest.FixtureRequest) -> str:
    """Return a key that every client may use."""
    return str(request.param)


@pytest.fixture
def book(home: Home, key: str) -> BookWriter:
    """Return a book that holds it, and beside it what it would be if it ended there."""
    book = open_store(home)
    written(say(book, put(key, "old"), put(key, "now"), put(key.partition("\0")[0] or "a", 1)))
    return book


def do(book: BookWriter, change: Change, stamp: Stamp = NOW) -> None:
    """Do one change."""
    (outcome,) = book.write([change], stamp).outcomes
    assert outcome.error is None


def test_book_with_such_a_key_verifies(book: BookWriter) -> None:
    """A night's verification that took it for damage would end all writing."""
    assert book.query(find_fault) is None


def test_redacted_value_of_such_a_key_is_gone_from_it_too(book: BookWriter, key: str) -> None:
    """A secret is nowhere left."""
    do(book, Redact(writer="agent", nonce=make_nonce(5, 1), seq=2, why="a secret"))

    sql = "SELECT value FROM kv WHERE key = ?"
    assert book.query(lambda c: c.execute(sql, (key,)).fetchone()) == (None,)
    assert book.query(find_fault) is None


def test_retention_takes_no_value_that_such_a_key_holds(book: BookWriter) -> None:
    """However old; the one before it goes."""
    retain = Retain(writer="compactor", nonce=make_nonce(6, 1), rule="drop", ranges=[(1, 3)])

    do(book, retain, MONTH_LATER)

    sql = "SELECT seq FROM entry WHERE kind = 'kv.set' AND details IS NULL"
    assert book.query(lambda c: c.execute(sql).fetchall()) == [(1,)]
    assert book.query(find_fault) is None


def test_copy_that_is_cut_back_has_such_a_key_and_its_lock(book: BookWriter, key: str) -> None:
    """With what it held then, under its own name."""
    holder = Holder(bytes(16), 42, 7, 9)
    nonce = make_nonce(7, 1 << 20)
    do(
        book,
        AcquireLock(writer="agent", nonce=nonce, ns="notes", key=key, holder=holder, ttl_ns=10**9),
    )
    before = rows_of(book)
    written(say(book, put(key, "later")))

    book.query(lambda connection: rewind(connection, find_cut(connection, parse_moment(4))))

    assert rows_of(book) == before
    assert [lease.name for lease in book.query(list_leases)] == [("notes", key)]
    assert book.query(find_fault) is None
