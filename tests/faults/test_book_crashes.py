"""What was acknowledged is in the book: after torn logs, bad pages, full and failing disks."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from book_actors import running_writer
from books import STAMP, append, new, open_writer, raw_connection, write_book
from small_disk import mounted_small
from waiting import wait_until

from hourbook.book.reader import BookReader
from hourbook.faces.book import connect
from hourbook.home import Home, find_home, prepare_home
from hourbook.link.client import MailboxClient
from protocols import entry, errors
from protocols.book_messages import Append
from protocols.change import CHANGE_NONCES


def crash_image(home: Home, target: Path) -> Home:
    """Copy a book with its log, as a power cut would leave it."""
    target.mkdir()
    for path in home.path.glob("book.db*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, target)
    shutil.copytree(home.keys_dir, target / "keys")
    return Home(target, target)


def test_torn_tail_of_the_log_loses_whole_commits_only(
    home: Home, tmp_path: Path, rng: random.Random
) -> None:
    """Cut or overwrite the log anywhere: what is left verifies, and the next append works."""
    writer = open_writer(home)
    for counter in range(1, 41):
        writer.commit([append(counter)], STAMP)
    for number in range(40):
        image = crash_image(home, tmp_path / f"image-{number}")
        log = image.path / "book.db-wal"
        place = rng.randrange(32, log.stat().st_size)
        with log.open("r+b") as file:
            if number % 2:
                file.truncate(place)
            else:
                file.seek(place)
                file.write(rng.randbytes(512))

        survivor = open_writer(image)
        rows = survivor.commit([append(100)], STAMP)
        survivor.close()

        with BookReader(image) as reader:
            verdict = reader.verify(all_signatures=True)
        assert verdict.ok, verdict.problem
        assert verdict.entries == rows[0][0] <= 41
    writer.close()


def test_corrupt_page_is_reported_and_not_written_to(home: Home, rng: random.Random) -> None:
    """A page of garbage: the writer refuses, verify names a seq, and nothing crashes."""
    write_book(home, [50] * 10)
    connection = raw_connection(home.book_db)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    # A verification reads every page of these tables. (The library's SQLite may lack dbstat.)
    with contextlib.closing(apsw.Connection(str(home.book_db))) as reading:
        sql = "SELECT pageno FROM dbstat WHERE name IN ('entry', 'signed_commit')"
        pages: list[Any] = reading.execute(sql).fetchall()
    with home.book_db.open("r+b") as file:
        file.seek(4096 * (rng.choice(pages)[0] - 1))
        file.write(rng.randbytes(4096))

    with pytest.raises(errors.BookCorrupt):
        open_writer(home)

    with BookReader(home) as reader:
        verdict = reader.verify()
    assert not verdict.ok
    assert verdict.first_bad_seq is not None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Home]:
    """Return a home on a file system of its own with 3 MiB of room."""
    path = tmp_path / "small"
    path.mkdir()
    with mounted_small(path, 3):
        home = find_home(path)
        prepare_home(home)
        yield home
    shutil.rmtree(home.run_dir, ignore_errors=True)


@pytest.mark.live
def test_full_disk_refuses_and_recovers(
    small_disk: Home, capfd: pytest.CaptureFixture[str]
) -> None:
    """Appends to a full disk hear DiskFull, nothing half is kept, and later ones work.

    A request that was refused stays so: its sender was told, and may have said it another way. The
    log says it once, however many there are.
    """
    late = Append("late", entry.make_nonce(1, 1), [new(details=b"y" * 30_000)])
    with (
        running_writer(small_disk),
        connect("agent", small_disk, shared=True) as book,
        contextlib.closing(MailboxClient(small_disk, "journal_writer", "late")) as client,
    ):
        acknowledged = [book.log("before", "x").seq]
        refused = 0
        ballast = small_disk.path / "ballast"
        ballast.write_bytes(b"x" * 2_000_000)
        for number in range(200):
            try:
                acknowledged.append(book.log("fill", str(number), b"y" * 30_000).seq)
            except errors.DiskFull:
                refused += 1
                if refused == 3:
                    break
        assert refused == 3
        with pytest.raises(errors.DiskFull):
            client.request("book.append", late)
        ballast.unlink()
        with pytest.raises(errors.DiskFull):
            client.request("book.append", late)

        acknowledged.append(book.log("after", "x").seq)

        assert [e.seq for e in book.tail(1000)] == acknowledged == [*range(1, acknowledged[-1] + 1)]
        assert book.verify(all_signatures=True).ok
    assert capfd.readouterr().err.count("WARNING journal_writer: refused") == 1


class FailingDisk(sqlite3.Connection):
    """A connection whose commits fail as a disk does, once told to."""

    fails = False

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if self.fails and sql == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return super().execute(sql, *parameters)


def test_failed_fsync_is_raised_and_not_tried_again(home: Home) -> None:
    """A disk that fails is not DiskFull: the error leaves the writer as it is, nothing is kept."""
    connections: list[FailingDisk] = []

    def connect_failing(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, factory=FailingDisk)
        connections.append(connection)
        return connection

    writer = open_writer(home, connect=connect_failing)
    writer.commit([append(1)], STAMP)
    connections[0].fails = True

    with pytest.raises(sqlite3.OperationalError, match="disk I/O"):
        writer.commit([append(2)], STAMP)

    connections[0].close()
    with BookReader(home) as reader:
        assert reader.count() == 1


@pytest.mark.live
def test_stopped_and_continued_writer_answers_every_resend_once(home: Home) -> None:
    """A writer that slept through several resends writes the entry once."""
    with running_writer(home) as writer, connect("agent", home, shared=True, timeout_s=20) as book:
        book.log("before", "x")
        os.kill(writer.process.pid, signal.SIGSTOP)
        future = book.log_nowait("during", "y")
        reply = future._reply
        wait_until(lambda: reply.attempt >= 3, 10, "three attempts")
        os.kill(writer.process.pid, signal.SIGCONT)

        assert future.result(10).seq == 2
        assert book.log("after", "z").seq == 3
        assert [e.action for e in book.tail(9)] == ["before", "during", "after"]
        third = 1 + 2 * CHANGE_NONCES  # of the requests; nothing but resends was between
        assert entry.nonce_parts(book.tail(1)[0].nonce)[1] == third
