"""The edges of processes, on the kernel's own means and on what stands in for them elsewhere."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import multiprocess
import pytest
from waiting import wait_until

from supervisor import adopted, portable

pytestmark = pytest.mark.live
SPAWN = multiprocess.get_context("spawn")


@pytest.fixture(params=["linux", "portable"])
def means(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Choose the kernel's means or the fallbacks, for this test and its children."""
    if request.param == "portable":
        monkeypatch.setenv("HOURBOOK_PORTABLE", "1")
    else:
        monkeypatch.delenv("HOURBOOK_PORTABLE", raising=False)
        if portable.is_portable():
            pytest.skip("this is not Linux")
    return str(request.param)


def wait_for_signal(code: int) -> None:
    """Live in a group of one's own until killed, or exit with `code` when it is not negative."""
    os.setsid()
    if code >= 0:
        sys.exit(code)
    signal.pause()


def parent_of_one(report: Any) -> None:
    """Spawn a child that dies with us, say its pid, and wait to be killed."""
    child = SPAWN.Process(target=child_of_parent, args=(os.getpid(), report))
    child.start()
    signal.pause()


def child_of_parent(parent_pid: int, report: Any) -> None:
    """Tie our life to the parent's and report that it is done."""
    os.setsid()
    portable.die_with_parent(parent_pid)
    report.send(os.getpid())
    signal.pause()


@pytest.fixture
def waiting() -> Iterator[Any]:
    """Return a spawned process that waits for a signal."""
    process = SPAWN.Process(target=wait_for_signal, args=(-1,))
    process.start()
    yield process
    if process.exitcode is None:
        process.kill()
    process.join()
    process.close()


@pytest.mark.usefixtures("means")
def test_exit_code_is_seen() -> None:
    """The watch becomes readable, tells the code, and releases the pid."""
    process = SPAWN.Process(target=wait_for_signal, args=(7,))
    process.start()
    watch = portable.ExitWatch(process)

    found = wait_until(watch.reap, 20, "the child to exit")

    assert found == portable.Exit(7)
    assert watch.reap() is found
    assert not watch.send_signal(signal.SIGTERM)
    assert process.exitcode == 7
    watch.close()
    watch.close()
    process.close()


@pytest.mark.usefixtures("means")
def test_kill_is_seen_as_a_signal(waiting: Any) -> None:
    """A child that lives gives None; a killed one its signal."""
    watch = portable.ExitWatch(waiting)

    assert watch.reap() is None
    assert watch.send_signal(signal.SIGKILL)

    assert wait_until(watch.reap, 5, "the child to end") == portable.Exit(None, signal.SIGKILL)
    watch.close()


@pytest.mark.usefixtures("means")
def test_child_does_not_outlive_a_killed_parent() -> None:
    """SIGKILL of the parent, which runs no handler, ends the child too."""
    here, there = SPAWN.Pipe()
    parent = SPAWN.Process(target=parent_of_one, args=(there,))
    parent.start()
    assert here.poll(20), "no child came up"
    child_pid = here.recv()

    parent.kill()
    parent.join()

    with portable.EndWatch(child_pid) as end:
        assert end.wait(5), f"{child_pid} outlived its parent"
    parent.close()
    here.close()
    there.close()


def test_orphan_notices_that_its_parent_is_gone() -> None:
    """Before the death signal is in force the parent may die: that is asked for afterwards."""
    code = "from supervisor.portable import die_with_parent; die_with_parent(1)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "ProcessLookupError: [Errno 3] parent 1 has ended" in done.stderr


@pytest.mark.usefixtures("means")
def test_group_is_known_by_who_lives_in_it(waiting: Any) -> None:
    """Members are listed while they live; zombies and strangers are not."""
    assert waiting.pid is not None
    wait_until(lambda: portable.group_members(waiting.pid), 20, "setsid in the child")

    assert portable.group_members(waiting.pid) == [waiting.pid]
    assert waiting.pid in portable.children_of_this_process()
    assert portable.signal_group(waiting.pid, signal.SIGKILL)

    assert portable.wait_group_empty(waiting.pid, 5)
    assert portable.group_members(waiting.pid) == []


@pytest.mark.usefixtures("means")
def test_group_that_lives_is_not_waited_for_too_long(waiting: Any) -> None:
    """The wait for an empty group has an end."""
    assert waiting.pid is not None
    wait_until(lambda: portable.group_members(waiting.pid), 20, "setsid in the child")

    assert not portable.wait_group_empty(waiting.pid, 0.01)


@pytest.mark.usefixtures("means")
def test_end_of_a_stranger_is_seen() -> None:
    """A process that is not our child can be waited for; one that is gone needs no wait."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with portable.EndWatch(process.pid) as end:
        assert not end.wait(0.01)
        process.communicate(b"\n")
        assert end.wait(5)

    with portable.EndWatch(process.pid) as end:
        assert end.wait(0)


@pytest.fixture
def subreaper() -> Iterator[None]:
    """Adopt orphans for the length of one test."""
    if not portable.become_subreaper():
        pytest.skip("the kernel has no subreapers")
    yield
    portable._prctl(portable._PR_SET_CHILD_SUBREAPER, 0)


@pytest.mark.usefixtures("subreaper")
def test_only_strangers_are_reaped() -> None:
    """An orphan that came to us is reaped; the status of our own child is left for its watch."""
    own = subprocess.Popen(["/bin/true"])
    script = "import os\nif os.fork() == 0:\n    os._exit(0)\nos._exit(0)"
    middle = subprocess.Popen([sys.executable, "-c", script])
    middle.wait()
    own_pids = {own.pid}

    reaped: list[int] = []

    def is_reaped() -> bool:
        reaped.extend(adopted.reap_strangers(own_pids))
        if not reaped and own.poll() is not None:  # a zombie of ours hides those behind it
            own_pids.clear()
        return bool(reaped)

    wait_until(is_reaped, 5, "the orphan to be reaped")

    assert own.wait(5) == 0
    assert own.pid not in reaped


def test_nothing_is_reaped_without_subreapers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fallbacks adopt nobody."""
    monkeypatch.setenv("HOURBOOK_PORTABLE", "1")

    assert not portable.become_subreaper()
    assert adopted.reap_strangers(()) == []
