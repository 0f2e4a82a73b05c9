"""The processes that hold locks, or ask for them: whether they live, and word of their end.

An edge. A pidfd tells both for a fraction of what ``/proc`` takes to read, so one is kept for a
while after a process has let go of its last lock: whoever locks once mostly locks again. A process
that cannot be seen (of another pid namespace), or for which no descriptor is left, is known by its
renewals alone.
"""

import os
import resource
import select
from collections.abc import Callable
from typing import Final

from actors.contract import Reactor
from actors.instance_watch import open_pidfd
from hourbook.book.store.leases import LockName
from hourbook.process_identity import is_alive, is_elsewhere
from protocols.instance_messages import Holder

__all__ = ["LockHolders"]

IDLE_MAX: Final = 64
"""Processes without a lock that are watched all the same: those that asked last."""


class _Process:
    """One process that is watched, and what it holds."""

    __slots__ = ("names", "pidfd", "poll")

    def __init__(self, pidfd: int) -> None:
        self.pidfd = pidfd
        self.names: set[LockName] = set()
        self.poll = select.poll()
        self.poll.register(pidfd, select.POLLIN)


class LockHolders:
    """The processes, for the loop of one actor."""

    def __init__(self, reactor: Reactor, on_end: Callable[[Holder, list[LockName]], None]) -> None:
        """Begin with none.

        Args:
            reactor: watches them.
            on_end: called with a process that has ended, and with the locks that it held.
        """
        self._reactor, self._on_end = reactor, on_end
        self._processes: dict[Holder, _Process] = {}
        self._idle: dict[Holder, None] = {}
        soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._watched_max = soft_limit // 2
        """The other half is for clients, the book and what else there is."""

    def can_live(self, holder: Holder) -> bool:
        """Return whether a process lives, or might; its end is heard of from now on."""
        process = self._processes.get(holder)
        if process is not None:
            return not process.poll.poll(0)
        if is_elsewhere(holder):
            return True
        pidfd = open_pidfd(holder) if len(self._processes) < self._watched_max else -1
        if pidfd < 0:
            return is_alive(holder)
        self._processes[holder] = _Process(pidfd)
        self._reactor.watch(pidfd, lambda: self._end(holder))
        self._note_idle(holder)
        return True

    def note_grant(self, holder: Holder, name: LockName) -> bool:
        """Take in that a process holds a lock; return whether it can live (:meth:`can_live`)."""
        if not self.can_live(holder):
            return False
        process = self._processes.get(holder)
        if process is not None:
            process.names.add(name)
            self._idle.pop(holder, None)
        return True

    def note_release(self, holder: Holder, name: LockName) -> None:
        """Take in that it holds that lock no longer."""
        process = self._processes.get(holder)
        if process is None:
            return
        process.names.discard(name)
        if not process.names:
            self._note_idle(holder)

    def close(self) -> None:
        """Watch nobody any more."""
        for holder in list(self._processes):
            self._forget(holder)

    def _note_idle(self, holder: Holder) -> None:
        """Keep those that were idle last, and forget who was idle before them."""
        self._idle.pop(holder, None)
        self._idle[holder] = None
        if len(self._idle) > IDLE_MAX:
            self._forget(next(iter(self._idle)))

    def _end(self, holder: Holder) -> None:
        if self.can_live(holder):
            return  # the descriptor was another's, closed since the kernel was asked
        names = sorted(self._processes[holder].names)
        self._forget(holder)
        self._on_end(holder, names)

    def _forget(self, holder: Holder) -> None:
        process = self._processes.pop(holder)
        self._idle.pop(holder, None)
        self._reactor.unwatch(process.pidfd)
        os.close(process.pidfd)
