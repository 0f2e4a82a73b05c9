"""Small books and the requests that fill them, for tests of every layer."""

import sqlite3
from pathlib import Path

import msgspec

from hourbook.book.journal import Stamp
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols import entry
from protocols.book_messages import Append, NewEntry

__all__ = ["STAMP", "append", "new", "open_writer", "raw_connection", "write_book"]

STAMP = Stamp(1_800_000_000_000_000_000, 1_000_000)


def new(action: str = "deployed", entity: str = "api", details: object = None) -> NewEntry:
    """Return one entry to be."""
    return NewEntry(action, entity, msgspec.Raw(entry.encode_value(details, "details")))


def append(
    counter: int = 1,
    count: int = 1,
    *,
    writer: str = "agent",
    incarnation: int = 7,
    details: object = None,
) -> Append:
    """Return a request of `count` entries whose nonces begin at `counter`."""
    entries = [new(entity=f"api.{counter + i}", details=details) for i in range(count)]
    return Append(writer, entry.make_nonce(incarnation, counter), entries)


def open_writer(home: Home, **options: object) -> BookWriter:
    """Open the book of a home for writing."""
    return BookWriter.open(home.book_db, home.keys_dir, **options)  # type: ignore[arg-type]


def write_book(home: Home, groups: list[int]) -> None:
    """Write one commit for each number of entries, then close the book."""
    writer = open_writer(home)
    counter = 1
    for count in groups:
        writer.commit([append(counter, count)], STAMP)
        counter += count
    writer.close()


def raw_connection(path: Path) -> sqlite3.Connection:
    """Open a book as a vandal would: no checks, every statement at once."""
    return sqlite3.connect(path, isolation_level=None)
