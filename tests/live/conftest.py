"""Fixtures of live tests: a journal_writer of the test's own, a connection to it, a namespace."""

from collections.abc import Iterator

import pytest
from book_actors import ActorProcess, running_writer

from hourbook.faces.book import Book, connect
from hourbook.faces.store import Store
from hourbook.home import Home


@pytest.fixture
def writer(home: Home) -> Iterator[ActorProcess]:
    """Run a journal_writer on the test's home."""
    with running_writer(home) as running:
        yield running


@pytest.fixture
def book(writer: ActorProcess) -> Iterator[Book]:
    """Return a connection to it."""
    with connect("agent", writer.home, shared=True) as connected:
        yield connected


@pytest.fixture
def store(book: Book) -> Store:
    """Return the namespace of these tests."""
    return book.store("app")
