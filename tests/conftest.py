"""Fixtures that every test may use, and the seed of every random one."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hourbook.home import Home, find_home, prepare_home


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--seed``, which replays a random test."""
    parser.addoption("--seed", type=int, default=None, help="replay random tests from this seed")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of this test: new each time, printed, and fixed by ``--seed``."""
    chosen: int | None = request.config.getoption("--seed")
    value = chosen if chosen is not None else int.from_bytes(os.urandom(4), "big")
    print(f"replay with --seed {value}")
    return value


@pytest.fixture
def rng(seed: int) -> random.Random:
    """Return a random source that replays from the printed seed."""
    return random.Random(seed)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Return a prepared home of this test's own; its run directory is gone afterwards."""
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    made = find_home(path)
    prepare_home(made)
    yield made
    shutil.rmtree(made.run_dir, ignore_errors=True)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Home]:
    """Return a home that is not there yet; the run directory that it may get is gone afterwards."""
    made = find_home(tmp_path / "other")
    yield made
    shutil.rmtree(made.run_dir, ignore_errors=True)
