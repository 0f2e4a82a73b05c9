"""kill -9, and a full disk, at every single step of archiving, redacting and dropping details."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

STEPS_MIN = 40
"""There are more: each write, sync, rename and removal of a file is one."""


@pytest.fixture(scope="module")
def fateful_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library on whose disk the k-th change is the last."""
    library = tmp_path_factory.mktemp("disk") / "libfateful_disk.so"
    source = Path(__file__).with_name("fateful_disk.c")
    compiler = os.environ.get("CC", "cc")
    flags = ["-std=gnu11", "-O2", "-Wall", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, source, "-o", library, "-ldl"], check=True, timeout=60)
    return library


@pytest.mark.parametrize("fate", ["kill", "full"])
def test_book_is_whole_after_an_end_at_every_step(
    fateful_disk: Path, tmp_path: Path, fate: str
) -> None:
    """Whatever step was last: the book verifies, each detail is there or duly gone, all goes on."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent)])
    environment = {**os.environ, "LD_PRELOAD": str(fateful_disk), "PYTHONPATH": path}

    result = subprocess.run(
        [sys.executable, Path(__file__).with_name("keeping_steps.py"), tmp_path, fate],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= STEPS_MIN
