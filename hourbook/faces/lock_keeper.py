"""Renewing the locks of one book while their holders live: one thread, begun with the first call.

A lock is renewed each third of its time. It is not, once the thread that acquired it has ended, or
nobody has the `Lock` any more: then nobody is left who could let it go, and the lease runs out.

Most locks are let go long before that. The thread is not woken for them: it looks when the first
renewal may be due, and only a lock that is due sooner than that wakes it.
"""

import contextlib
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Final, Protocol

from hourbook.link.reply import Reply
from protocols import errors

__all__ = ["RENEWALS_PER_LEASE", "Leased", "LockKeeper"]

RENEWALS_PER_LEASE: Final = 3
_GOODBYE_S: Final = 1.0
"""How long closing waits for the answers to its releases."""
_IDLE_NS: Final = 60 * 1_000_000_000
_RETRY_NS: Final = 10_000_000


class Leased(Protocol):
    """What a lock must do to be kept."""

    def due_mono_ns(self) -> int | None:
        """Return when it is to be renewed next; None: not any more."""

    def renew_soon(self) -> None:
        """Ask for a renewal, without waiting for the answer."""

    def give_up(self) -> None:
        """Wait for it no longer."""

    def let_go(self) -> Reply:
        """Release it for whoever closes the book."""


class LockKeeper:
    """The locks that one book holds."""

    def __init__(self) -> None:
        """Begin without a lock, and without a thread."""
        self._locks: weakref.WeakSet[Leased] = weakref.WeakSet()
        self._asking: set[Leased] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._looks_mono_ns = 0

    def begin(self) -> None:
        """Begin the thread, unless it runs: before a lock is asked for.

        When it is granted, the process may not be able to: its limit is reached, or its main thread
        has ended meanwhile, with Python 3.12.0 and 3.12.1. Nobody would renew it.

        Raises:
            BadRequest: the process cannot begin a thread.
        """
        with self._changed:
            if self._thread is not None or self._is_closed:
                return
            thread = threading.Thread(target=self._run, name="hourbook-locks", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise errors.BadRequest(
                    f"Expected to begin the thread that renews locks, got: {error}",
                    hint="end other threads first, and let the main thread `join` them",
                ) from None
            self._thread = thread

    @contextlib.contextmanager
    def asking(self, lock: Leased) -> Iterator[None]:
        """Have `lock` give up where the book is closed meanwhile.

        Raises:
            BookClosed: it was, and it did.
        """
        with self._changed:
            is_closed = self._is_closed
            self._asking.add(lock)
        try:
            if is_closed:
                lock.give_up()
            yield
        except errors.LockTimeout as error:
            if self._is_closed:
                raise _closed() from error
            raise
        finally:
            with self._changed:
                self._asking.discard(lock)
                if self._is_closed:  # else nobody waits for that
                    self._changed.notify_all()

    def keep(self, lock: Leased) -> None:
        """Renew `lock` from now on.

        Raises:
            BookClosed: nobody would.
        """
        due_ns = lock.due_mono_ns()
        with self._changed:
            if self._is_closed:
                raise _closed()
            self._locks.add(lock)
            if due_ns is not None and due_ns < self._looks_mono_ns:
                self._looks_mono_ns = due_ns
                self._changed.notify_all()

    def drop(self, lock: Leased) -> None:
        """Renew `lock` no longer."""
        with self._changed:
            self._locks.discard(lock)

    def close(self) -> None:
        """Release what is still held, wait for nothing any more, and end the thread."""
        with self._changed:
            self._is_closed = True
            locks, asking = list(self._locks), list(self._asking)
            self._locks.clear()
            self._changed.notify_all()
        until_ns = time.monotonic_ns() + int(_GOODBYE_S * 1e9)
        for lock in asking:
            lock.give_up()
        replies = []
        for lock in locks:
            with contextlib.suppress(errors.HourbookError):
                replies.append(lock.let_go())
        for reply in replies:
            with contextlib.suppress(errors.HourbookError):
                reply.wait(max(0, until_ns - time.monotonic_ns()) / 1e9)
        with self._changed:  # whoever got a lock meanwhile lets it go
            left_s = max(0, until_ns - time.monotonic_ns()) / 1e9
            self._changed.wait_for(lambda: not self._asking, left_s)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._is_closed:
                    return
                locks = list(self._locks)
                self._looks_mono_ns = time.monotonic_ns() + _IDLE_NS
            due_ns = self._renew(locks)
            del locks  # or a lock that nobody else has would live through the pause
            with self._changed:
                # One that was added meanwhile may be due sooner than those that were looked at.
                self._looks_mono_ns = min(self._looks_mono_ns, due_ns)
                left_ns = self._looks_mono_ns - time.monotonic_ns()
                if left_ns > 0 and not self._is_closed:
                    self._changed.wait(left_ns / 1e9)

    def _renew(self, locks: list[Leased]) -> int:
        """Renew what is due; return when to look again at the latest (CLOCK_MONOTONIC)."""
        looks_ns = time.monotonic_ns() + _IDLE_NS
        for lock in locks:
            due_ns = lock.due_mono_ns()
            if due_ns is None:
                self.drop(lock)
                continue
            if due_ns <= time.monotonic_ns():
                with contextlib.suppress(errors.HourbookError):  # the lease says so itself
                    lock.renew_soon()
                due_ns = max(lock.due_mono_ns() or 0, time.monotonic_ns() + _RETRY_NS)
            looks_ns = min(looks_ns, due_ns)
        return looks_ns


def _closed() -> errors.BookClosed:
    return errors.BookClosed("Expected an open book to hold a lock, got one that was closed")
