"""The supervisor as a service: under systemd's protocol, as PID 1, and without pidfd."""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import COMMAND, Shell, stock
from supervised import is_alive
from waiting import wait_until

pytestmark = pytest.mark.live


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Return a shell on a home whose tree has one actor and does not run."""
    made = Shell(tmp_path / "home", stock("first"))
    yield made
    made.end()


def test_systemd_hears_the_whole_life(shell: Shell, tmp_path: Path) -> None:
    """READY after the start, WATCHDOG while the loop turns, RELOADING and READY, STOPPING."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(15)
        shell.env |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
        running = shell.spawn("start")

        def hear(pattern: bytes) -> bytes:
            while True:
                said = systemd.recv(4096)
                if re.match(pattern, said):
                    return said

        hear(rb"READY=1\nSTATUS=READY: 8 actors")
        hear(rb"WATCHDOG=1$")
        running.send_signal(signal.SIGHUP)
        hear(rb"RELOADING=1\nMONOTONIC_USEC=\d+$")
        hear(rb"READY=1")
        running.send_signal(signal.SIGTERM)
        hear(rb"STOPPING=1")

        assert running.wait(15) == 0


def test_pid_1_serves_reaps_and_stops(shell: Shell) -> None:
    """In a container of its own: orphans of actors are reaped, SIGTERM stops in order."""
    unshare = _unshare()
    shell.configure(stock("first", strays=2))
    log = shell.home.path / "out"
    with log.open("wb") as out:
        outer = subprocess.Popen(
            [*unshare, COMMAND, "start"], env=shell.env, stdout=out, stderr=out
        )
    wait_until(lambda: b"up in" in log.read_bytes(), 20, "the tree to come up")
    assert shell.status()["supervisor"]["pid"] == 1
    inner = next(_children(outer.pid))

    shell.run("stop", "first")
    wait_until(lambda: not _zombies(inner), 5, "orphans to be reaped")
    os.kill(inner, signal.SIGTERM)

    assert outer.wait(15) == 0
    assert b"stopped" in log.read_bytes()


def test_pid_1_ends_with_5_when_an_essential_actor_gave_up(shell: Shell) -> None:
    """A container that can do its work no more must not look healthy."""
    unshare = _unshare()
    shell.configure("[node.root]\nintensity = 1\n" + stock("first", init=["ready", "exit"]))
    running = subprocess.Popen(
        [*unshare, COMMAND, "start"],
        env=shell.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert any("up in" in line for line in iter(running.stdout.readline, ""))

    pid = next(pid for pid in _children(next(_children(running.pid))) if _is_actor(pid))
    os.kill(pid, signal.SIGKILL)
    said, _ = running.communicate(timeout=20)

    assert running.returncode == 5, said
    assert "about to exit" in said or "exit 7" in said


def test_whole_life_on_the_fallbacks(shell: Shell) -> None:
    """Start, crash, recovery and stop without pidfd and subreapers, as on macOS."""
    shell.env["HOURBOOK_PORTABLE"] = "1"
    assert shell.run("start", "--wait", "20").returncode == 0
    before = shell.row("first")

    os.kill(before["pid"], signal.SIGKILL)
    wait_until(lambda: shell.row("first")["incarnation"] == 2, 10, "the next incarnation")
    wait_until(lambda: shell.row("first")["state"] == "READY", 10, "READY")

    assert shell.row("first")["cause"] == "signal SIGKILL"
    assert shell.run("stop").returncode == 0
    assert not is_alive(before["pid"])


def test_killed_supervisor_leaves_no_actor_on_the_fallbacks(shell: Shell) -> None:
    """The pipe of the dead parent ends its children, where the kernel would not."""
    shell.env["HOURBOOK_PORTABLE"] = "1"
    assert shell.run("start", "--wait", "20").returncode == 0
    pid = shell.row("first")["pid"]

    os.kill(shell.status()["supervisor"]["pid"], signal.SIGKILL)

    wait_until(lambda: not is_alive(pid), 2, "the actor to end")


def _unshare() -> list[str]:
    """Return the command that gives a process a pid namespace, or skip where that is forbidden."""
    unshare = shutil.which("unshare")
    words = [unshare or "", "--fork", "--pid", "--mount-proc", "--kill-child=SIGKILL"]
    if os.geteuid() != 0:
        words[1:1] = ["--user", "--map-root-user"]
    if unshare is None or subprocess.run([*words, "true"], check=False).returncode != 0:
        pytest.skip("a pid namespace cannot be made here")
    return words


def _children(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, path.read_text().split())


def _zombies(pid: int) -> list[int]:
    return [child for child in _children(pid) if not is_alive(child)]


def _is_actor(pid: int) -> bool:
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
