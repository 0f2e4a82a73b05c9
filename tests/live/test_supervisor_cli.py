"""The `supervisor` command as a person uses it, against real trees of stock actors."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
import zmq
from shell import COMMAND, Shell, stock
from supervised import is_alive
from waiting import wait_until

from supervisor import exit_codes

pytestmark = pytest.mark.live


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Return a shell on a home whose tree has two actors and does not run."""
    made = Shell(tmp_path / "home", stock("first") + stock("second"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Return a shell on a home whose tree runs, shared by tests that leave it as it was."""
    made = Shell(
        tmp_path_factory.mktemp("shared") / "home",
        stock("first") + stock("second", init=["degrade"]),
    )
    started = made.run("start", "--wait", "20")
    assert started.returncode == 0, started.stderr
    assert "up in" in started.stdout
    assert "warning: second DEGRADED: the port is in use" in started.stderr
    yield made
    made.end()


# -- what is not there, or no text --------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "two\nlines", b"\xff", "\x1b[31m"])
@pytest.mark.parametrize("verb", ["start", "stop", "restart", "remove"])
def test_impossible_name_is_one_line_and_stops_nothing(
    tree: Shell, verb: str, name: str | bytes
) -> None:
    """An unset shell variable is no wish to stop the whole tree; no byte leads to a traceback."""
    result = tree.run(verb, os.fsdecode(name))

    assert result.returncode == exit_codes.BAD_USAGE
    assert result.stderr.startswith("supervisor: Expected an actor or node, got ")
    assert len(result.stderr.splitlines()) == 1
    assert tree.run("status").returncode == exit_codes.OK


def test_line_end_in_a_path_is_shown_as_an_escape(shell: Shell) -> None:
    """One failure is one line, and moves no cursor, whatever the path holds."""
    result = shell.run("status", "--home", "no\nsuch \x1b[31m")

    assert result.returncode == exit_codes.UNREACHABLE
    assert len(result.stderr.splitlines()) == 1
    assert "no\\nsuch \\x1b" in result.stderr


def test_foreground_runs_with_its_streams_closed(shell: Shell) -> None:
    """A script may close what it does not care for, and start the tree all the same."""
    process = subprocess.Popen(["sh", "-c", 'exec "$0" start <&- >&- 2>&-', COMMAND], env=shell.env)
    wait_until(lambda: shell.run("status").returncode == exit_codes.OK, 20, "the tree to run")

    assert shell.run("stop").returncode == exit_codes.OK
    assert process.wait(20) == exit_codes.OK


def test_full_output_device_is_one_line(tree: Shell) -> None:
    """The answer could not be printed; that is said in words."""
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [COMMAND, "status"],
            env=tree.env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30,
        )

    assert result.returncode == exit_codes.FAILED
    assert result.stderr == "supervisor: No space left on device\n"


# -- looking ------------------------------------------------------------------------------------


def test_status_shows_every_actor(tree: Shell) -> None:
    """The table has a row for each actor, its state and why it is degraded."""
    shown = tree.run("status")

    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("supervisor ")
    assert f"home {tree.home.path}" in lines[0]
    assert re.search(r"^first +READY +\d+ +1 ", shown.stdout, re.MULTILINE)
    assert re.search(r"^second +DEGRADED .* the port is in use$", shown.stdout, re.MULTILINE)
    assert re.search(r"^metrics +DISABLED +- ", shown.stdout, re.MULTILINE)
    assert "first: inproc://first" in shown.stdout


def test_status_json_is_for_programs(tree: Shell) -> None:
    """Pids are numbers of living processes, absent ones null."""
    shown = tree.status()

    rows = {row["name"]: row for row in shown["actors"]}
    assert is_alive(shown["supervisor"]["pid"])
    assert is_alive(rows["first"]["pid"])
    assert rows["metrics"]["pid"] is None
    assert rows["first"]["endpoints"] == {"test": "inproc://first"}
    assert shown["supervisor"]["config"] == str(tree.home.config_file)


def test_second_start_is_exit_4_and_names_the_pid(tree: Shell) -> None:
    """In the foreground and in the background alike."""
    pid = tree.status()["supervisor"]["pid"]

    for words in (["start"], ["start", "--detach"], ["start", "--wait", "9"]):
        refused = tree.run(*words)

        assert refused.returncode == 4, words
        assert f"got pid {pid}" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_events_tell_the_start(tree: Shell) -> None:
    """Events come in order, for people and for programs."""
    shown = tree.run("events")
    lines = tree.run("events", "--json").stdout.splitlines()

    assert re.search(r"first +starting .*inc 1\n.* first +ready", shown.stdout)
    events = [json.loads(line) for line in lines]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert all(isinstance(event["time_wall_ns"], str) for event in events)


def test_events_follow(tree: Shell) -> None:
    """`events -f` goes on; Ctrl-C ends it quietly."""
    following = tree.spawn("events", "-f")
    assert following.stdout is not None
    assert "ready" in following.stdout.readline()
    tree.run("restart", "first")

    assert any("exited" in line for line in iter(following.stdout.readline, ""))

    following.send_signal(signal.SIGINT)
    _, said = following.communicate(timeout=10)
    assert (following.returncode, said) == (130, "")


def test_tail_shows_and_follows_what_an_actor_prints(tree: Shell) -> None:
    """What was printed is there, and what comes is shown at once."""
    _tell_to_print(tree, "first", 3)
    log = tree.home.logs_dir / "first.jsonl"
    wait_until(lambda: log.exists() and b"line 2" in log.read_bytes(), 5, "the lines in the log")

    assert [line.split()[-1] for line in tree.run("tail", "first", "-n", "2").stdout.splitlines()]
    following = tree.spawn("tail", "first", "-f", "-n", "1")
    assert following.stdout is not None
    assert following.stdout.readline().endswith("line 2\n")
    _tell_to_print(tree, "first", 1)
    assert following.stdout.readline().endswith("line 0\n")

    following.send_signal(signal.SIGINT)
    assert following.wait(10) == 130
    following.communicate()


def test_top_fills_a_terminal_until_q(tree: Shell) -> None:
    """A real terminal shows the rows and is given back as it was."""
    with _terminal() as (master, slave):
        top = subprocess.Popen(
            [COMMAND, "top"],
            env=tree.env | {"TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        screen = _read_until(master, "q quits")
        assert "\x1b[?1049h" in screen
        assert "DEGRADED" in screen
        assert "RESTARTS(window)" in screen

        os.write(master, b"q")
        left = _read_until(master, "\x1b[?1049l")

        assert "\x1b[?25h" in left
        assert top.wait(10) == 0


def test_top_needs_a_terminal(tree: Shell) -> None:
    """In a pipe it says what to use instead."""
    refused = tree.run("top")

    assert refused.returncode == 2
    assert "use `supervisor status --json`" in refused.stderr


# -- changing -----------------------------------------------------------------------------------


def test_one_actor_is_stopped_started_and_restarted(tree: Shell) -> None:
    """Each command returns when it is done; wrong names and wrong states are exit 2."""
    before = tree.row("first")

    assert tree.run("stop", "first").stdout == "stopped first\n"
    assert tree.row("first")["state"] == "EXITED"
    assert tree.run("start", "first").stdout == "first is READY\n"
    assert tree.run("start", "first").returncode == 2
    assert tree.run("restart", "first").returncode == 0
    after = tree.row("first")

    assert after["state"] == "READY"
    assert after["incarnation"] == before["incarnation"] + 2
    unknown = tree.run("restart", "nobody")
    assert unknown.returncode == 2
    assert "'nobody'" in unknown.stderr


def test_dynamic_actor_comes_and_goes(tree: Shell) -> None:
    """`add` starts it, a failing one is exit 3 and leaves nothing, `remove` forgets it."""
    spec = "{{name = 'probe', class = 'stock_actors:Stock', config = {{init = ['{}']}}}}"

    failed = tree.run("add", spec.format("error"))
    added = tree.run("add", spec.format("ready"))
    names = [row["name"] for row in tree.status()["actors"]]
    removed = tree.run("remove", "probe")

    assert failed.returncode == 3
    assert "the cupboard is bare" in failed.stderr
    assert added.returncode == 0, added.stderr
    assert names.count("probe") == 1
    assert removed.returncode == 0
    assert tree.run("remove", "probe").returncode == 2


def test_reload_applies_the_difference(shell: Shell) -> None:
    """Changed in place, restarted, added and removed are told apart; a mistake changes nothing."""
    assert shell.run("start", "--wait", "20").returncode == 0
    first = shell.row("first")
    shell.configure(stock("first", label="new") + stock("third"))

    applied = shell.run("reload")

    assert applied.returncode == 0, applied.stderr
    assert "added: third" in applied.stdout
    assert "removed: second" in applied.stdout
    assert "reloaded: first" in applied.stdout
    assert shell.row("first")["pid"] == first["pid"]
    shell.configure(stock("first", fixed="new") + stock("third"))
    assert "restarted: first" in shell.run("reload").stdout
    shell.configure("[actor.first]\nshutdown_s = -3\n")
    refused = shell.run("reload")
    assert refused.returncode == 2
    assert "actor.first.shutdown_s: -3: must be > 0" in refused.stderr
    shell.configure("[supervisor]\nlog_files = 3\n" + stock("first", fixed="new") + stock("third"))
    refused = shell.run("reload")
    assert refused.stderr == "hourbook.toml: supervisor.log_files: cannot change while it runs\n"
    assert shell.row("third")["state"] == "READY"


# -- from start to stop -------------------------------------------------------------------------


def test_start_and_stop_leave_nothing_behind(shell: Shell) -> None:
    """After `stop` no process and no socket is left, and the stop went in reverse."""
    assert shell.run("start", "--detach", "--set", "supervisor.log_files=9").returncode == 0
    wait_until(lambda: shell.status()["supervisor"]["state"] == "READY", 20, "READY")
    pids = [row["pid"] for row in shell.status()["actors"] if row["pid"]]
    supervisor_pid = shell.status()["supervisor"]["pid"]

    stopped = shell.run("stop")

    assert (stopped.returncode, stopped.stdout) == (0, "stopped\n")
    assert len(pids) == 2
    assert not any(map(is_alive, [supervisor_pid, *pids]))
    assert list(shell.home.run_dir.glob("*.sock")) == []
    log = (shell.home.logs_dir / "supervisor.log").read_text(encoding="utf-8")
    assert log.index("first") < log.index("second") < log.index("stopped in")
    assert shell.run("status").returncode == 6


def test_foreground_reports_start_crash_and_stop(shell: Shell) -> None:
    """A line for each actor, quiet without a terminal, one for a crash, and exit 0 on SIGINT."""
    running = shell.spawn("start")
    assert running.stdout is not None
    start = [running.stdout.readline() for _ in range(4)]
    assert start[0].startswith("hourbook ")
    assert re.fullmatch(r"  first +READY +\d+ ms  inproc://first\n", start[1])
    assert re.fullmatch(r"  second +READY +\d+ ms.*\n", start[2])
    assert re.fullmatch(r"up in [\d.]+ s: .*2 READY.*\n", start[3])

    os.kill(shell.row("first")["pid"], signal.SIGKILL)
    crash = [running.stdout.readline() for _ in range(2)]
    running.send_signal(signal.SIGINT)
    rest, said = running.communicate(timeout=20)

    assert "EXITED     signal SIGKILL" in crash[0]
    assert "READY" in crash[1]
    assert "stopping, last started first" in rest
    assert "stopped in" in rest
    assert "\r" not in rest
    assert (running.returncode, said) == (0, "")


def test_ctrl_c_on_a_terminal_stops_in_order(shell: Shell) -> None:
    """On a terminal the status line is there, and Ctrl-C, typed, ends it with exit 0."""
    setsid = shutil.which("setsid")
    if setsid is None:
        pytest.skip("setsid, which gives a process its terminal, is not here")
    with _terminal() as (master, slave):
        running = subprocess.Popen(
            [setsid, "--ctty", "--wait", COMMAND, "start"],
            env=shell.env | {"TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        _read_until(master, "0 restarts")

        os.write(master, b"\x03")
        rest = _read_until(master, "stopped in")

        assert "stopping, last started first" in rest
        assert running.wait(15) == 0


def test_stop_says_whom_it_waits_for(shell: Shell) -> None:
    """Once a second, until the actor's own time-out."""
    shell.configure(stock("first") + stock("slow", "shutdown_s = 2.5", stop="hang", is_deaf=True))
    assert shell.run("start", "--wait", "20").returncode == 0

    began_s = time.monotonic()
    stopped = shell.run("stop")

    assert stopped.returncode == 0
    assert 2 < time.monotonic() - began_s < 6
    assert "waiting for slow" in stopped.stderr


def test_stop_now_waits_for_nobody(shell: Shell) -> None:
    """`--now` kills at once what would take its time."""
    shell.configure(stock("slow", "shutdown_s = 30", stop="hang", is_deaf=True))
    assert shell.run("start", "--wait", "20").returncode == 0

    stopped = shell.run("stop", "--now", timeout_s=10)

    assert stopped.returncode == 0


@pytest.mark.parametrize("how", ["--detach", ""])
def test_failed_first_start_is_exit_3_with_its_reason(shell: Shell, how: str) -> None:
    """The actor, the cause and the end of its traceback are told; nothing is left running."""
    shell.configure(stock("first") + stock("bad", init=["error"]))

    failed = shell.run("start", *(["--wait", "20"] if how else []))

    said = failed.stdout + failed.stderr
    assert failed.returncode == 3, said
    assert re.search(r"bad +START_FAILED", said)
    assert "ValueError: the cupboard is bare" in said
    assert list(shell.home.run_dir.glob("*.sock")) == []


def test_wait_that_is_too_short_is_exit_7_and_goes_on(shell: Shell) -> None:
    """The tree is not stopped because somebody was impatient."""
    shell.configure(stock("first", init=["wait"]))

    late = shell.run("start", "--wait", "8")  # a loaded machine takes seconds to its first answer

    assert late.returncode == 7
    assert "still waiting for first" in late.stderr
    assert shell.row("first")["state"] == "STARTING"


@pytest.mark.parametrize("mode", [[], ["--detach"]])
def test_bad_config_is_exit_2_before_anything_starts(shell: Shell, mode: list[str]) -> None:
    """Mistakes of file and command line, together, and no run directory in use."""
    shell.configure("[node.edge]\nintensity = -1\n")

    refused = shell.run("start", *mode, "--set", "supervisor.log_files=0")

    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "--set: supervisor.log_files: 0: must be a whole number in 1..100",
        "hourbook.toml: node.edge.intensity: -1: must be a whole number >= 0",
    ]


def test_home_that_cannot_be_used_is_exit_2(shell: Shell) -> None:
    """A file where the home should be is named."""
    refused = shell.run("start", "--home", str(shell.home.config_file))

    assert refused.returncode == 2
    assert str(shell.home.config_file) in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_override_reaches_the_actor(shell: Shell) -> None:
    """--set stands over the file."""
    words = ["--set", "actor.first.enabled=false", "--log-level", "debug"]

    assert shell.run("start", "--wait", "20", *words).returncode == 0

    assert shell.row("first")["state"] == "DISABLED"
    assert shell.row("second")["state"] == "READY"


def test_two_starts_at_once_make_one_tree(shell: Shell) -> None:
    """One wins; the other is told of it."""
    both = [shell.spawn("start", "--wait", "20") for _ in range(2)]

    said = [process.communicate(timeout=30) for process in both]

    assert sorted(process.returncode for process in both) == [0, 4], said
    assert shell.row("first")["state"] == "READY"


def test_killed_supervisor_is_exit_6_and_can_be_started_again(shell: Shell) -> None:
    """Stale sockets and the lock file do not stand in the way."""
    assert shell.run("start", "--wait", "20").returncode == 0
    pids = [row["pid"] for row in shell.status()["actors"] if row["pid"]]
    os.kill(shell.status()["supervisor"]["pid"], signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, pids)), 5, "the actors to end")

    assert shell.run("status").returncode == 6
    assert shell.run("start", "--wait", "20").returncode == 0


