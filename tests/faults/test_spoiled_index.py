"""A page of the nonce index that was spoiled: nothing else of the book shows it."""

import random

import pytest
from book_actors import running_writer
from books import append, raw_connection, write_book

from hourbook.book import distrust
from hourbook.book.reader import BookReader
from hourbook.book.writer import START_CHECK_ENTRIES
from hourbook.faces.book import connect
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from protocols import errors

PAGE = 4096
INDEX_LEAF = 0x0A
GROUPS = [10, *[4096] * (START_CHECK_ENTRIES // 4096 + 1)]
SPOILED = append(2000)
"""So far back that the check at the start does not ask for it: only a resend does."""


def spoil_index(home: Home, rng: random.Random) -> None:
    """Write a book, and random bytes over the leaf of the index that holds one nonce."""
    write_book(home, GROUPS)
    connection = raw_connection(home.book_db)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    image = home.book_db.read_bytes()
    key = SPOILED.writer.encode() + SPOILED.nonce
    page = next(
        at
        for at in range(PAGE, len(image), PAGE)
        if image[at] == INDEX_LEAF and key in image[at : at + PAGE]
    )
    with home.book_db.open("r+b") as file:
        file.seek(page)
        file.write(rng.randbytes(PAGE))


def test_verification_reads_the_index_of_nonces(home: Home, rng: random.Random) -> None:
    """Every entry is right, and the verdict still says that the book is not."""
    spoil_index(home, rng)

    with BookReader(home) as reader:
        verdict = reader.verify()

    assert not verdict.ok
    assert "malformed" in verdict.problem


def test_index_that_lost_an_entry_does_not_verify(home: Home) -> None:
    """A row that the index does not hold could be written twice."""
    write_book(home, [20])
    connection = raw_connection(home.book_db)
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("DELETE FROM sqlite_schema WHERE name = 'entry_nonce'")
    connection.execute("PRAGMA writable_schema=RESET")
    connection.execute("CREATE UNIQUE INDEX entry_nonce ON entry (writer, nonce) WHERE seq <> 7")
    connection.close()

    with BookReader(home) as reader:
        verdict = reader.verify()

    assert not verdict.ok


@pytest.mark.live
def test_writer_that_meets_it_refuses_and_remembers(home: Home, rng: random.Random) -> None:
    """The start saw nothing: the append is refused, the writer lives, no restart forgets."""
    spoil_index(home, rng)

    with running_writer(home) as writer:
        client = MailboxClient(home, "journal_writer", "test")
        with pytest.raises(errors.BookCorrupt) as refused:
            client.request("book.append", SPOILED)
        writer.kill()
        writer.start()
        with connect("agent", home) as book, pytest.raises(errors.BookCorrupt) as again:
            book.log("x", "y")
        client.close()

    assert "malformed" in str(refused.value)
    assert str(again.value) == str(refused.value)
    assert distrust.path_of(home).exists()
