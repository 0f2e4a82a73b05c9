"""journal_writer and compactor as real processes, without a supervisor."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import multiprocess
import zmq
from waiting import wait_until

from actors.base import Actor, ActorContext
from actors.compactor import Compactor
from actors.journal_writer import JournalWriter
from hourbook.home import Home

__all__ = ["ActorProcess", "QuickWriter", "running_compactor", "running_writer"]


class ActorProcess:
    """One incarnation after the other of one actor."""

    start_method = "spawn"

    def __init__(self, actor: type[Actor[Any]], name: str, home: Home, **config: object) -> None:
        self.actor, self.name, self.home, self.config = actor, name, home, config
        self.incarnation = 0
        self.process: Any = None
        # Somebody to beat to; without it the actor would linger over its last words.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._supervisor = self._context.socket(zmq.ROUTER)
        with contextlib.suppress(zmq.ZMQError):  # the second actor of a test shares the first's
            self._supervisor.bind(home.mailbox_uri("supervisor"))
        self.start()

    def start(self) -> None:
        """Start the next incarnation, and return once its mailbox answers."""
        self.incarnation += 1
        context = ActorContext(
            self.name, self.incarnation, str(self.home.path), str(self.home.run_dir), self.config
        )
        method = multiprocess.get_context(self.start_method)
        self.process = method.Process(target=self.actor.main, args=(context,), daemon=True)
        self.process.start()
        wait_until(self.answers, 20, f"{self.name} to open its mailbox")

    def answers(self) -> bool:
        """Return whether somebody listens at the mailbox."""
        assert self.process.is_alive(), f"{self.name} ended with {self.process.exitcode}"
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(self.home.mailbox(self.name))
            return True
        return False

    def kill(self) -> None:
        """End it as the kernel would."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join(10)

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        if self.process.is_alive():
            self.process.terminate()
        self.process.join(10)
        self._context.destroy(linger=0)
        return int(self.process.exitcode)


class QuickWriter(ActorProcess):
    """A journal_writer that is killed often: forked from a process that only has its modules."""

    start_method = "forkserver"

    def __init__(self, home: Home) -> None:
        multiprocess.get_context("forkserver").set_forkserver_preload(["actors.journal_writer"])
        super().__init__(JournalWriter, "journal_writer", home)


@contextlib.contextmanager
def running_writer(home: Home, **config: object) -> Iterator[ActorProcess]:
    """Run journal_writer for the length of a block."""
    writer = ActorProcess(JournalWriter, "journal_writer", home, **config)
    try:
        yield writer
    finally:
        writer.stop()


@contextlib.contextmanager
def running_compactor(home: Home, **config: object) -> Iterator[ActorProcess]:
    """Run compactor, with nothing due by itself unless `config` says so."""
    idle = {"verify": "", "backup": "", "checkpoint": "", "witness": ""}
    compactor = ActorProcess(Compactor, "compactor", home, **(idle | config))
    try:
        yield compactor
    finally:
        compactor.stop()
