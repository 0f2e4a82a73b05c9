"""Backups and restores that find no room leave nothing that looks whole."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from books import write_book

from hourbook.book.copies.backup import back_up
from hourbook.home import Home, find_home

ROOT = Path(__file__).parents[2]
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
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return where a small disk goes; the home on it leaves its run directory behind, outside."""
    made = tmp_path / "disk"
    made.mkdir()
    yield made
    shutil.rmtree(find_home(made / "home").run_dir, ignore_errors=True)


def run(script: str, *arguments: object, unshared: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own; `unshared`: after a command in a mount namespace."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    if unshared:
        command = ["unshare", "-rm", "sh", "-c", f'{unshared} && exec "$@"', "sh", *command]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=30, cwd=ROOT
    )


def test_full_disk_keeps_nothing_of_a_backup_or_a_restore(
    written: Home, disk: Path, tmp_path: Path
) -> None:
    """DiskFull, and the disk is as empty as before."""
    mount = f"mount -t tmpfs -o size=1m none {disk}"
    if run("", unshared=mount).returncode:
        pytest.skip("needs a mount namespace of one's own")
    back_up(written, tmp_path / "copy.db")

    backup = run(ON_A_SMALL_DISK, "backup", written.path, disk, unshared=mount)
    restore = run(ON_A_SMALL_DISK, "restore", tmp_path / "copy.db", disk, unshared=mount)

    assert backup.stdout == "DiskFull []\n", backup.stderr
    assert restore.stdout == "DiskFull ['home']\n", restore.stderr
