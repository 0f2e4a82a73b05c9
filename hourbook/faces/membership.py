"""Holding a name while a connection lives: registered, beaten for, and let go.

A daemon thread beats every two seconds, and registers where that was not possible before: when
journal_writer was down at connect, or has another book since. A write waits for the registration
first; reading never does. The name is free again when the connection is closed, when the process
ends, or, by journal_writer's own watch, when it is killed.
"""

import atexit
import contextlib
import queue
import socket
import sqlite3
import threading
from collections.abc import Iterator

import msgspec

from hourbook.book.instances import find_position
from hourbook.faces.read_report import ReadReporter
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from hourbook.process_identity import own_holder
from protocols import errors
from protocols.change import JOURNAL_WRITER
from protocols.instance_messages import BEAT_S, Beat, Beaten, Register, Registered, Release

__all__ = ["Membership"]

JOIN_S = 1.0
"""How long connecting waits for a registration; what is not known then, the next beat finds out."""
LEAVE_S = 1.0
_decode_registered = msgspec.msgpack.Decoder(Registered).decode
_decode_beaten = msgspec.msgpack.Decoder(Beaten).decode


class Membership:
    """One connection's hold on a name; for all of its threads.

    Attributes:
        is_held: the name is held for this process, as far as it knows; else a write waits for
            :meth:`require` first.
    """

    def __init__(
        self,
        client: MailboxClient,
        home: Home,
        name: str,
        nonces: Iterator[bytes],
        reads: ReadReporter,
        *,
        shared: bool,
    ) -> None:
        """Prepare; :meth:`join` begins.

        Args:
            client: of journal_writer.
            home: whose.
            name: to hold.
            nonces: of the connection.
            reads: what its beats say was read of the store.
            shared: others use the name too, so it is not held, and nothing beats.
        """
        self._client, self._home, self._nonces = client, home, nonces
        self._name, self._reads = name, reads
        self._holder = None if shared else own_holder()
        self.is_held = shared
        self._lock = threading.Lock()
        self._ends: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def join(self) -> None:
        """Register where journal_writer can be asked, and begin to beat.

        Raises:
            NameTaken: another living process holds the name.
        """
        if self._holder is None:
            return
        with contextlib.suppress(errors.WorldError, errors.OperatorError):
            if self.is_listening():
                self._register(JOIN_S)
        self._thread = threading.Thread(target=self._run, name="hourbook-beat", daemon=True)
        self._thread.start()
        atexit.register(self.leave)

    def require(self) -> None:
        """Return once the name is held for this process.

        Raises:
            NameTaken: another living process holds it.
            ActorUnreachable: journal_writer cannot be asked; nothing was written.
            DiskFull, BookCorrupt: refused.
            BookClosed, UsedAfterFork: the connection cannot be used.
        """
        if self.is_held:
            return
        self._client.check_usable()  # before the lock, which a fork may have copied taken
        with self._lock:
            if self.is_held:
                return
            try:
                self._register(None)
            except errors.OutcomeUnknown as error:
                raise errors.ActorUnreachable(
                    f"Expected to register {self._name!r} before writing, got no answer;"
                    " nothing was written",
                    field=self._home.mailbox(JOURNAL_WRITER),
                    hint="see `supervisor status`",
                ) from error

    def beat(self, position: int = -1, *, rewind: bool = False) -> Beaten:
        """Say that we live, and how far we have read (-1: nothing of that).

        Raises:
            NameTaken: another living process holds the name and its position.
            ActorUnreachable, OutcomeUnknown: not said.
        """
        reads = None if self._holder is None else self._reads.make()
        beat = Beat(self._name, self._holder, position, rewind, reads)
        answer = _decode_beaten(self._client.request("instance.beat", beat).body)
        if reads is not None and answer.is_held:
            self._reads.told()
        return answer

    def position(self) -> int:
        """Return how far the name has read, as journal_writer has it; -1 where it cannot say."""
        with contextlib.suppress(errors.WorldError, errors.OperatorError):
            if self.is_listening():
                return self.beat().position
        return -1

    def stored_position(self, connection: sqlite3.Connection) -> int:
        """Return how far the name has read, as the book has it; -1 where it never read."""
        return find_position(connection, self._name)

    def leave(self) -> None:
        """Let the name go, where that can be said within a second. Again: no effect."""
        thread, self._thread = self._thread, None
        if thread is None or not self._client.is_usable():
            return
        atexit.unregister(self.leave)
        self._ends.put(None)
        thread.join(LEAVE_S)

    def _register(self, timeout_s: float | None) -> None:
        assert self._holder is not None
        nonce = next(self._nonces)
        change = Register(writer=self._name, nonce=nonce, holder=self._holder)
        envelope = self._client.send("instance.register", change).wait(timeout_s)
        _decode_registered(envelope.body)
        self.is_held = True

    def _run(self) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                self._ends.get(timeout=BEAT_S)
                break
            with contextlib.suppress(errors.HourbookError):
                if self.is_listening():
                    self._beat_or_register()
        with contextlib.suppress(errors.HourbookError):
            if self.is_held and self.is_listening():
                if self._reads.make() is not None:
                    self.beat()
                self._release()

    def _beat_or_register(self) -> None:
        if self.is_held and not self.beat().is_held:
            self.is_held = False
        if not self.is_held:
            with self._lock:
                self._register(None)

    def _release(self) -> None:
        assert self._holder is not None
        nonce = next(self._nonces)
        change = Release(writer=self._name, nonce=nonce, name=self._name, holder=self._holder)
        self._client.send("instance.release", change).wait(LEAVE_S)

    def is_listening(self) -> bool:
        """Return whether somebody answers at the mailbox; ZeroMQ would try for ever."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.connect(self._home.mailbox(JOURNAL_WRITER))
        except OSError:
            return False
        return True
