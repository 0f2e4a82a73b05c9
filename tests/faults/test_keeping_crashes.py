"""kill -9, and a full disk, at each step of what keeps a book, its keys and its copies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

LIVES = 40
"""Ends at steps chosen by the seed (each write, sync, rename and removal of a file is a step); with
0 instead every step has its turn, which takes half a minute."""


@pytest.fixture(scope="module")
def fateful_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library on whose disk the k-th change is the last."""
    library = tmp_path_factory.mktemp("disk") / "libfateful_disk.so"
    source = Path(__file__).with_name("fateful_disk.c")
    compiler = os.environ.get("CC", "cc")
    flags = ["-std=gnu11", "-O2", "-Wall", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, source, "-o", library, "-ldl"], check=True, timeout=60)
    return library


def run(disk: Path, script: str, *arguments: object) -> int:
    """Run a script on such a disk; return the number that it prints."""
    tests = Path(__file__).parents[1]
    result = subprocess.run(
        [sys.executable, tests / script, *map(str, arguments)],
        env={**os.environ, "LD_PRELOAD": str(disk), "PYTHONPATH": str(tests.parent)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


@pytest.mark.parametrize("fate", ["kill", "full"])
def test_book_is_whole_after_an_end_at_any_step(
    fateful_disk: Path, tmp_path: Path, fate: str, seed: int
) -> None:
    """Archived, redacted, dropped: the book verifies, each detail is there or duly gone."""
    assert run(fateful_disk, "keeping_steps.py", tmp_path, fate, seed, LIVES) == LIVES


@pytest.mark.parametrize("fate", ["kill", "full"])
def test_copies_and_keys_are_whole_after_an_end_at_any_step(
    fateful_disk: Path, tmp_path: Path, fate: str, seed: int
) -> None:
    """A backup, one that is replaced, a restore, a change of keys: whole, or not there."""
    assert run(fateful_disk, "copying_steps.py", tmp_path, fate, seed, LIVES // 2) == 2 * LIVES
