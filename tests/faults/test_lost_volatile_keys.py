"""Keys that need not outlive a reboot, whose file somebody removed or spoiled under the writer."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from book_actors import ActorProcess
from kv_writes import open_store, put, rows_of, say
from waiting import wait_until

from actors.held_book import EXIT_DISK_FAILED
from actors.journal_writer import JournalWriter
from hourbook.book.store.files import StoreFiles
from hourbook.book.store.glob import parse_glob
from hourbook.book.store.reading import KeyReader
from hourbook.faces.book import connect
from hourbook.home import Home
from protocols import errors


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


def overwrite(path: Path) -> None:
    """Write over all of it."""
    path.write_bytes(b"\xa5" * path.stat().st_size)


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


@pytest.mark.parametrize("harm", [empty, spoil])
def test_first_read_after_the_harm_names_the_file_of_volatile_keys(
    home: Home, harm: Callable[[Path], None]
) -> None:
    """A line that was open before fails in the volatile file: the book is not to blame."""
    book = open_store(home)
    for number in range(300):
        say(book, put(str(number), bytes(9000), type="transient"))
    assert book.store.volatile is not None
    book.store.volatile.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = StoreFiles(home)
    reader = KeyReader(files, "notes")
    glob = parse_glob("*")
    reads: list[Callable[[], object]] = [
        lambda: reader.load("150"),
        lambda: reader.find("150"),
        lambda: reader.many(["150"]),
        lambda: list(reader.scan(glob)),
    ]
    lines = [files.take() for _ in reads]
    for line in lines:
        assert line.open_volatile(home)
        files.give(line)

    harm(home.volatile_db)
    refused = []
    for read in reads:
        with pytest.raises(errors.HomeUnusable) as caught:
            read()
        refused.append(caught.value.field)

    assert refused == [str(home.volatile_db)] * len(reads)
    files.close()
    book.store.volatile.close()
    book.close()


@pytest.mark.parametrize("harm", [remove, empty, spoil, overwrite])
def test_writer_that_has_not_noticed_the_harm_yet_ends_in_order(
    home: Home, harm: Callable[[Path], None]
) -> None:
    """The book that is closed after it is as it was."""
    book = open_store(home)
    say(book, put("durable", 1))
    say(book, put("volatile", bytes(9000), type="transient"))
    assert book.store.volatile is not None

    harm(home.volatile_db)
    book.store.volatile.close()
    book.close()

    with contextlib.closing(open_store(home)) as again:
        assert rows_of(again) == {("notes", "durable"): 1}
