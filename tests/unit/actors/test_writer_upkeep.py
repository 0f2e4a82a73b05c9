"""When the log is moved into the database, and when it is cut back to nothing."""

import contextlib

import pytest
from books import STAMP, append, open_writer

from actors.writer_upkeep import WriterUpkeep
from hourbook.book.copies.book_file import open_book
from hourbook.book.writer import BookWriter
from hourbook.home import Home

LOG_BYTES_MAX = 200_000


@pytest.fixture
def book(home: Home) -> BookWriter:
    """Return an open book."""
    return open_writer(home)


@pytest.fixture
def upkeep(book: BookWriter) -> WriterUpkeep:
    """Return what is to be done about it, after the first look."""
    upkeep = WriterUpkeep(LOG_BYTES_MAX)
    upkeep.tidy(book)
    return upkeep


def entries_in_file(home: Home) -> int:
    """Return how many entries are in the database itself, whatever its log holds."""
    copy = home.path / "alone.db"
    copy.write_bytes(home.book_db.read_bytes())
    with contextlib.closing(open_book(copy)) as connection:
        return int(connection.execute("SELECT count(*) FROM entry").fetchone()[0])


def test_idle_log_is_moved_into_the_database(
    home: Home, book: BookWriter, upkeep: WriterUpkeep
) -> None:
    """After a second without a commit, not before."""
    book.commit([append(1)], STAMP)
    upkeep.note_commit(has_erased=False)

    upkeep.tidy(book)
    busy = entries_in_file(home)
    upkeep.tidy(book)

    assert (busy, entries_in_file(home)) == (0, 1)
    assert book.wal_bytes() > 0


def test_large_log_is_cut_back_while_it_is_busy(book: BookWriter, upkeep: WriterUpkeep) -> None:
    """As soon as it has outgrown its limit."""
    for counter in range(1, 40):
        book.commit([append(counter, details="x" * 9000)], STAMP)
        upkeep.note_commit(has_erased=False)
    assert book.wal_bytes() > LOG_BYTES_MAX

    upkeep.tidy(book)

    assert book.wal_bytes() == 0


def test_log_that_a_reader_needs_is_cut_back_later(
    home: Home, book: BookWriter, upkeep: WriterUpkeep
) -> None:
    """What was dropped for good is tried to be cut off each second, until nobody reads it."""
    book.commit([append(1)], STAMP)
    with contextlib.closing(open_book(home.book_db)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entry").fetchone()
        upkeep.note_commit(has_erased=True)
        upkeep.tidy(book)
        held = book.wal_bytes()

    upkeep.tidy(book)

    assert (held > 0, book.wal_bytes()) == (True, 0)
