"""A book that was found damaged is not written to again, restart or not, until it verifies."""

import shutil
from collections.abc import Iterator

import pytest
from book_actors import ActorProcess, running_compactor, running_writer
from books import raw_connection, write_book
from waiting import wait_until

from hourbook.book import distrust
from hourbook.book.reader import BookReader
from hourbook.book.writer import START_CHECK_ENTRIES
from hourbook.faces.book import connect
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from protocols import book_messages, errors

pytestmark = pytest.mark.live

BAD_SEQ = 4
GROUPS = [10, *[4096] * (START_CHECK_ENTRIES // 4096 + 1)]
"""The damage lies so far back that the check at the start does not see it."""


@pytest.fixture
def writer(home: Home) -> Iterator[ActorProcess]:
    """Run a journal_writer on a long book."""
    write_book(home, GROUPS)
    with running_writer(home) as running:
        yield running


def refusal(home: Home) -> str:
    """Try to append; return why it was refused, or ""."""
    try:
        with connect("agent", home, shared=True) as book:
            book.log("x", "y")
    except errors.BookCorrupt as error:
        return str(error)
    return ""


def run_verify(home: Home) -> None:
    """Ask the compactor for a verification."""
    client = MailboxClient(home, "compactor", "test")
    client.request("compactor.run", book_messages.Run("verify"))
    client.close()


def restore(home: Home, copy: Home) -> None:
    """Put a copy in the place of the book, as docs/OPERATIONS.md says."""
    for path in home.path.glob("book.db*"):
        path.unlink()
    shutil.copy(copy.book_db, home.book_db)


def test_verdict_outlives_a_restart_and_ends_with_a_restore(
    writer: ActorProcess, home: Home
) -> None:
    """Damaged, verified, restarted: still refused, naming the seq; restored: accepted again."""
    copy = Home(home.backup_dir, home.backup_dir)
    copy.path.mkdir()
    with BookReader(home) as reader:
        reader.copy_to(copy.book_db)
    connection = raw_connection(home.book_db)
    connection.execute("UPDATE entry SET entity = 'forged' WHERE seq = ?", (BAD_SEQ,))
    connection.close()
    assert refusal(home) == ""
    with running_compactor(home):
        run_verify(home)
        wait_until(lambda: refusal(home), 20, "the writer to refuse")

    writer.kill()
    writer.start()
    after_restart = refusal(home)
    writer.kill()
    restore(home, copy)
    writer.start()
    after_restore = refusal(home)
    with running_compactor(home):  # it finds the verdict standing, and verifies unasked
        wait_until(lambda: not refusal(home), 20, "the writer to accept")

    assert f"bad seq {BAD_SEQ}: its hash is not that of its content" in after_restart
    assert f"bad seq {BAD_SEQ}" in after_restore
    assert not distrust.path_of(home).exists()
    with BookReader(home) as reader:
        assert reader.count() == sum(GROUPS) + 1
        assert reader.verify(all_signatures=True).ok


def test_verdict_that_cannot_be_read_is_found_again(writer: ActorProcess, home: Home) -> None:
    """Garbage in the file stops no writer, and makes the compactor look for itself at once."""
    distrust.path_of(home).write_bytes(b"\xff{garbage")
    writer.kill()
    writer.start()
    before = refusal(home)

    with running_compactor(home):
        wait_until(lambda: not distrust.path_of(home).exists(), 20, "a clean verification")

    assert before == refusal(home) == ""
