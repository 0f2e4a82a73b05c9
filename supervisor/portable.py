"""What the kernel offers to watch and end processes, and what stands in for it elsewhere.

Linux has pidfd (a descriptor that says when one exact process ended), PDEATHSIG (the kernel kills a
child whose parent died) and subreapers (orphans come to us instead of to PID 1). macOS has none
of the three: there the sentinel pipe of ``multiprocess`` says when a child ended, a thread in the
child waits for the end of the parent's pipe, and orphans are found by their group alone.
``HOURBOOK_PORTABLE=1`` chooses those on Linux too, so that they are tested where Hourbook is built.

Assumes that children are spawned by ``multiprocess`` from the main thread, each the leader of a
group of its own. Decides nothing: when to kill whom is the engine's business.
"""

import contextlib
import errno
import os
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

__all__ = [
    "EndWatch",
    "Exit",
    "ExitWatch",
    "SpawnedProcess",
    "become_subreaper",
    "children_of_this_process",
    "die_with_parent",
    "group_members",
    "is_portable",
    "signal_group",
    "wait_group_empty",
]

PORTABLE_VARIABLE: Final = "HOURBOOK_PORTABLE"
_CPUCLOCK_SCHED: Final = 2
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_REAP_SLEEP_S: Final = 0.001
_REAP_SLEEPS_MAX: Final = 50
_LOOK_SLEEP_S: Final = 0.02


def is_portable() -> bool:
    """Say whether the fallbacks are in use: off Linux always, on Linux when asked to."""
    return sys.platform != "linux" or os.environ.get(PORTABLE_VARIABLE) == "1"


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: `code` when it exited, else the `signal` that ended it."""

    code: int | None
    signal: int | None = None
    has_core: bool = False


class SpawnedProcess(Protocol):
    """What is used of ``multiprocess.Process``."""

    @property
    def pid(self) -> int | None:
        """Its process id."""

    @property
    def sentinel(self) -> int:
        """A descriptor that can be read when it has ended."""

    @property
    def exitcode(self) -> int | None:
        """Its exit code, minus the signal's number, or None."""

    def join(self, timeout: float | None = None) -> None:
        """Reap it."""


class ExitWatch:
    """The end of one child, as something that a poller can wait for."""

    def __init__(self, process: SpawnedProcess) -> None:
        if process.pid is None:
            raise ValueError("process must be started")
        self._process = process
        self.pid = process.pid
        self._has_pidfd = not is_portable()
        self._fd = os.pidfd_open(self.pid) if self._has_pidfd else os.dup(process.sentinel)
        self._exit: Exit | None = None

    def fileno(self) -> int:
        """Return a descriptor that is readable from the moment the child has ended."""
        return self._fd

    def reap(self) -> Exit | None:
        """Return how the child ended and release its pid; None while it lives."""
        if self._exit is None:
            self._exit = self._reap_pidfd() if self._has_pidfd else self._reap_sentinel()
        return self._exit

    def send_signal(self, number: int) -> bool:
        """Signal the child itself; False when it is gone, and never another that got its pid."""
        try:
            if self._has_pidfd:
                signal.pidfd_send_signal(self._fd, signal.Signals(number))
            elif self._exit is None:  # not reaped, so the pid is still its own
                os.kill(self.pid, number)
            else:
                return False
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        """Release the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _reap_pidfd(self) -> Exit | None:
        # Peeked first: waitpid alone, which `join` uses, does not say whether a core was written.
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            info = os.waitid(os.P_PIDFD, self._fd, options)
        except ChildProcessError:
            return _exit_of(self._process)
        if info is None:
            return None
        self._process.join()
        if info.si_code == os.CLD_EXITED:
            return Exit(info.si_status)
        return Exit(None, info.si_status, has_core=info.si_code == os.CLD_DUMPED)

    def _reap_sentinel(self) -> Exit | None:
        # The pipe closes an instant before the status can be had, hence the short sleeps. A
        # grandchild may hold the pipe open for ever, so that the status is asked for in any case.
        for _ in range(_REAP_SLEEPS_MAX):
            self._process.join(0)
            found = _exit_of(self._process)
            if found is not None or not _is_readable(self._fd):
                return found
            time.sleep(_REAP_SLEEP_S)
        return None


class EndWatch:
    """The end of a process that is not our child, to be waited for."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._fd: int | None = None
        self._is_gone = False
        try:
            if not is_portable():
                self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._is_gone = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def wait(self, timeout_s: float) -> bool:
        """Wait until the process has ended; False when it still lives after `timeout_s`."""
        if self._is_gone:
            return True
        if self._fd is not None:
            return bool(select.select([self._fd], [], [], timeout_s)[0])
        deadline_s = time.monotonic() + timeout_s
        while _is_alive(self._pid):
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_LOOK_SLEEP_S)
        return True


