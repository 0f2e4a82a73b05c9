"""The first thing that runs in a spawned process: make it a safe child, then become the actor.

The order matters, and each step says why. Nothing heavy is imported before the last one: until then
a parent that dies would leave an orphan, and a signal would meet Python's default handlers.
"""

import contextlib
import faulthandler
import importlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from multiprocess import context

from supervisor import portable

__all__ = ["Birth", "PassedFd", "live"]

_MIB = 1 << 20


class PassedFd:
    """A file descriptor that crosses a spawn; only usable as an argument of a new process."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> tuple[type["PassedFd"], tuple[int]]:
        return PassedFd, (context.get_spawning_popen().duplicate_for_child(self.fd),)


class Birth(NamedTuple):
    """All that a child is told; plain values, so that reading it imports nothing.

    Attributes:
        class_path: ``module:Class`` of the actor.
        context: fields of ``ActorContext``.
        parent_pid: the supervisor.
        open_files: RLIMIT_NOFILE (count, 0 leaves it).
        core_mib: RLIMIT_CORE (MiB).
        cpu: processors it may run on; empty is all.
        stdout, stderr: writing ends of its log pipes.
    """

    class_path: str
    context: Mapping[str, Any]
    parent_pid: int
    open_files: int
    core_mib: int
    cpu: tuple[int, ...]
    stdout: PassedFd
    stderr: PassedFd


def live(birth: Birth) -> NoReturn:
    """Be the actor until it ends; the target of the spawned process."""
    # 1. A group of its own: a signal to the group reaches what the actor starts, and Ctrl-C in the
    #    supervisor's terminal reaches the supervisor alone.
    os.setsid()
    # 2. From here on the kernel ends us with our parent; 3. unless it was gone before.
    try:
        portable.die_with_parent(birth.parent_pid)
    except ProcessLookupError:
        os._exit(1)
    # 4. Our parent blocked the signals for us. A SIGINT that came meanwhile is dropped here, a
    #    SIGTERM ends us on the next line.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # 5. What it prints goes to its log; a crash or the watchdog's SIGABRT leaves its stacks there.
    for passed, fd in ((birth.stdout, 1), (birth.stderr, 2)):
        os.dup2(passed.fd, fd)
        os.close(passed.fd)
    faulthandler.enable()
    # 6. What it creates is its owner's alone, also what a library creates for it.
    os.umask(0o077)
    # 7. Limits before the first import of foreign code.
    _limit(birth)
    module_name, _, class_name = birth.class_path.partition(":")
    code = _main_of(module_name, class_name, birth.context)
    # 8. An actor that has stopped owns nothing any more. Taking its interpreter apart would cost
    #    100 ms and more of every ordered stop, so it ends where it stands. (One that raised goes
    #    the long way: ``multiprocess`` prints the traceback and exits with 1.)
    _say_last_words()
    os._exit(code)


def _say_last_words() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its other end, or it itself, is closed
            stream.flush()


def _main_of(module_name: str, class_name: str, context_fields: Mapping[str, Any]) -> int:
    from actors.contract import ActorContext  # noqa: PLC0415 - imports zmq: after the steps above

    actor_class = getattr(importlib.import_module(module_name), class_name)
    code: int = actor_class.main(ActorContext(**context_fields))
    return code


def _limit(birth: Birth) -> None:
    if birth.open_files:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        allowed = birth.open_files if hard < 0 else min(birth.open_files, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    wanted = birth.core_mib * _MIB
    resource.setrlimit(resource.RLIMIT_CORE, (wanted if hard < 0 else min(wanted, hard), hard))
    if birth.cpu and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, birth.cpu)
