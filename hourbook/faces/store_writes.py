"""The writing half of a Store: each method is one request to journal_writer, done whole or not.

A write that returns is durable (its key's type decides whether it outlives a reboot), and every
process sees it with its next read. One that raises OutcomeUnknown may or may not have happened.
"""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from hourbook.book.store.reading import Item
from hourbook.faces.entry_future import WriteFuture
from hourbook.faces.store_link import StoreLink
from hourbook.faces.store_stats import WriteCounts
from hourbook.faces.store_steps import check_count, delete_step, increment_step, set_step
from hourbook.faces.store_transaction import Transaction
from protocols import errors, wire
from protocols.kv_messages import ABSENT, KvWrite, KvWritten, Op, Set, ValueType

__all__ = ["UPDATE_ATTEMPTS", "StoreWrites"]

UPDATE_ATTEMPTS: Final = 100
"""Of one update; eight processes that do nothing else than update one key need about ten."""
_KV_WRITE: Final = "kv.write"
_PATIENT_ATTEMPTS: Final = 4
_PAUSE_MAX_S: Final = 0.02
_decode_written = msgspec.msgpack.Decoder(KvWritten).decode


class StoreWrites:
    """What can be done to the keys of a namespace; threads may share it."""

    get: Callable[..., Any]

    def __init__(
        self, namespace: str, link: StoreLink, branch: int, find: Callable[[str], Item | None]
    ) -> None:
        """Made by a Store, which finds keys as they are now."""
        self.namespace = namespace
        self._link = link
        self._branch = branch
        self._find = find
        self._write_counts = WriteCounts()

    def set(
        self,
        key: str,
        value: object,
        *,
        ttl_s: float | None = None,
        keep_ttl: bool = False,
        type: ValueType = "",  # noqa: A002 - as the messages call it
        if_version: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        token: int = 0,
    ) -> int:
        """Give a key a value; return the version that it has now.

        Args:
            key: 1 B to 1 KiB of text.
            value: any value that MessagePack carries (16 MiB), None and NaN among them. Tuples and
                sets come back as lists, a dataclass as a dict.
            ttl_s: how long it lives by our clock (seconds, > 0, <= 9e9); None: for ever, or as its
                namespace has it. An earlier limit ends with the earlier value.
            keep_ttl: the key keeps the time that it has left.
            type: persistent, versioned, shared, locked, transient or cached; "": what the key has,
                and a new key what its namespace has.
            if_version: only where the key has this version; 0: only where it is absent.
            metadata: a map of your own (64 KiB); it is replaced with the value.
            token: of the lock that protects the key (``lock.token``); 0: none.

        Raises:
            BadRequest, LimitExceeded: something does not fit; nothing was sent.
            VersionConflict: the key has another version, which `value` of the error says.
            TokenStale: the lock is no longer held under this token, or the type wants one.
            MixedDurability: the key is there with a type that lies in the other database.
            SchemaViolation: the namespace has a schema that the value does not fit.
            DiskFull, BookCorrupt: refused; nothing was written.
            OutcomeUnknown: no answer in time; it may or may not have been written.
            ActorUnreachable: nobody to send it to; it was not written.
            BookClosed, UsedAfterFork: this connection cannot be used.
        """
        step = set_step(
            key,
            value,
            ttl_s=ttl_s,
            keep_ttl=keep_ttl,
            type=type,
            if_version=if_version,
            metadata=metadata,
            token=token,
        )
        return self._write([step]).versions[0]

    def set_nowait(
        self,
        key: str,
        value: object,
        *,
        ttl_s: float | None = None,
        keep_ttl: bool = False,
        type: ValueType = "",  # noqa: A002 - as the messages call it
        if_version: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        token: int = 0,
    ) -> WriteFuture[int]:
        """Send what :meth:`set` would and return at once; many in flight share one fsync.

        Up to 10 000 may be under way; the next one waits for the oldest. The future's result is the
        version; it raises what :meth:`set` does, but for what does not fit, which is raised here.
        """
        step = set_step(
            key,
            value,
            ttl_s=ttl_s,
            keep_ttl=keep_ttl,
            type=type,
            if_version=if_version,
            metadata=metadata,
            token=token,
        )
        reply = self._link.change(
            _KV_WRITE, KvWrite, attended=False, ns=self.namespace, ops=[step], branch=self._branch
        )
        self._write_counts.writes += 1
        return WriteFuture(reply, _version)

    def delete(self, key: str, *, if_version: int | None = None, token: int = 0) -> int:
        """Take a key away; return the version of that, 0 where it was absent already.

        Raises:
            What :meth:`set` does.
        """
        step = delete_step(key, if_version=if_version, token=token)
        return self._write([step]).versions[0]

    def increment(
        self,
        key: str,
        by: float = 1,
        *,
        ttl_s: float | None = None,
        type: ValueType = "",  # noqa: A002 - as the messages call it
        if_version: int | None = None,
        token: int = 0,
    ) -> int | float:
        """Add to a number; return what it is now. Nobody's addition is lost.

        Args:
            key: 1 B to 1 KiB of text; an absent one counts as 0.
            by: a 64-bit integer or a finite float.
            ttl_s: of a key that is absent; one that is there keeps the time that it has left.
            type: of a key that is absent.
            if_version: as in :meth:`set`.
            token: as in :meth:`set`.

        Raises:
            BadRequest: what is there is no number, or the sum does not fit.
            What :meth:`set` does.
        """
        step = increment_step(key, by, ttl_s=ttl_s, type=type, if_version=if_version, token=token)
        return self._write([step]).numbers[0]

    def update(
        self,
        key: str,
        change: Callable[[Any], Any],
        *,
        default: Any = None,  # noqa: ANN401 - any value
        attempts: int = UPDATE_ATTEMPTS,
        token: int = 0,
    ) -> Any:  # noqa: ANN401 - any value
        """Set a key to what `change` makes of its value; return that. Atomic across processes.

        Where a rule of the operator takes a secret out of it, what is stored is returned.

        `change` is called with a copy of the value, or `default` where the key is absent, and may
        be called again: whenever another write came between. What it raises is raised here, and the
        store is as it was. The key keeps its type, metadata and the time that it has left.

        Args:
            key: 1 B to 1 KiB of text.
            change: from the old value to the new one; it should not wait for anybody.
            default: what `change` gets where the key is absent.
            attempts: how often to try (>= 1).
            token: as in :meth:`set`.

        Raises:
            NeverConverged: others wrote between, each time.
            What :meth:`set` and ``get`` do.
        """
        check_count(attempts, "attempts")
        for attempt in range(attempts):
            item = self._find(key)
            value = change(default if item is None else item.value)
            try:
                done = self._write([update_step(key, value, item, token)])
            except errors.VersionConflict:
                pause_s = pause_before(attempt, random.random())  # noqa: S311 - no secret
                time.sleep(pause_s)
            else:
                return stored_value(self._find, self.get, key, value, done)
        raise never_converged(key, attempts)

    def transaction(self) -> Transaction:
        """Return a context manager that gathers steps over several keys and does them all at once.

        What is read through it is compared: if anybody writes such a key before it ends, it is
        refused whole (VersionConflict) and can be tried again. An exception inside sends nothing.

        ::

            with store.transaction() as both:
                both.set("a", both.get("a") - 1)
                both.set("b", both.get("b") + 1)
        """
        return Transaction(self._find, self._write)

    def _write(self, ops: list[Op]) -> KvWritten:
        counts = self._write_counts
        started_ns = time.perf_counter_ns()
        try:
            reply = self._link.change(
                _KV_WRITE, KvWrite, ns=self.namespace, ops=ops, branch=self._branch
            )
            return _decode_written(reply.wait().body)
        except errors.HourbookError:
            counts.refusals += 1
            raise
        finally:
            counts.writes += 1
            counts.latency.add(time.perf_counter_ns() - started_ns)

    def write_nowait(self, ops: list[Op]) -> WriteFuture[KvWritten]:
        """Send steps that are done together or not at all, and return at once."""
        reply = self._link.change(
            _KV_WRITE, KvWrite, attended=False, ns=self.namespace, ops=ops, branch=self._branch
        )
        self._write_counts.writes += 1
        return WriteFuture(reply, _written)


