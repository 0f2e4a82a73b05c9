"""A log whose writes are gathered holds, at the end of each COMMIT, what any other log would."""

import contextlib
import os
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hourbook.book import gathered_log, schema
from hourbook.book.gathered_log import connect_gathering

PAGE = 4096
# A few pages; more than are gathered at once; more than SQLite keeps to the end of a transaction.
sizes = st.sampled_from([1, 30, 3 * PAGE, 40 * PAGE, 200 * PAGE])
writes = st.lists(st.tuples(st.integers(1, 6), sizes), min_size=1, max_size=4)
steps: st.SearchStrategy[Any] = st.tuples(
    st.sampled_from(["commit", "rollback"]), writes
) | st.tuples(st.sampled_from(["PASSIVE", "FULL", "RESTART", "TRUNCATE", "reopen"]), st.just([]))


def test_commit_of_many_pages_is_a_few_writes(tmp_path: Path) -> None:
    """As many as it takes to hand 96 KiB over at a time, not two for each page."""
    with opened(tmp_path / "a.db") as connection:
        for _ in range(3):
            put(connection, [(1, 100 * PAGE)])
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()  # the log is there now
        gathered = writes_of(connection, [(1, 100 * PAGE)])
        small = writes_of(connection, [(2, 100)])
    plain = schema.connect_writer(tmp_path / "b.db")
    begin(plain)
    put(plain, [(1, 100 * PAGE)])
    one_by_one = writes_of(plain, [(1, 100 * PAGE)])
    plain.close()

    assert one_by_one > 200
    assert gathered <= 10
    assert small == 1


def test_log_grows_ahead_of_what_is_written(tmp_path: Path) -> None:
    """Not by each commit, of which each sync would write down how long it is."""
    path = tmp_path / "a.db"
    with opened(path) as connection:
        sizes = []
        for _ in range(200):
            put(connection, [(1, 2 * PAGE)])
            sizes.append(Path(f"{path}-wal").stat().st_size)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cut_bytes = Path(f"{path}-wal").stat().st_size
        put(connection, [(1, 2 * PAGE)])

        assert cut_bytes == 0
        assert Path(f"{path}-wal").stat().st_size == sizes[0]
    assert len(set(sizes)) < 200 / 10


def test_commit_fits_where_the_log_cannot_grow_ahead(tmp_path: Path) -> None:
    """To grow is a favour, not a need: only what is written has to find room."""
    path = tmp_path / "a.db"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(path) as connection:
        put(connection, [(1, 3 * PAGE)])
        grown_bytes = Path(f"{path}-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (grown_bytes + 20 * PAGE, limits[1]))
        try:
            stored = put(connection, [(2, grown_bytes - 10 * PAGE)])
            with pytest.raises(sqlite3.OperationalError, match=r"disk|full|I/O"):
                put(connection, [(3, grown_bytes)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        found = content(path)

    assert found[2] == stored[2]
    assert 3 not in found


@settings(deadline=None)
@given(st.lists(steps, min_size=1, max_size=12))
def test_what_is_committed_is_in_the_files(life: list[tuple[str, list[tuple[int, int]]]]) -> None:
    """Others see it at once, and who finds the files as they are then recovers it."""
    expected: dict[int, bytes] = {}
    with tempfile.TemporaryDirectory() as directory:
        path, copy = Path(directory, "a.db"), Path(directory, "copy.db")
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(opened(path))
            for what, said in life:
                if what == "reopen":
                    stack.close()
                    connection = stack.enter_context(opened(path))
                elif what == "rollback":
                    connection.execute("BEGIN IMMEDIATE")
                    store(connection, said)
                    connection.execute("ROLLBACK")
                elif what == "commit":
                    expected |= put(connection, said)
                else:
                    connection.execute(f"PRAGMA wal_checkpoint({what})").fetchone()

                shutil.copy(path, copy)
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy(f"{path}-wal", f"{copy}-wal")
                assert content(path) == expected
                assert content(copy) == expected
                for suffix in ("", "-wal", "-shm"):
                    Path(f"{copy}{suffix}").unlink(missing_ok=True)


def test_where_it_cannot_be_had_sqlite_writes_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite that is a part of the interpreter shows no functions."""
    gathered_log._is_there.cache_clear()
    monkeypatch.setattr("ctypes.CDLL", lambda _path: object())
    try:
        with opened(tmp_path / "a.db") as connection:
            assert writes_of(connection, [(1, 100 * PAGE)]) > 200
            assert len(content(tmp_path / "a.db")) == 1
    finally:
        gathered_log._is_there.cache_clear()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Return a connection that gathers, to a file that it has prepared."""
    connection = connect_gathering(path)
    try:
        begin(connection)
        yield connection
    finally:
        connection.close()


def begin(connection: sqlite3.Connection) -> None:
    """Set what `schema.prepare` does, and keep few pages in memory."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA cache_size=8")
    connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, content BLOB)")


def store(connection: sqlite3.Connection, said: list[tuple[int, int]]) -> dict[int, bytes]:
    """Write blobs of those sizes under those numbers, inside a transaction."""
    stored = {number: os.urandom(size) for number, size in said}
    connection.executemany("INSERT OR REPLACE INTO t VALUES (?, ?)", stored.items())
    return stored


def put(connection: sqlite3.Connection, said: list[tuple[int, int]]) -> dict[int, bytes]:
    """Do the same in a transaction of its own."""
    connection.execute("BEGIN IMMEDIATE")
    stored = store(connection, said)
    connection.execute("COMMIT")
    return stored


def writes_of(connection: sqlite3.Connection, said: list[tuple[int, int]]) -> int:
    """Return how many times the system is asked to write by one transaction."""
    connection.execute("PRAGMA cache_size=10000")
    before = system_writes()
    put(connection, said)
    return system_writes() - before


def system_writes() -> int:
    """Return how often this process has asked the system to write."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("syscw"))


def content(path: Path) -> dict[int, bytes]:
    """Return what another connection, of SQLite's own kind, finds in a file that is in order."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return dict(connection.execute("SELECT id, content FROM t").fetchall())
