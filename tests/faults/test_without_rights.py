"""What an ordinary user meets where it may not write: tested in a child that is nobody."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from books import write_book
from kv_writes import open_store, put, say, written

from hourbook.home import Home, find_home, prepare_home

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming nobody needs root")

NOBODY = 65534
AS_NOBODY = f"""
import encodings.ascii, json, os, sys, urllib.parse
import nacl.bindings  # both lazily imported, and perhaps out of reach later
import hourbook.book.store.views, hourbook.faces.store
from hourbook.book.reader import BookReader
from hourbook.faces.book import connect
from hourbook.home import find_home, prepare_home
from protocols import errors
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
home = find_home(sys.argv[2])
try:
    if sys.argv[1] == "prepare":
        prepare_home(home)
    if sys.argv[1] == "store":
        with connect("reader", home) as book:
            store = book.store("notes")
            answer = [store.get("k"), store.get("none", "-"), store.get("t", "-")]
            answer += [list(store.keys()), store.count(), store.stats().entries]
            answer += [store.get("k", at=1), *(h.value for h in store.history("k"))]
    else:
        with BookReader(home) as reader:
            answer = [reader.count(), reader.verify(all_signatures=True).ok]
except errors.HourbookError as error:
    answer = [type(error).__name__, str(error)]
print(json.dumps(answer))
"""


def as_nobody(job: str, path: Path) -> list[object]:
    """Do a job in a process without any rights; return what it saw."""
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, job, str(path)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: list[object] = json.loads(done.stdout)
    return answer


@pytest.fixture
def public_home() -> Iterator[Home]:
    """Return a home with a book that everybody may read and only its owner may write."""
    # Not below tmp_path, whose parents are closed to others.
    root = Path(tempfile.mkdtemp(prefix="hourbook-test-"))
    root.chmod(0o755)
    path = root / "home"
    path.mkdir(mode=0o755)
    home = find_home(path)
    write_book(Home(path, path), [2, 3])
    for file in path.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    yield home
    shutil.rmtree(root)
    shutil.rmtree(home.run_dir, ignore_errors=True)


def test_book_that_its_writer_left_is_readable_without_write_access(public_home: Home) -> None:
    """-wal and -shm are there: opened as it is, and nothing is changed."""
    before = {p.name: p.stat().st_mtime_ns for p in public_home.path.iterdir()}

    answer = as_nobody("read", public_home.path)

    assert {"book.db-wal", "book.db-shm"} <= before.keys()
    assert answer == [5, True]
    assert {p.name: p.stat().st_mtime_ns for p in public_home.path.iterdir()} == before


@pytest.mark.parametrize(
    ("mode", "is_own"),
    [(0o700, True), (0o500, True), (0o700, False), (None, False)],
    ids=["ours", "ours-read-only", "another's", "no-run-dir"],
)
def test_store_is_readable_without_write_access(
    public_home: Home, mode: int | None, *, is_own: bool
) -> None:
    """Volatile keys too, by whoever may look into the run directory; and nothing is changed."""
    shutil.rmtree(public_home.path)
    prepare_home(public_home)
    book = open_store(public_home)
    for op in (put("k", 1), put("k", [2]), put("t", 3, type="transient")):
        written(say(book, op))
    book.close()
    assert book.store.volatile is not None
    book.store.volatile.close()
    for file in (public_home.path, *public_home.path.rglob("*")):
        file.chmod(0o755 if file.is_dir() else 0o644)
    if mode is None:
        shutil.rmtree(public_home.run_dir)
    else:
        if is_own:
            for file in (public_home.run_dir, *public_home.run_dir.iterdir()):
                os.chown(file, NOBODY, NOBODY)
        public_home.run_dir.chmod(mode)
    before = _sizes(public_home)

    answer = as_nobody("store", public_home.path)

    volatile = {"transient": 1} if is_own else {}
    seen = [[2], "-", 3 if is_own else "-", ["k", *("t" * is_own)], 1 + is_own]
    assert answer == [*seen, {"persistent": 1} | volatile, 1, [2], 1]
    assert _sizes(public_home) == before


def _sizes(home: Home) -> dict[Path, tuple[int, int]]:
    """Return what tells a file that was written: its size and time of change.

    An index (-shm) is no data: readers that may write it mark there up to where they read.
    """
    places = [path for path in (home.path, home.run_dir) if path.exists()]
    found = [path for place in places for path in place.rglob("*") if path.suffix != ".db-shm"]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def test_book_without_its_log_is_read_as_immutable(public_home: Home) -> None:
    """A lone book.db, such as a backup on a read-only medium, is read while nobody can write."""
    for name in ("book.db-wal", "book.db-shm"):
        (public_home.path / name).unlink()

    answer = as_nobody("read", public_home.path)

    assert answer == [5, True]
    assert [p.name for p in public_home.path.glob("book.db*")] == ["book.db"]


def test_book_that_a_writer_may_be_changing_is_refused_by_name(public_home: Home) -> None:
    """A log without its index, or a run lock that is out of reach: NeedsWriter, and what to do."""
    (public_home.path / "book.db-shm").unlink()

    with_log = as_nobody("read", public_home.path)
    (public_home.path / "book.db-wal").unlink()
    public_home.run_dir.mkdir(mode=0o700)
    public_home.lock_file.touch(0o600)
    with_lock = as_nobody("read", public_home.path)

    for answer in (with_log, with_lock):
        assert answer[0] == "NeedsWriter"
        assert str(public_home.book_db) in str(answer[1])
        assert "supervisor start" in str(answer[1])


@pytest.mark.parametrize("place", ["home", "home/below"])
def test_home_that_cannot_be_written_is_refused_by_name(public_home: Home, place: str) -> None:
    """Somebody else's home, or one that cannot be created: HomeUnusable, with the path."""
    path = public_home.path.parent / place

    answer = as_nobody("prepare", path)

    assert answer[0] == "HomeUnusable"
    assert str(path) in str(answer[1])
    assert not (public_home.path / "below").exists()


def test_own_home_without_write_permission_is_refused_by_name(public_home: Home) -> None:
    """A directory of mode 0500 is no home for its owner either, and the message has the mode."""
    os.chown(public_home.path, NOBODY, NOBODY)
    public_home.path.chmod(0o500)

    answer = as_nobody("prepare", public_home.path)

    assert answer[0] == "HomeUnusable"
    assert "0500" in str(answer[1])
    assert stat.S_IMODE(public_home.path.stat().st_mode) == 0o500
