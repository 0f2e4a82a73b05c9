"""The run directory is removed under a running tree, as logind does: nobody may take its place."""

import json
import shutil
from pathlib import Path

import pytest
from full_tree import FullTree
from shell import Shell, stock
from supervised import Supervised, actor, is_alive, tree
from waiting import wait_until

from hourbook.home import prepare_home
from supervisor.runlock import RunLock

pytestmark = pytest.mark.live

LOST = "the run directory is gone: stopping"


@pytest.mark.parametrize("what", ["run_dir", "lock_file"])
def test_lost_run_directory_stops_the_tree_in_order(tmp_path: Path, what: str) -> None:
    """The directory, or its lock, is gone: the event says so, the actors stop, the code is 5."""
    with Supervised(tmp_path, tree(actor("first"), actor("last"))) as s:
        s.wait_ready()
        pids = [s.pid("first"), s.pid("last")]
        lost = getattr(s.home, what)

        shutil.rmtree(lost) if what == "run_dir" else lost.unlink()
        code = s.wait()

        assert code == 5
        assert s.wait_event("supervisor", "run_dir_lost").detail == LOST
        stopped = [e.name for e in s.events() if e.event == "exited" and e.pid]
        assert stopped == ["last", "first"]
        assert not any(map(is_alive, pids))


def test_what_a_successor_made_is_left_alone(tmp_path: Path) -> None:
    """Where another directory has taken the place, none of its files is touched by the old tree."""
    with Supervised(tmp_path, tree(actor("first"))) as s:
        s.wait_ready()
        shutil.rmtree(s.home.run_dir)
        prepare_home(s.home)
        foreign = [Path(s.home.mailbox("supervisor")), Path(s.home.mailbox("later"))]
        for path in (s.home.lock_file, *foreign):
            path.touch(0o600)

        code = s.wait()

        assert code == 5
        assert all(path.exists() for path in foreign)


def test_second_start_is_refused_while_the_lost_tree_lives(tmp_path: Path) -> None:
    """The lock of the home keeps a second tree out, whatever became of the run directory."""
    slow = actor("slow", {"stop": "hang"}, shutdown_s="infinity")
    with Supervised(tmp_path, tree(slow)) as s:
        s.wait_ready()
        shutil.rmtree(s.home.run_dir)
        s.wait_event("supervisor", "run_dir_lost")
        first = s.process

        second = s.launch()
        _, said = second.communicate(timeout=15)

        assert first.poll() is None
        assert second.returncode == 4
        assert f"got pid {first.pid}" in said


def test_start_again_after_a_lost_run_directory(tmp_path: Path) -> None:
    """The command says why it ended, in its log and on its output, and a new start succeeds."""
    shell = Shell(tmp_path / "home", stock("only"))
    try:
        shell.spawn("start")
        started = shell.spawned[0]
        wait_until(lambda: " READY " in shell.run("status").stdout, 15, "a tree that is up")
        shutil.rmtree(shell.home.run_dir)
        out, _ = started.communicate(timeout=15)

        again = shell.run("start", "--wait", "15")

        log = (shell.home.logs_dir / "supervisor.jsonl").read_text().splitlines()
        assert started.returncode == 5
        assert f"error: {LOST}" in out
        assert any(LOST in json.loads(line)["line"] for line in log)
        assert again.returncode == 0, again.stderr
    finally:
        shell.end()


def test_whole_tree_stops_without_its_run_directory(tmp_path: Path) -> None:
    """Every actor of the default tree ends in order, and the journal has one writer again."""
    with FullTree(tmp_path) as full:
        pid = full.status().supervisor.pid
        full.hourbook("log", "before", "test")

        shutil.rmtree(full.home.run_dir)
        wait_until(lambda: not is_alive(pid), 15, "the end of the lost tree")
        full.start()

        assert full.hourbook("verify").returncode == 0


def test_held_lock_knows_its_own_file(tmp_path: Path) -> None:
    """A lock file that was replaced is another's, though its name is the same."""
    with Supervised(tmp_path, tree()) as s:
        s.wait_ready()
        s.stop()
        lock = RunLock(s.home)

        before = lock.is_held()
        s.home.lock_file.unlink()
        missing = lock.is_held()
        s.home.lock_file.touch()
        replaced = lock.is_held()
        lock.close()

        assert (before, missing, replaced) == (True, False, False)
