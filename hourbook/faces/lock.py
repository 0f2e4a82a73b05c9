"""A lock of the store: a lease with a fencing token, for one thread of one process.

The lease is the writer's: it ends when it is released, when its process ends, or when it is not
renewed for its whole time. A thread of the book renews it meanwhile. What this side knows of its
end it says in `is_lost`; what it does not know the writer does: each write that names the token is
refused once another is in force, in the transaction that it would have been part of.
"""

import contextlib
import threading
import time
from typing import Final, Self

import msgspec

from hourbook.book.store.leases import TTL_NS_MAX, TTL_NS_MIN, WAIT_NS_MAX
from hourbook.faces.lock_keeper import RENEWALS_PER_LEASE
from hourbook.faces.store_link import StoreLink
from hourbook.forks import own_pid
from hourbook.link.client import TIMEOUT_S
from hourbook.link.reply import Reply
from hourbook.process_identity import own_holder
from protocols import errors
from protocols.kv_keys import check_key
from protocols.kv_messages import (
    AcquireLock,
    LeaveLock,
    LockGranted,
    LockReleased,
    ReleaseLock,
    RenewLock,
)

__all__ = ["Lock"]

_S_NS: Final = 1_000_000_000
_decode_call = msgspec.msgpack.Decoder(AcquireLock).decode
_decode_granted = msgspec.msgpack.Decoder(LockGranted).decode
_decode_released = msgspec.msgpack.Decoder(LockReleased).decode


