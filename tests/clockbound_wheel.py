"""The PyPI package `clockbound`: an independent reader of what we export.

It declares Python 3.13, where the test group installs it. It is plain Python that runs on older
ones as well, but pip does not install it there: then its wheel is fetched once, by the same pip
from the same registry, and imported from where it lies.
"""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

__all__ = ["import_clockbound"]

REQUIREMENT = "clockbound>=0.3,<1"


def import_clockbound(cache: Path) -> Any:
    """Return the package; skips where no registry can be reached and no wheel was kept."""
    try:
        return importlib.import_module("clockbound")
    except ModuleNotFoundError:
        sys.path.insert(0, str(_wheel(cache)))
    try:
        return importlib.import_module("clockbound")
    finally:
        del sys.path[0]


def _wheel(cache: Path) -> Path:
    kept = sorted(cache.glob("clockbound-*.whl"))
    if not kept:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input",
            "--python-version", "3.13", "--only-binary", ":all:", "--dest", str(cache), REQUIREMENT,
        ]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
        if result.returncode:
            pytest.skip(f"no package registry gave {REQUIREMENT}: {result.stderr.strip()[-200:]}")
        kept = sorted(cache.glob("clockbound-*.whl"))
    return kept[-1]
