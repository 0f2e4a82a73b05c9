"""A writer that starts while somebody else makes the index of the log anew.

After a writer was killed whoever opens the book first does that: a reader as well as the successor.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from books import open_writer, write_book

from hourbook.book.reader import BookReader
from hourbook.home import Home

RECOVERY = """
import fcntl, sys, time
index = open(sys.argv[1], "r+b")
fcntl.lockf(index, fcntl.LOCK_EX, 1, int(sys.argv[2]))
print("recovering", flush=True)
time.sleep(0.3)
"""
"""Holds a lock of a recovery for as long as one of a large log takes."""
LOCKS = {"first to open": 128, "recovery": 122, "writing": 120}
"""Bytes of the index of a log: https://sqlite.org/walformat.html, 2.3, and UNIX_SHM_DMS."""


@contextlib.contextmanager
def recovering(home: Home, lock: str) -> Iterator[None]:
    """Let another process recover the log meanwhile."""
    index = Path(f"{home.book_db}-shm")
    index.write_bytes(b"")  # as after a crash: what it says is not to be trusted
    command = [sys.executable, "-c", RECOVERY, str(index), str(LOCKS[lock])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "recovering\n"
        yield


@pytest.mark.parametrize("lock", LOCKS)
def test_writer_waits_for_a_reader_that_recovers_the_log(home: Home, lock: str) -> None:
    """It must not start degraded, refusing all, because a reader was there a moment earlier."""
    write_book(home, [20])
    with recovering(home, lock):
        writer = open_writer(home)

    assert writer.head.seq == 20
    writer.close()


@pytest.mark.parametrize("lock", LOCKS)
def test_reader_waits_for_a_writer_that_recovers_the_log(home: Home, lock: str) -> None:
    """The other way round."""
    write_book(home, [20])
    with recovering(home, lock), BookReader(home) as reader:
        count = reader.count()

    assert count == 20