class Lock:
    """One lock, to be held once; a context manager that acquires and releases it.

    Not reentrant: who holds a lock and asks for it again waits for itself.

    Attributes:
        namespace: of the store.
        key: what is locked.
        ttl_s: how long the lease lives without a renewal (seconds).
        wait_s: how long to wait for others (seconds).
    """

    def __init__(
        self, namespace: str, key: str, ttl_s: float, wait_s: float, link: StoreLink
    ) -> None:
        """Use ``Store.lock``."""
        check_key(key)
        self._ttl_ns = _nanoseconds("ttl_s", ttl_s, TTL_NS_MIN, TTL_NS_MAX)
        self._wait_ns = _nanoseconds("wait_s", wait_s, 0, WAIT_NS_MAX)
        self.namespace, self.key, self.ttl_s, self.wait_s = namespace, key, ttl_s, wait_s
        self._link, self._keeper = link, link.keeper
        self._pid = own_pid()
        self._owner: threading.Thread | None = None
        self._token = 0
        self._is_over = self._is_released = False
        self._confirmed_boot_ns = self._asked_mono_ns = 0
        self._renewal: Reply | None = None
        self._call: Reply | None = None

    @property
    def token(self) -> int:
        """The fencing token, to be named in writes; it rises from each holder to the next.

        Raises:
            BadRequest: the lock was not acquired, or by another thread.
            UsedAfterFork: by the process that this one was forked from.
        """
        self._check_holder()
        return self._token

    @property
    def is_held(self) -> bool:
        """Whether it was acquired and not released, and is not lost; by a fork of us it is not."""
        is_ours = bool(self._token) and self._pid == own_pid()
        return is_ours and not self._is_released and not self.is_lost

    @property
    def is_lost(self) -> bool:
        """Whether the lease has ended under us, or may have: no renewal was confirmed in time.

        Any thread may ask. False while the lock is not acquired, and for a released one that was
        ours to the end.
        """
        if self._is_released or not self._token:
            return self._is_over
        return self._is_over or _boot_ns() - self._confirmed_boot_ns >= self._ttl_ns

    def acquire(self) -> Self:
        """Wait for the lock and return it held.

        Raises:
            LockTimeout: others held it for `wait_s`; the message names them.
            TokenStale: it was ours and is lost again already: this process had been stopped.
            BadRequest: it was acquired before; or no thread can begin that would renew it.
            LimitExceeded: too many wait for locks.
            DiskFull, BookCorrupt: refused.
            OutcomeUnknown: no answer in time; if it was granted, it is free again after `ttl_s`.
            ActorUnreachable: nobody to ask.
            BookClosed, UsedAfterFork: this connection cannot be used, or was closed meanwhile.
        """
        if self._token:
            raise errors.BadRequest(
                f"Expected a new lock for each time, got that of {self._name}, which was acquired",
                field="key",
                value=self.key,
            )
        self._link.client.prepare_unattended()  # as renewals are
        self._keeper.begin()
        asked_boot_ns = _boot_ns()
        call = self._call = self._link.change(
            "lock.acquire",
            AcquireLock,
            extra_s=self._wait_ns / _S_NS,
            ns=self.namespace,
            key=self.key,
            holder=own_holder(),
            ttl_ns=self._ttl_ns,
            wait_ns=self._wait_ns,
        )
        with self._keeper.asking(self):
            try:
                self._take(_decode_granted(call.wait().body).token, asked_boot_ns)
            except BaseException:  # interrupted, too: what nobody gets nobody must keep
                call.add_done_callback(self._release_unwanted)
                self.give_up()
                raise
        return self

    def _take(self, token: int, asked_boot_ns: int) -> None:
        """Hold what was granted to a call of a moment ago, or of long ago."""
        self._token = token
        self._owner = threading.current_thread()
        self._asked_mono_ns = time.monotonic_ns()
        self._confirmed_boot_ns = asked_boot_ns
        if _boot_ns() - asked_boot_ns > self._ttl_ns // RENEWALS_PER_LEASE:
            self.renew()  # how long ago it was granted is not known after a wait
        self._keeper.keep(self)

    def give_up(self) -> None:
        """Wait no longer, in whichever thread that is: ``acquire`` raises LockTimeout there.

        A lock that is not waited for stays as it is.
        """
        call = self._call
        if call is None or call.is_settled:
            return
        call.deadline_ns = min(call.deadline_ns, time.monotonic_ns() + int(TIMEOUT_S * _S_NS))
        asked = _decode_call(call.request.body)
        with contextlib.suppress(errors.HourbookError):
            leave = LeaveLock(asked.writer, asked.nonce)
            self._link.client.send("lock.leave", leave, attended=False)

    def renew(self) -> None:
        """Have the whole `ttl_s` again, from now on. A thread of the book does it by itself.

        Raises:
            TokenStale: the lease has ended; the lock is lost.
            ActorUnreachable, OutcomeUnknown: not confirmed.
            BadRequest, UsedAfterFork, BookClosed: not ours to renew.
        """
        self._check_holder()
        asked_boot_ns = _boot_ns()
        reply = self._send_renewal(attended=True)
        with contextlib.suppress(errors.HourbookError):
            reply.wait()
        self._note_renewal(reply, asked_boot_ns)
        if reply.error is not None:
            raise reply.error

    def release(self) -> bool:
        """Let the lock go; return whether it was ours until now.

        Raises:
            ActorUnreachable, OutcomeUnknown: not confirmed; it ends by itself after `ttl_s`.
            BadRequest, UsedAfterFork, BookClosed: not ours to release.
        """
        self._check_holder()
        if self._is_released:
            return not self._is_over
        self._is_released = True
        self._keeper.drop(self)
        if not self._is_over:
            reply = self._send_release(attended=True)
            self._is_over = not _decode_released(reply.wait().body).seq
        return not self._is_over

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        """Release; where that cannot be said, the lease runs out, since nobody renews it.

        A process that was forked inside the block leaves it without a word: it never held the lock.
        """
        if self._pid != own_pid():
            return
        with contextlib.suppress(errors.WorldError, errors.OperatorError):
            self.release()

    # -- for the keeper --------------------------------------------------------------------------

    def due_mono_ns(self) -> int | None:
        """Return when to renew next; None: nobody is there who holds it."""
        owner = self._owner
        if self._is_over or self._is_released or owner is None or not owner.is_alive():
            return None
        return self._asked_mono_ns + self._ttl_ns // RENEWALS_PER_LEASE

    def renew_soon(self) -> None:
        """Ask for a renewal, without waiting for the answer."""
        self._asked_mono_ns = time.monotonic_ns()
        if self._renewal is not None and not self._renewal.is_settled:
            return  # it is sent again until somebody answers
        asked_boot_ns = _boot_ns()
        self._renewal = self._send_renewal(attended=False)
        self._renewal.add_done_callback(lambda reply: self._note_renewal(reply, asked_boot_ns))

    def let_go(self) -> Reply:
        """Release for whoever closes the book, and waits for the answer."""
        self._is_released = True
        return self._send_release(attended=True)

    # -- parts -----------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return f"{self.namespace}/{self.key}"

    def _check_holder(self) -> None:
        if self._pid != own_pid():
            raise errors.UsedAfterFork(
                f"Expected the process that acquired the lock of {self._name}, got a fork of it",
                hint="acquire one of its own in the child",
            )
        if not self._token:
            raise errors.BadRequest(
                f"Expected a lock that is held, got that of {self._name}, not acquired yet",
                field="key",
                value=self.key,
            )
        if self._owner is not None and self._owner is not threading.current_thread():
            raise errors.BadRequest(
                f"Expected the thread that acquired the lock of {self._name},"
                f" {self._owner.name}, got {threading.current_thread().name}",
                field="key",
                value=self.key,
            )

    def _send_renewal(self, *, attended: bool) -> Reply:
        renewal = RenewLock(self.namespace, self.key, self._token)
        return self._link.client.send("lock.renew", renewal, attended=attended)

    def _note_renewal(self, reply: Reply, asked_boot_ns: int) -> None:
        if isinstance(reply.error, errors.TokenStale):
            self._is_over = True
        elif reply.envelope is not None:
            self._confirmed_boot_ns = max(self._confirmed_boot_ns, asked_boot_ns)

    def _send_release(self, *, attended: bool, token: int = 0) -> Reply:
        return self._link.change(
            "lock.release",
            ReleaseLock,
            attended=attended,
            ns=self.namespace,
            key=self.key,
            token=token or self._token,
        )

    def _release_unwanted(self, reply: Reply) -> None:
        """Give back what was granted to a call that nobody waits for any more."""
        if reply.envelope is None:
            return
        token = _decode_granted(reply.envelope.body).token
        self._is_released |= token == self._token
        with contextlib.suppress(errors.HourbookError):
            self._send_release(attended=False, token=token)


def _nanoseconds(field: str, seconds: object, low_ns: int, high_ns: int) -> int:
    number = seconds if isinstance(seconds, int | float) else -1
    if not isinstance(seconds, bool) and low_ns <= number * _S_NS <= high_ns:
        return round(number * _S_NS)
    raise errors.BadRequest(
        f"Expected `{field}` in {low_ns / _S_NS:g}..{high_ns // _S_NS} s, got {seconds!r}",
        field=field,
        value=repr(seconds)[:80],
    )


def _boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