def die_with_parent(parent_pid: int) -> None:
    """In a child: see to it that this process is killed when its parent ends, however it ends.

    To be called after any change of user (which resets it), in a child that the parent's main
    thread spawned: the kernel watches that thread.

    Raises:
        ProcessLookupError: the parent has ended already.
    """
    if is_portable():
        _watch_parent_pipe()
    else:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise ProcessLookupError(errno.ESRCH, f"parent {parent_pid} has ended")


def become_subreaper() -> bool:
    """Let orphans of our children become our children; False where the kernel cannot."""
    if is_portable():
        return False
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    return True


def signal_group(group: int, number: int) -> bool:
    """Signal every process of a group; False when there is none."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of zombies
        return False
    return True


def group_members(group: int) -> list[int]:
    """Return the pids of a group that live; zombies do not count."""
    if not signal_group(group, 0):
        return []  # the usual case costs one system call
    if sys.platform != "linux":
        return _group_members_psutil(group)
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            state, _, pgrp = _stat_of(int(entry.name))
            if pgrp == group and state not in "ZX":
                members.append(int(entry.name))
    return members


def children_of_this_process() -> list[int]:
    """Return the pids of our children that live, adopted ones too; zombies do not count."""
    own = os.getpid()
    if sys.platform != "linux":
        import psutil  # noqa: PLC0415 - only where there is no /proc

        return [child.pid for child in psutil.Process(own).children()]
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    stats = ((pid, _stat_of(pid)) for pid in pids)
    return [pid for pid, (state, parent, _) in stats if parent == own and state not in "ZX"]


def processor_time_ns(pid: int) -> int | None:
    """Return the processor time that a process has used (nanoseconds), None when it is gone."""
    if sys.platform != "linux":
        import psutil  # noqa: PLC0415 - only where one process cannot read the clock of another

        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            return None
        return round((times.user + times.system) * 1e9)
    try:  # clock_getcpuclockid(3), which Python does not offer: exact, where /proc has 10 ms
        return time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED)
    except OSError:
        return None


def wait_group_empty(group: int, timeout_s: float) -> bool:
    """Wait until no member of a group lives; False when some still do after `timeout_s`.

    There is no event for it, so this looks every millisecond. Meant for the instant after a
    SIGKILL to the group.
    """
    deadline_s = time.monotonic() + timeout_s
    while group_members(group):
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(_REAP_SLEEP_S)
    return True


def _exit_of(process: SpawnedProcess) -> Exit | None:
    code = process.exitcode
    if code is None:
        return None
    return Exit(code) if code >= 0 else Exit(None, -code)


def _is_alive(pid: int) -> bool:
    import psutil  # noqa: PLC0415 - only where there is no pidfd

    try:
        alive: bool = psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    return alive


def _is_readable(fd: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(0))


def _prctl(option: int, value: int) -> None:
    import ctypes  # noqa: PLC0415 - costs 5 ms, and portable runs never need it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")


def _watch_parent_pipe() -> None:
    """Wait in a thread for the end of the pipe whose other end only the parent holds."""
    import multiprocess  # noqa: PLC0415 - the child has it loaded, and only it needs it

    parent = multiprocess.parent_process()
    if parent is None:
        return
    sentinel: int = parent.sentinel

    def wait() -> None:
        select.select([sentinel], [], [])
        with contextlib.suppress(OSError):
            os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def _stat_of(pid: int) -> tuple[str, int, int]:
    """Return (state, parent, group) of a process, as of a dead one when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "X", 0, 0
    # The name in parentheses may hold anything, parentheses and spaces too: look from its end.
    state, parent, group = text[text.rindex(")") + 2 :].split(" ", 3)[:3]
    return state, int(parent), int(group)


def _group_members_psutil(group: int) -> list[int]:
    import psutil  # noqa: PLC0415 - only where there is no /proc

    members = []
    process: Any
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == group and process.info["status"] != "zombie":
                members.append(process.pid)
    return members
