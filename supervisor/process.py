"""One incarnation as a process: spawned, watched, pushed towards its end, and known to be gone.

Spawns with ``multiprocess`` in its ``spawn`` method, always: ``fork`` would hand our sockets to the
child, and the death of a fork server would hide living actors from us. Must be called from the main
thread alone, since the kernel ties a child's parent-death signal to the thread that spawned it.
"""

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Literal

import multiprocess
from multiprocess import resource_tracker

from actors.contract import ActorContext
from supervisor import portable
from supervisor.adopted import Strays
from supervisor.causes import Exit
from supervisor.child import Birth, PassedFd, live
from supervisor.spec import ChildSpec

__all__ = ["ActorProcess", "OomKills", "prepare_spawning", "tracker_pid"]

_SPAWN: Final = multiprocess.get_context("spawn")
_SIGNALS: Final = {"terminate": signal.SIGTERM, "abort": signal.SIGABRT}


class ActorProcess:
    """One incarnation; exists from its spawn until nothing of it is left.

    Args:
        spec: of the actor.
        context: what it is told.

    Raises:
        OSError: the kernel has no process, descriptor or memory for it.

    Attributes:
        stdout, stderr: reading ends of its log pipes; the caller owns them.
    """

    def __init__(self, spec: ChildSpec, context: ActorContext) -> None:
        self.name = context.name
        self.incarnation = context.incarnation
        self._strays = Strays(context.name, context.incarnation)
        (self.stdout, stdout), (self.stderr, stderr) = _log_pipes()
        birth = Birth(
            class_path=spec.class_path,
            context=asdict(context),
            parent_pid=os.getpid(),
            open_files=spec.limits.open_files,
            core_mib=spec.limits.core_mib,
            cpu=spec.cpu,
            stdout=PassedFd(stdout),
            stderr=PassedFd(stderr),
        )
        self._process: Any = _SPAWN.Process(target=live, args=(birth,), name=context.name)
        try:
            with _environment({**spec.env, **self._strays.mark}), _signals_blocked():
                self._process.start()
            self._watch = portable.ExitWatch(self._process)
        except OSError:
            self._abandon()
            raise
        finally:
            os.close(stdout)
            os.close(stderr)
        self.pid: int = self._watch.pid
        self.end: Exit | None = None

    def fileno(self) -> int:
        """Return a descriptor that is readable once the process has ended."""
        return self._watch.fileno()

    def push(self, deed: Literal["terminate", "abort", "kill"]) -> None:
        """Signal the process; ``kill`` its whole group."""
        if deed == "kill":
            # The group does not exist in the first milliseconds, before the child's setsid.
            self._watch.send_signal(signal.SIGKILL)
            portable.signal_group(self.pid, signal.SIGKILL)
        else:
            self._watch.send_signal(_SIGNALS[deed])

    def reap(self, oom_kills: "OomKills") -> bool:
        """Say whether the process itself has ended; if so, release its pid and keep how."""
        if self.end is None:
            end = self._watch.reap()
            if end is None:
                return False
            code = end.code if end.code is not None else -(end.signal or 0)
            is_oom = code == -signal.SIGKILL and oom_kills.has_grown()
            self.end = Exit(code, end.has_core, is_oom)
            self._watch.close()
        return True

    def _abandon(self) -> None:
        """Leave nothing of a spawn that failed half-way."""
        os.close(self.stdout)
        os.close(self.stderr)
        if self._process.pid is not None:  # born, but there was no descriptor to watch it
            self._process.kill()
            self._process.join()
            self._process.close()

    def is_gone(self) -> bool:
        """Say whether nothing is left of it: end what is, and ask again a little later."""
        if portable.signal_group(self.pid, signal.SIGKILL) and portable.group_members(self.pid):
            return False
        if not self._strays.end((tracker_pid(),)):
            return False
        with contextlib.suppress(ValueError):  # in the portable watch the status may come later
            self._process.close()
        return True


class OomKills:
    """The kernel's count of processes killed in our cgroup for want of memory."""

    def __init__(self) -> None:
        self._path = _memory_events_path()
        self._count = self._read()

    def has_grown(self) -> bool:
        """Say whether there was one since the last time it was asked."""
        previous, self._count = self._count, self._read()
        return self._count > previous

    def _read(self) -> int:
        if self._path is None:
            return 0
        try:
            lines = self._path.read_text(encoding="ascii").splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def prepare_spawning() -> None:
    """Start what spawning needs once: the subreaper, and the tracker of ``multiprocess``.

    Its tracker process is of no use to us and cannot be declined. Started here it is harmless: it
    ignores our signals, holds none of our descriptors, and ends with us. Started later it would
    unblock the signals that a spawn has just blocked.
    """
    portable.become_subreaper()
    resource_tracker.ensure_running()


def _log_pipes() -> tuple[tuple[int, int], tuple[int, int]]:
    """Open a pipe for each of the two outputs, or, where there is no descriptor left, none."""
    stdout = os.pipe2(os.O_CLOEXEC)
    try:
        return stdout, os.pipe2(os.O_CLOEXEC)
    except OSError:
        for fd in stdout:
            os.close(fd)
        raise


def tracker_pid() -> int:
    """Return the pid of the tracker, which is our child and no actor; 0 before it runs."""
    return resource_tracker._resource_tracker._pid or 0  # noqa: SLF001 - there is no other way


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Hold variables in our environment for the length of a spawn, which copies all of it."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block signals so that the child is born with them blocked, until it is ready for them."""
    blocked = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT}
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _memory_events_path() -> Path | None:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        hierarchy, _, path = line.split(":", 2)
        if hierarchy == "0":
            return Path("/sys/fs/cgroup") / path.lstrip("/") / "memory.events"
    return None
