"""Gather what `hourbook doctor` looks at. An edge: reads much, changes nothing, waits for little.

Each probe turns the failure that it may meet into a line of text; none of them ends the others.
"""

import errno
import fcntl
import os
import pwd
import shutil
import socket
import tomllib
from pathlib import Path
from typing import Any, Final

from hourbook.doctor import ClockFacts, Facts, PortFact
from hourbook.faces.clock import Clock
from hourbook.home import Home
from hourbook.tree_status import fetch_status
from protocols import control, errors

__all__ = ["probe"]

DEFAULT_LISTENS: Final = {"mcp_server": "127.0.0.1:8807", "metrics": "127.0.0.1:9464"}
FIRST_HUMAN_UID: Final = 1000
"""systemd-logind leaves the shared memory of system users alone (logind.conf(5), RemoveIPC)."""
_LINGER_DIR: Final = Path("/var/lib/systemd/linger")
_SYSTEMD_RUNS: Final = Path("/run/systemd/system")


def probe(home: Home, version: str) -> Facts:
    """Return the facts about one home; `version` is that of the program that asks."""
    status, status_problem = _probe_status(home)
    clock, clock_problem = _probe_clock(home)
    book_seq, book_problem = _probe_book(home)
    return Facts(
        home=str(home.path),
        home_problem=_directory_problem(home.path, "does not exist yet"),
        run_dir=str(home.run_dir),
        run_dir_problem=_run_dir_problem(home),
        version=version,
        status=status,
        status_problem=status_problem,
        lock_pid=_lock_holder(home),
        clock=clock,
        clock_problem=clock_problem,
        book_seq=book_seq,
        book_problem=book_problem,
        book_log_bytes=_size_of(home.book_db.with_name("book.db-wal")),
        disk_free=_free(home.path),
        shm_free=_free(home.run_dir.parent),
        ports=() if status is not None else _probe_ports(home),
        is_removed_at_logout=_is_removed_at_logout(home),
    )


def _probe_status(home: Home) -> tuple[control.Status | None, str]:
    try:
        return fetch_status(home, src="doctor"), ""
    except errors.HourbookError as error:
        return None, error.message


def _probe_clock(home: Home) -> tuple[ClockFacts | None, str]:
    try:
        taken = Clock(home).snapshot()
    except errors.HourbookError as error:
        return None, error.message
    facts = ClockFacts(
        status=taken.status.name,
        source=taken.source,
        age_ns=taken.age_ns,
        sample_age_ns=taken.sample_age_ns,
        sources_selected=taken.sources_selected,
        sources_total=taken.sources_total,
        is_suspended=taken.is_suspended,
    )
    return facts, ""


def _probe_book(home: Home) -> tuple[int | None, str]:
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - opens SQLite only here

    try:
        with BookReader(home) as book:
            return book.head_seq(), ""
    except errors.BookMissing:
        return None, ""
    except errors.HourbookError as error:
        return None, error.message
    except OSError as error:
        return None, f"{error.strerror or error}, at {home.book_db}"


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _directory_problem(path: Path, when_missing: str) -> str:
    try:
        status = path.stat()
    except FileNotFoundError:
        return when_missing
    except OSError as error:
        return error.strerror or str(error)
    if not path.is_dir():
        return "is no directory"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        owner = _user_name(status.st_uid)
        return f"belongs to {owner}, mode {status.st_mode & 0o7777:04o}: not ours to write"
    return ""


def _run_dir_problem(home: Home) -> str:
    problem = _directory_problem(home.run_dir, "")
    if not problem and home.run_dir.exists() and home.run_dir.stat().st_mode & 0o077:
        return f"mode {home.run_dir.stat().st_mode & 0o777:04o}: open to other users"
    return problem


def _lock_holder(home: Home) -> int | None:
    """Return the pid that holds the run lock; None when nobody does, or we may not look."""
    try:
        descriptor = os.open(home.lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        digits = os.pread(descriptor, 32, 0).strip()
        return int(digits) if digits.isdigit() else None
    finally:
        os.close(descriptor)
    return None


def _free(path: Path) -> int | None:
    """Return the room that is left for us where `path` is, or would be."""
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None


def _probe_ports(home: Home) -> tuple[PortFact, ...]:
    listens = {actor: _listen_of(home, actor, listen) for actor, listen in DEFAULT_LISTENS.items()}
    return tuple(PortFact(actor, listen, _is_in_use(listen)) for actor, listen in listens.items())


def _listen_of(home: Home, actor: str, default: str) -> str:
    """Return the configured address; a file that cannot be read is `supervisor validate`'s."""
    try:
        config: Any = tomllib.loads(home.config_file.read_text())
        return str(config["actor"][actor]["config"]["listen"])
    except (OSError, ValueError, KeyError, TypeError):
        return default


def _is_in_use(listen: str) -> bool:
    host, _, port = listen.rpartition(":")
    if port == "0" or not port.isdigit():
        return False
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _is_removed_at_logout(home: Home) -> bool:
    """Say whether systemd-logind would remove the run directory with its owner's last session."""
    try:
        uid = home.run_dir.stat().st_uid
    except OSError:
        return False
    if uid < FIRST_HUMAN_UID or not _SYSTEMD_RUNS.exists():
        return False
    return not (_LINGER_DIR / _user_name(uid)).exists() and not _keeps_ipc()


def _keeps_ipc() -> bool:
    """Say whether logind.conf(5) was told to keep shared memory."""
    places = [Path("/etc/systemd/logind.conf"), *Path("/etc/systemd/logind.conf.d").glob("*.conf")]
    lines = [line.strip().lower() for place in places for line in _lines(place)]
    return any(line in {"removeipc=no", "removeipc=false", "removeipc=0"} for line in lines)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
