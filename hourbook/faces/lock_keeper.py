"""Renewing the locks of one book while their holders live: one thread, begun with the first lock.

A lock is renewed each third of its time. It is not, once the thread that acquired it has ended, or
nobody has the `Lock` any more: then nobody is left who could let it go, and the lease runs out.
"""

import contextlib
import threading
import time
import weakref
from typing import Final, Protocol

from protocols import errors

__all__ = ["Leased", "LockKeeper"]

RENEWALS_PER_LEASE: Final = 3
_IDLE_S: Final = 60.0


class Leased(Protocol):
    """What a lock must do to be kept."""

    def due_mono_ns(self) -> int | None:
        """Return when it is to be renewed next; None: not any more."""

    def renew_soon(self) -> None:
        """Ask for a renewal, without waiting for the answer."""

    def let_go(self) -> None:
        """Release it for whoever has closed the book."""


class LockKeeper:
    """The locks that one book holds."""

    def __init__(self) -> None:
        """Begin without a lock, and without a thread."""
        self._locks: weakref.WeakSet[Leased] = weakref.WeakSet()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def keep(self, lock: Leased) -> None:
        """Renew `lock` from now on."""
        with self._changed:
            self._locks.add(lock)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="hourbook-locks", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def drop(self, lock: Leased) -> None:
        """Renew `lock` no longer."""
        with self._changed:
            self._locks.discard(lock)

    def close(self) -> None:
        """Release what is still held, and end the thread."""
        with self._changed:
            self._is_closed = True
            locks = list(self._locks)
            self._locks.clear()
            self._changed.notify()
        for lock in locks:
            with contextlib.suppress(errors.HourbookError):
                lock.let_go()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._is_closed:
                    return
                locks = list(self._locks)
            pause_s = self._renew(locks)
            del locks  # or a lock that nobody else has would live through the pause
            with self._changed:
                if not self._is_closed:
                    self._changed.wait(pause_s)

    def _renew(self, locks: list[Leased]) -> float:
        """Renew what is due; return for how long nothing else is (seconds)."""
        pause_s = _IDLE_S
        for lock in locks:
            due_ns = lock.due_mono_ns()
            if due_ns is None:
                self.drop(lock)
                continue
            left_s = (due_ns - time.monotonic_ns()) / 1e9
            if left_s <= 0:
                with contextlib.suppress(errors.HourbookError):  # the lease says so itself
                    lock.renew_soon()
                left_s = (lock.due_mono_ns() or 0) - time.monotonic_ns()
                left_s = max(0.01, left_s / 1e9)
            pause_s = min(pause_s, left_s)
        return pause_s