def test_frozen_supervisor_is_exit_7(shell: Shell) -> None:
    """One that listens and does not answer is not waited for for ever."""
    assert shell.run("start", "--wait", "20").returncode == 0
    pid = shell.status()["supervisor"]["pid"]
    os.kill(pid, signal.SIGSTOP)

    try:
        silent = shell.run("status")
    finally:
        os.kill(pid, signal.SIGCONT)

    assert silent.returncode == 7
    assert "Expected an answer to status within 5 s" in silent.stderr


# -- tools --------------------------------------------------------------------------------------


def _tell_to_print(shell: Shell, name: str, count: int) -> None:
    frame = {"kind": "test.print", "id": 1, "v": 1, "body": {"code": count}}
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.set(zmq.LINGER, 1000)
        dealer.connect(shell.home.mailbox_uri(name))
        dealer.send(msgpack.packb(frame))
        assert dealer.poll(5000), f"{name} did not answer"


@contextlib.contextmanager
def _terminal() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    try:
        yield master, slave
    finally:
        os.close(master)
        os.close(slave)


def _read_until(master: int, text: str, timeout_s: float = 20) -> str:
    seen = b""
    deadline_s = time.monotonic() + timeout_s
    while text.encode() not in seen:
        left_s = deadline_s - time.monotonic()
        assert left_s > 0, f"no {text!r} in {seen!r}"
        if select.select([master], [], [], left_s)[0]:
            seen += os.read(master, 65536)
    return seen.decode("utf-8", "replace")
