"""Backups and restores that are killed, or find no room, leave nothing that looks whole."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from books import write_book

from hourbook.book.copies.backup import back_up
from hourbook.book.copies.restore import restore_book
from hourbook.home import Home, find_home

ROOT = Path(__file__).parents[2]
KILLED_AT = """
import os, signal, sys
from pathlib import Path
from hourbook.book import durable
from hourbook.book.copies import backup
from hourbook.book.copies import restore
from hourbook.home import find_home

def at(stage, done, total):
    if stage == sys.argv[4]:
        os.kill(os.getpid(), signal.SIGKILL)

place, in_place = backup.place, restore._put_in_place
backup.place = lambda *a, **k: at("placing", 0, 0) or place(*a, **k)
def halfway(staging, home):
    (staging / "keys").rename(home.path / "keys")
    at("placing", 0, 0)
restore._put_in_place = halfway
if sys.argv[1] == "backup":
    backup.back_up(find_home(sys.argv[2]), Path(sys.argv[3]), with_key=True, progress=at)
else:
    restore.restore_book(Path(sys.argv[3]), find_home(sys.argv[2]), progress=at)
"""
ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from hourbook.book.copies import backup
from hourbook.book.copies import restore
from hourbook.home import find_home
from protocols import errors

disk = Path(sys.argv[3])
try:
    if sys.argv[1] == "backup":
        backup.back_up(find_home(sys.argv[2]), disk / "copy.db")
    else:
        restore.restore_book(Path(sys.argv[2]), find_home(disk / "home"))
except errors.DiskFull as error:
    print("DiskFull", [str(p.relative_to(disk)) for p in disk.rglob("*") if p.name != "lock"])
"""


@pytest.fixture
def written(home: Home) -> Home:
    """Return a home with a book of 3 MiB, so that copying takes several slices."""
    write_book(home, [4000] * 4)
    return home


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Home]:
    """Return a home that is not there yet."""
    made = find_home(tmp_path / "other")
    yield made
    shutil.rmtree(made.run_dir, ignore_errors=True)


def run(script: str, *arguments: object, unshared: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own; `unshared`: after a command in a mount namespace."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    if unshared:
        command = ["unshare", "-rm", "sh", "-c", f'{unshared} && exec "$@"', "sh", *command]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=30, cwd=ROOT
    )


@pytest.mark.parametrize("stage", ["copying", "placing"])
def test_killed_backup_leaves_no_backup(written: Home, tmp_path: Path, stage: str) -> None:
    """No file of its name is there, and the next run clears what was left and succeeds."""
    target = tmp_path / "copy.db"

    died = run(KILLED_AT, "backup", written.path, target, stage)

    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not target.exists()
    report = back_up(written, target, replace=True)
    assert (report.seq, report.verified) == (16_000, True)
    assert list(tmp_path.glob(".copy.db*")) == []


@pytest.mark.parametrize("stage", ["copying", "verifying", "placing"])
def test_killed_restore_leaves_no_book(
    written: Home, other: Home, tmp_path: Path, stage: str
) -> None:
    """The home has no book, and the next run makes it whole."""
    back_up(written, tmp_path / "copy.db", with_key=True)

    died = run(KILLED_AT, "restore", other.path, tmp_path / "copy.db", stage)

    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not other.book_db.exists()
    report = restore_book(tmp_path / "copy.db", other)
    assert (report.seq, report.can_write) == (16_000, True)
    assert not (other.path / ".restoring").exists()


def test_full_disk_keeps_nothing_of_a_backup_or_a_restore(written: Home, tmp_path: Path) -> None:
    """DiskFull, and the disk is as empty as before."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=1m none {disk}"
    if run("", unshared=mount).returncode:
        pytest.skip("needs a mount namespace of one's own")
    back_up(written, tmp_path / "copy.db")

    backup = run(ON_A_SMALL_DISK, "backup", written.path, disk, unshared=mount)
    restore = run(ON_A_SMALL_DISK, "restore", tmp_path / "copy.db", disk, unshared=mount)

    assert backup.stdout == "DiskFull []\n", backup.stderr
    assert restore.stdout == "DiskFull ['home']\n", restore.stderr