def _version(envelope: wire.Envelope) -> int:
    return _decode_written(envelope.body).versions[0]


def _written(envelope: wire.Envelope) -> KvWritten:
    return _decode_written(envelope.body)


def update_step(key: str, value: object, item: Item | None, token: int) -> Set:
    """Return the step that sets a key to a value, unless anybody wrote it after `item` was read."""
    return set_step(
        key,
        value,
        keep_ttl=item is not None,
        if_version=ABSENT if item is None else item.version,
        metadata=item.metadata if item is not None and item.metadata else None,
        token=token,
    )


def stored_value(
    find: Callable[[str], Item | None],
    get: Callable[..., Any],
    key: str,
    value: Any,  # noqa: ANN401 - any value
    done: KvWritten,
) -> Any:  # noqa: ANN401 - any value
    """Return what a write of one step has stored: `value`, but where a rule changed it.

    That is read back. Of a volatile key that has been written again since, what it holds now.
    """
    if not done.redacted:
        return value
    version, item = done.versions[0], find(key)
    if item is not None and item.version == version:
        return item.value
    try:
        return get(key, version=version)
    except errors.NotInBook:
        return None if item is None else item.value


def pause_before(attempt: int, chance: float) -> float:
    """Return how long to wait before the next attempt (seconds), so that many take turns."""
    if attempt < _PATIENT_ATTEMPTS:
        return 0.0
    return chance * min(_PAUSE_MAX_S, 0.0005 * 2.0 ** min(attempt - _PATIENT_ATTEMPTS, 8))


def never_converged(key: str, attempts: int) -> errors.NeverConverged:
    """Return the error of an update that was overtaken each time."""
    return errors.NeverConverged(
        f"Expected to update {key!r} within {attempts} attempts, got another write before each",
        field="key",
        value=key[:80],
        hint="use `increment`, a lock, or more attempts",
    )
