"""A disk that fails under the real journal_writer: it ends at once, and its successor goes on."""

import os
import subprocess
from pathlib import Path

import pytest
from book_actors import running_writer

from actors.held_book import EXIT_DISK_FAILED
from hourbook.faces.book import connect
from hourbook.home import Home

pytestmark = pytest.mark.live


@pytest.fixture
def failing_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file: while it exists, every fsync of the book fails in processes started now."""
    library, command = tmp_path / "libfailing_disk.so", tmp_path / "fails"
    source = Path(__file__).with_name("failing_disk.c")
    compiler = os.environ.get("CC", "cc")
    flags = ["-std=gnu11", "-O2", "-Wall", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, source, "-o", library, "-ldl"], check=True, timeout=60)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FAILING_DISK", str(command))
    return command


def test_writer_ends_on_a_failed_fsync_and_its_successor_goes_on(
    home: Home, failing_disk: Path
) -> None:
    """Exit code 74 after one attempt, no answer; after the restart each entry is there once."""
    with running_writer(home) as writer, connect("agent", home, shared=True, timeout_s=30) as book:
        book.log("before", "x")
        failing_disk.touch()
        futures = [book.log_nowait("during", str(number)) for number in range(5)]
        writer.process.join(20)
        exit_code, attempts = writer.process.exitcode, failing_disk.stat().st_size
        answered = [future.done() for future in futures]

        failing_disk.unlink()
        writer.start()
        entries = [future.result(20) for future in futures]
        after = book.log("after", "x")

        assert (exit_code, attempts) == (EXIT_DISK_FAILED, 1)
        assert answered == [False] * 5
        assert [entry.seq for entry in entries] == [2, 3, 4, 5, 6]
        assert [entry.entity for entry in book.tail(9)] == ["x", "0", "1", "2", "3", "4", "x"]
        assert (after.seq, book.verify(all_signatures=True).ok) == (7, True)
