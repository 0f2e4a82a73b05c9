"""`supervisor start --detach` and `--wait`: the tree in the background, its start watched. An edge.

A new process of a new session, not a fork of this one: spawned actors need a main thread and a main
module of their own. What it prints goes to ``<logs_dir>/supervisor.log``; when it ends before it
serves, that text and its exit code become ours.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hourbook.home import Home, prepare_home
from protocols import errors
from protocols.control import Status
from supervisor import exit_codes, portable, render
from supervisor.client import Client
from supervisor.config import load

__all__ = ["start_detached"]

SERVE_TIMEOUT_S: Final = 15.0
"""Until the new process answers; imports take a tenth of it on a loaded machine."""
_LOG_BYTES_MAX: Final = 1 << 20
_LOOK_S: Final = 0.02


def start_detached(
    home: Home, config: Path | None, overrides: Sequence[str], wait_s: float | None
) -> int:
    """Start the tree in the background; return when it answers, or is up.

    Args:
        home: of the tree.
        config: a config file, None for the home's own.
        overrides: ``KEY=VALUE`` each.
        wait_s: return only when every actor is up (seconds, > 0); None does not wait for them.

    Raises:
        ConfigError: with every mistake, one a line.
        HomeUnusable: the home cannot be written.
        WaitTimeout: not up in time; the tree goes on.
    """
    load(home, config, overrides)  # so that mistakes are told here, before anything starts
    prepare_home(home)
    deadline_s = time.monotonic() + (SERVE_TIMEOUT_S if wait_s is None else wait_s)
    log = _open_log(home)
    position = os.fstat(log).st_size
    try:
        process = subprocess.Popen(
            _command_line(home, config, overrides),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.path,
            start_new_session=True,
        )
    finally:
        os.close(log)
    process_pid = process.pid
    with portable.EndWatch(process_pid) as end:
        status = _wait_up(home, process_pid, end, deadline_s, is_whole=wait_s is not None)
    if status is None:
        code = process.wait()
        _show_log(home, position)
        return code or exit_codes.FAILED
    # Ours to reap no longer: it outlives us, and `returncode` keeps __del__ from complaining.
    process.returncode = 0
    return _tell(status, home, is_whole=wait_s is not None)


def _wait_up(
    home: Home, pid: int, end: portable.EndWatch, deadline_s: float, *, is_whole: bool
) -> Status | None:
    """Return the first status that will do, None when the process has ended."""
    status: Status | None = None
    while not end.wait(_LOOK_S):
        found = _ask(home)
        # Another supervisor may answer, until ours has found its lock taken and ended.
        if found is not None and found.supervisor.pid == pid:
            status = found
            if not is_whole or (status.actors and _is_up(status)):
                return status
        if time.monotonic() > deadline_s:
            raise errors.WaitTimeout(_still_waiting(status, pid))
    return None


def _is_up(status: Status) -> bool:
    return status.supervisor.state not in ("STARTING", "STOPPING") and render.is_settled(status)


def _ask(home: Home) -> Status | None:
    try:
        with Client(home) as client:
            return client.status(1.0)
    except errors.WorldError:
        return None


def _still_waiting(status: Status | None, pid: int) -> str:
    if status is None:
        return f"Expected an answer from the new supervisor, got none in time; pid {pid} goes on"
    waiting = ", ".join(render.find_waiting(status, render.UNSETTLED)) or "nobody"
    return f"Expected every actor to be up, still waiting for {waiting}; the tree goes on"


def _tell(status: Status, home: Home, *, is_whole: bool) -> int:
    own = status.supervisor
    say = sys.stdout.write
    say(f"supervisor runs in the background, pid {own.pid}, home {home.path}\n")
    if not is_whole:
        return exit_codes.OK
    say(f"up in {own.uptime_s:.2f} s: {render.count_states(status.actors)}\n")
    for row in status.actors:
        if row.state not in ("READY", "DISABLED"):
            reason = "; ".join(text for text in (row.reason, row.cause) if text)
            text = render.one_line(f"warning: {row.name} {row.state}: {reason}")
            sys.stderr.write(f"{text}\n")
    gave_up = any(row.state == "GAVE_UP" for row in status.actors)
    return exit_codes.GAVE_UP if gave_up else exit_codes.OK


def _command_line(home: Home, config: Path | None, overrides: Sequence[str]) -> list[str]:
    # -P: the directory that it runs in must not come before the installed packages.
    line = [sys.executable, "-P", "-m", "supervisor", "start", "--home", str(home.path)]
    if config is not None:
        line += ["--config", str(config.absolute())]
    for override in overrides:
        line += ["--set", override]
    return line


def _open_log(home: Home) -> int:
    home.logs_dir.mkdir(mode=0o700, exist_ok=True)
    path = _log_path(home)
    if path.exists() and path.stat().st_size > _LOG_BYTES_MAX:
        path.replace(path.with_name(f"{path.name}.1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _log_path(home: Home) -> Path:
    return home.logs_dir / "supervisor.log"


def _show_log(home: Home, position: int) -> None:
    with _log_path(home).open("rb") as file:
        file.seek(position)
        sys.stderr.write(file.read().decode("utf-8", "backslashreplace"))
