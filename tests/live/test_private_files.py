"""What a started tree creates, itself or through its libraries, only its owner can open."""

import os
from pathlib import Path

import pytest
from fakes.ntp_server import reply_to, scripted_server
from full_tree import FullTree
from waiting import wait_until

pytestmark = pytest.mark.live


def test_files_of_a_tree_are_private(tmp_path: Path) -> None:
    """Under a umask that lets everybody read, the book, its side files and the rest are 0600."""
    previous = os.umask(0)
    try:
        with (
            scripted_server(lambda request, _: [reply_to(request)]) as server,
            FullTree(
                tmp_path / "home",
                f'actor.ntp_sampler.config.servers=["{server.name}"]',
                "actor.ntp_sampler.config.burst_interval_s=0.25",
            ) as tree,
        ):
            tree.hourbook("log", "test", "files")
            drift = tree.home.drift_file
            wait_until(drift.exists, 15, "the state of the clock")
            found = {
                path.relative_to(root): path.stat().st_mode & 0o777
                for root in (tree.home.path, tree.home.run_dir)
                for path in root.rglob("*")
            }
            files = {path.name for path in tree.home.path.iterdir()}
    finally:
        os.umask(previous)

    assert {"book.db", "book.db-wal", "book.db-shm", "logs", "drift", "lock"} <= files
    assert {str(path): oct(mode) for path, mode in found.items() if mode & 0o077} == {}
