"""A store without processes: the real writer, files, segment and faces, joined by a function call.

Time stands still until it is set. A process of its own would only add waiting; what processes do
to each other ``tests/live`` shows.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
from kv_writes import NOW_NS, kv_write, open_store

from hourbook.book.changes.kinds import KINDS
from hourbook.book.changes.outcomes import Outcome
from hourbook.book.journal import Stamp
from hourbook.book.store.files import StoreFiles
from hourbook.faces.read_report import ReadReporter
from hourbook.faces.store import Store
from hourbook.home import find_home, prepare_home
from hourbook.process_identity import own_holder
from protocols import wire
from protocols.book_messages import Append
from protocols.change import Change
from protocols.kv_messages import AcquireLock, Delete, KvWrite, LockGranted, Op, ReleaseLock
from shm.writer import GenerationWriter

if TYPE_CHECKING:
    from hourbook.faces.store_link import StoreLink

__all__ = ["Link", "World"]


class World:
    """One home and its writer, which may be opened again.

    Attributes:
        now_ns: UTC, for everybody.
        book: the writer.
    """

    def __init__(self) -> None:
        self.home = find_home(Path(tempfile.mkdtemp(prefix="hourbook-world-")))
        prepare_home(self.home)
        self.now_ns = NOW_NS
        self._readers: list[StoreFiles] = []
        self.open()

    def open(self) -> None:
        """Begin as journal_writer does."""
        self._generations = GenerationWriter(self.home.segment)
        self.book = open_store(self.home, generations=self._generations)
        self._generations.reset_all()
        self.book.query(lambda connection: connection.execute("PRAGMA synchronous=OFF"))

    def restart(self, *, is_orderly: bool) -> None:
        """End the writer, in order or as if it was killed between two groups, and begin anew."""
        assert self.book.store.volatile is not None
        if is_orderly:
            self.book.close()
        else:
            self.book._connection.close()
        self.book.store.volatile.close()
        self._generations.close()
        self.open()

    def client(self, namespace: str) -> Store:
        """Return a store as another process has it: with connections and a cache of its own."""
        files = StoreFiles(self.home)
        files.time_ns = lambda: self.now_ns
        self._readers.append(files)
        return Store(namespace, files, cast("StoreLink", Link(self)), 0)

    def send(self, group: Sequence[Append | Change], *, fails: bool = False) -> list[Outcome]:
        """Have requests checked, admitted and written as one group; or let its commit fail."""
        pending: list[Append | Change] = []
        for request in group:
            if isinstance(request, Change):
                KINDS[type(request)].check(request)
            assert self.book.admission.is_new(request, pending, self.now_ns)
            pending.append(request)
        return list(
            self.book.write(group, Stamp(self.now_ns, 0), _fail if fails else None).outcomes
        )

    def write_own(self, change: Change) -> None:
        """Do what journal_writer does by itself."""
        self.book.write([change], Stamp(self.now_ns, 0))

    def empty(self) -> int:
        """End every lease and delete every key; return the seq after that."""
        assert self.book.store.volatile is not None
        for ns, key, token in self._rows("SELECT ns, key, token FROM lease"):
            nonce = kv_write().nonce
            self.send([ReleaseLock(writer="agent", nonce=nonce, ns=ns, key=key, token=token)])
        durable = self._rows("SELECT ns, key, type FROM kv")
        volatile = self.book.store.volatile.connection.execute("SELECT ns, key, type FROM kv")
        for ns, key, type_ in [*durable, *volatile.fetchall()]:
            token = 0
            if type_ == "locked":
                token = self._lock(ns, key)
            self.send([kv_write(Delete(key=key, token=token), ns=ns)])
        for ns, key, token in self._rows("SELECT ns, key, token FROM lease"):
            nonce = kv_write().nonce
            self.send([ReleaseLock(writer="agent", nonce=nonce, ns=ns, key=key, token=token)])
        assert self._rows("SELECT 1 FROM kv") == []
        return self.book.head.seq

    def _lock(self, ns: str, key: str) -> int:
        nonce, holder = kv_write().nonce, own_holder()
        asked = AcquireLock(
            writer="agent", nonce=nonce, ns=ns, key=key, holder=holder, ttl_ns=10**9
        )
        (outcome,) = self.send([asked])
        return msgspec.msgpack.decode(outcome.body, type=LockGranted).token

    def _rows(self, sql: str) -> list[Any]:
        return self.book.query(lambda connection: connection.execute(sql).fetchall())

    def dismiss_clients(self) -> None:
        """Close what reads."""
        while self._readers:
            self._readers.pop().close()

    def close(self) -> None:
        """Take everything away."""
        self.dismiss_clients()
        assert self.book.store.volatile is not None
        self.book.close()
        self.book.store.volatile.close()
        self._generations.close()
        shutil.rmtree(self.home.run_dir, ignore_errors=True)
        shutil.rmtree(self.home.path)


class Link:
    """What a store of a world sends its writes by."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.reads = ReadReporter()

    def change(
        self, kind: str, request: type[KvWrite], *, ns: str, ops: list[Op], branch: int
    ) -> "Reply":
        """Do it."""
        assert (kind, request) == ("kv.write", KvWrite)
        return Reply(self._world.send([kv_write(*ops, ns=ns, branch=branch)])[0])

    def tell(self, kind: str, body: object) -> None:
        """Nobody minds."""


class Reply:
    """The outcome, which is known."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def wait(self, _timeout_s: float | None = None) -> wire.Envelope:
        """Return the answer, or raise the refusal."""
        if self._outcome.error is not None:
            raise self._outcome.error
        return cast("wire.Envelope", _Envelope(self._outcome.body))


class _Envelope:
    def __init__(self, body: bytes) -> None:
        self.body = body


def _fail(_: Any) -> None:
    raise RuntimeError("the commit fails")
