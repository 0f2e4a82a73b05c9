"""C programs for tests, built from the product's own headers: as they are, or sabotaged.

A test that cannot fail proves nothing. Sabotage is an edit of the source in a copy, so that the
product carries no hooks, and it must apply: a line that is no longer there fails the test.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["build", "run"]

ROOT = Path(__file__).parents[2]
Edits = Mapping[str, Sequence[tuple[str, str]]]


def build(directory: Path, source: Path, edits: Edits | None = None) -> Path:
    """Compile `source` against a copy of the headers in shm/, each edited as file -> (old, new)."""
    headers = directory / "include"
    shutil.copytree(
        ROOT / "shm",
        headers,
        ignore=lambda _, names: {name for name in names if "." in name and not name.endswith(".h")},
    )
    for name, changes in (edits or {}).items():
        text = (headers / name).read_text()
        for old, new in changes:
            assert old in text, f"{name} no longer says {old!r}"
            text = text.replace(old, new)
        (headers / name).write_text(text)
    program = directory / source.stem
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [compiler, "-std=gnu11", "-O2", "-pthread", "-Wall", f"-I{headers}", source, "-o", program],
        check=True,
        timeout=60,
    )
    return program


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=50, check=False
    )
