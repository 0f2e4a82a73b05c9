"""Keys that need not outlive a reboot, whose file somebody removed or spoiled under the writer."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from book_actors import ActorProcess
from waiting import wait_until

from actors.held_book import EXIT_DISK_FAILED
from actors.journal_writer import JournalWriter
from hourbook.faces.book import connect
from hourbook.home import Home


def remove(path: Path) -> None:
    """Remove the database; its log stays."""
    path.unlink()


def empty(path: Path) -> None:
    """Cut the database back to nothing."""
    os.truncate(path, 0)


def spoil(path: Path) -> None:
    """Write over all but the first page, and cut the log back."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    os.truncate(f"{path}-wal", 0)


@pytest.mark.live
@pytest.mark.parametrize("harm", [remove, empty, spoil])
def test_writer_begins_with_another_file_and_trusts_its_book(
    home: Home, harm: Callable[[Path], None]
) -> None:
    """It ends; its successor serves what readers see. The durable keys are as before."""
    writer = ActorProcess(JournalWriter, "journal_writer", home)
    with connect("agent", home, shared=True) as book:
        durable, volatile = book.store("app"), book.store("temp")
        durable.set("k", 1)
        for number in range(1000):
            volatile.set_nowait(str(number), os.urandom(9000))
        volatile.set("k", 1)

        harm(home.volatile_db)
        for number in range(0 if harm is not spoil else 1000):
            volatile.set_nowait(str(number), 2)
        wait_until(lambda: not writer.process.is_alive(), 5, "the writer to end")
        ended = writer.process.exitcode
        writer.start()

        assert ended == EXIT_DISK_FAILED
        volatile.set("k", 2)
        assert (volatile.get("k"), durable.get("k")) == (2, 1)
        durable.set("k", 3)
    with connect("other", home, shared=True) as other:
        assert (other.store("temp").get("k"), other.store("app").get("k")) == (2, 3)
    writer.stop()
