"""Writes of the store: ``kv.write``, all of its steps or none.

Nothing touches the tables here: a draft is made, and what it means is recorded. A refusal that is
raised leaves neither; so a write needs no savepoint (``ChangeKind.is_staged``).
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from hourbook.book.changes.locks import token_in_force
from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.journal import Row
from hourbook.book.store.branch_rows import BranchRows
from hourbook.book.store.decide import DELETE, NOTHING, decide
from hourbook.book.store.json_schema import check_value
from hourbook.book.store.key_files import find_due
from hourbook.book.store.leases import require_token
from hourbook.book.store.rows import (
    KV_DELETE,
    KV_EXPIRE,
    KV_SET,
    KvDetails,
    decode_details,
    encode_details,
    entity_of,
    row_of_details,
)
from hourbook.book.store.stage import KeyRows, KvStage, Name
from hourbook.book.store.volatile import VolatileStage
from protocols import entry, errors
from protocols.book_messages import NewEntry
from protocols.change import check_change
from protocols.kv_keys import check_key, check_metadata_size, check_value_size, value_too_large
from protocols.kv_messages import (
    ABSENT,
    NO_METADATA,
    OPS_MAX,
    VOLATILE,
    Check,
    Delete,
    Increment,
    KvWrite,
    KvWritten,
    Op,
    Set,
    Sweep,
    Swept,
)
from protocols.kv_namespaces import defaults_of
from protocols.names import check_sent_name

__all__ = ["KV_WRITE", "SWEEP", "ScreenedWrite"]

_KIND: Final = 8
_ENTITY: Final = 10
_DETAILS: Final = 13
_decode = msgspec.msgpack.Decoder().decode


class ScreenedWrite(KvWrite, frozen=True, kw_only=True, omit_defaults=True):
    """A write of which some values were changed.

    Attributes:
        redacted: of which steps, from 0 on.
    """

    redacted: tuple[Annotated[int, msgspec.Meta(ge=0, le=OPS_MAX)], ...] = ()


# -- before it is queued ---------------------------------------------------------------------------


def _check(change: KvWrite) -> None:
    check_change(change)
    check_sent_name(change.ns, "ns")
    count = len(change.ops)
    if not 1 <= count <= OPS_MAX:
        raise errors.LimitExceeded(
            f"Expected 1..{OPS_MAX} steps in a write, got {count}", field="ops", value=str(count)
        )
    index = 0
    try:
        for index, op in enumerate(change.ops):  # noqa: B007 - says which step was refused
            check_key(op.key)
            if type(op) is Set:
                _check_set(op)
            elif type(op) is Increment and op.by - op.by != 0:  # not finite
                raise errors.BadRequest(f"Expected a finite `by`, got {op.by}", field="by")
    except errors.HourbookError as error:
        error.field = f"ops[{index}].{error.field}"
        raise


def _check_set(op: Set) -> None:
    if len(op.value) > entry.ENTRY_BYTES_MAX:
        raise value_too_large(len(op.value), op.key)
    entry.check_value(op.value, "value")
    if op.metadata != NO_METADATA:
        _check_metadata(op.metadata)
    if op.keep_ttl and op.ttl_ns is not None:
        raise errors.BadRequest(
            "Expected either `keep_ttl` or `ttl_ns`, got both", field="keep_ttl"
        )


def _check_metadata(raw: msgspec.Raw) -> None:
    check_metadata_size(len(raw))
    metadata = entry.decode_value(bytes(raw), "metadata")
    if not isinstance(metadata, dict):
        raise errors.BadRequest(
            f"Expected metadata to be a map, got {type(metadata).__name__}", field="metadata"
        )


# -- in its group ----------------------------------------------------------------------------------


def _apply(change: KvWrite, scope: Scope) -> KvWritten:
    ns, store, now_ns = change.ns, scope.store, scope.stamp.time_ns
    defaults = defaults_of(ns)
    rows = store.rows_of(change, defaults.type)
    scope.is_volatile = rows is store.volatile
    work = _WORK[type(rows)](scope, rows)
    schema = store.schemas[ns]
    versions: list[int] = []
    numbers: list[int | float] = []
    for op in change.ops:
        name = (ns, op.key)
        row = rows.find(name)
        if row is not None and row.expires_ns is not None and row.expires_ns <= now_ns:
            work.expire(name, row.expires_ns)
            row = None
        value = rows.value(name, row) if type(op) is Increment and row is not None else None
        try:
            effect = decide(op, row, value, now_ns, defaults)
            held_type = "" if row is None or effect is NOTHING else row.type
            is_locked = held_type == "locked" or effect.type == "locked"
            if op.token or is_locked:
                in_force = token_in_force(scope.connection, ns, op.key)
                require_token(ns, op.key, op.token, in_force, is_locked=is_locked)
            if schema is not None and type(effect) is KvDetails:
                check_value(schema, ns, op.key, bytes(effect.value))
        except errors.HourbookError as error:
            _place(error, len(versions))
            raise
        if type(effect) is KvDetails:
            if (effect.type in VOLATILE) != scope.is_volatile:
                raise _mixed(op.key, effect.type)
            versions.append(work.put(name, effect))
            if effect.by is not None:
                numbers.append(_decode(effect.value))
        elif effect is DELETE:
            versions.append(work.delete(name))
        else:
            versions.append(ABSENT if row is None else row.version)
            # What a check has found its entries do not tell to a resend.
            scope.keeps_outcome |= type(op) is Check and op.if_version is None
    redacted = change.redacted if type(change) is ScreenedWrite else ()
    return KvWritten(versions, numbers, redacted)


def _place(error: errors.HourbookError, index: int) -> None:
    """Say which step was refused; the path of a SchemaViolation is one in the value."""
    if not isinstance(error, errors.SchemaViolation):
        error.field = f"ops[{index}].{error.field}"


class _Work(msgspec.Struct, frozen=True, gc=False):
    """What the steps of a write do to durable keys: entries, and the rows that follow from them."""

    scope: Scope
    rows: KeyRows

    def expire(self, name: Name, expires_ns: int) -> None:
        """Take away a value whose time has come."""
        details = {"expires_ns": expires_ns}
        seq = self.scope.record(KV_EXPIRE, "expire", entity_of(*name), details)
        self.rows.put(name, None, seq)

    def put(self, name: Name, details: KvDetails) -> int:
        """Let a key hold something; return its version."""
        (ns, key), raw = name, encode_details(details)
        if len(raw) > entry.ENTRY_BYTES_MAX:
            raise value_too_large(len(raw), key)
        action = "set" if details.by is None else "increment"
        new = NewEntry(action, entity_of(ns, key), msgspec.Raw(raw), (), KV_SET)
        seq = self.scope.record_raw(new, self.rows.branch)
        self.rows.put(name, row_of_details(ns, key, seq, details), seq)
        return seq

    def delete(self, name: Name) -> int:
        """Take a key away; return the version of that."""
        deleted = NewEntry("delete", entity_of(*name), kind=KV_DELETE)
        seq = self.scope.record_raw(deleted, self.rows.branch)
        self.rows.put(name, None, seq)
        return seq


class _BranchWork(_Work, frozen=True, gc=False):
    """The same on a branch, which nobody sweeps: what is over there is absent, and no more."""

    def expire(self, name: Name, expires_ns: int) -> None:  # noqa: ARG002 - nobody is told
        """Take away a value whose time has come."""
        self.rows.hold(name, None)

    def put(self, name: Name, details: KvDetails) -> int:
        """Let a key hold something; return its version.

        Raises:
            BadRequest: a type that no branch has.
        """
        if details.type == "locked":
            raise errors.BadRequest(
                f"Expected a type that needs no lock, got locked, on a branch, of key {name[1]!r}",
                field="type",
            )
        return super().put(name, details)


class _VolatileWork(_Work, frozen=True, gc=False):
    """The same for volatile keys, without entries."""

    def expire(self, name: Name, expires_ns: int) -> None:  # noqa: ARG002 - nobody is told
        """Take away a value whose time has come."""
        self.rows.hold(name, None)

    def put(self, name: Name, details: KvDetails) -> int:
        """Let a key hold something; return its version."""
        version = self._next_version()
        row = row_of_details(*name, version, details)
        check_value_size(len(details.value) + len(row.metadata or b""), name[1])
        self.rows.hold(name, row)
        return version

    def delete(self, name: Name) -> int:
        """Take a key away; return the version of that."""
        version = self._next_version()
        self.rows.hold(name, None)
        return version

    def _next_version(self) -> int:
        stage = self.scope.store.require_volatile()
        return stage.next_version(self.scope.stamp.time_ns)


_WORK: Final[Mapping[type[KeyRows], type[_Work]]] = {
    KvStage: _Work,
    BranchRows: _BranchWork,
    VolatileStage: _VolatileWork,
}


def _mixed(key: str, type_: str) -> errors.MixedDurability:
    return errors.MixedDurability(
        f"Expected a key to stay in one file, got type {type_} for what was deleted from the other"
        f" in the same write, of key {key!r}",
        field="type",
        value=type_,
    )


# -- again -----------------------------------------------------------------------------------------


def _replay(change: KvWrite, rows: list[Row]) -> KvWritten:
    """Return the answer that a write was given, from the entries that it recorded.

    Raises:
        BadRequest: they are not what such a write records: its nonce was used for something else.
        NonceExpired: a sum was redacted since.
    """
    found = iter([row for row in rows if row[_KIND] != KV_EXPIRE])
    row = next(found, None)
    seen: dict[str, int] = {}
    redacted = change.redacted if type(change) is ScreenedWrite else ()
    written = KvWritten([], [], redacted)
    for op in change.ops:
        if row is not None and _is_of(row, op, change.ns):
            version = int(row[0])
            if type(op) is Increment:
                written.numbers.append(_number_of(change, row))
            row = next(found, None)
        elif type(op) is Check:
            version = seen.get(op.key, op.if_version or ABSENT)
        elif type(op) is Delete:
            version = ABSENT
        else:
            raise _reused(change)
        seen[op.key] = ABSENT if type(op) is Delete else version
        written.versions.append(version)
    if row is not None:
        raise _reused(change)
    return written


def _is_of(row: Row, op: Op, ns: str) -> bool:
    """Return whether a step has recorded an entry."""
    if row[_ENTITY] != entity_of(ns, op.key):
        return False
    if type(op) is Delete:
        return bool(row[_KIND] == KV_DELETE)
    if row[_KIND] != KV_SET:
        return False
    if row[_DETAILS] is None:
        return type(op) is not Check
    details = decode_details(row[_DETAILS])
    if isinstance(op, Increment):
        return details.by == op.by
    return isinstance(op, Set) and details.by is None and details.value == op.value


def _number_of(change: KvWrite, row: Row) -> int | float:
    if row[_DETAILS] is None:
        raise errors.NonceExpired(
            "Expected a nonce whose answer is known, got one whose sum was dropped since",
            field="nonce",
            value=change.nonce.hex(),
        )
    number: int | float = _decode(decode_details(row[_DETAILS]).value)
    return number


def _reused(change: KvWrite) -> errors.BadRequest:
    return errors.BadRequest(
        f"Expected a nonce of its own for each request, got one that {change.writer}"
        " used for another change",
        field="nonce",
        value=change.nonce.hex(),
    )


# -- what is over ----------------------------------------------------------------------------------


def _sweep(_: Sweep, scope: Scope) -> Swept:
    """Take away every durable value whose time has come: once for each key."""
    work = _Work(scope, scope.store.main)
    due = find_due(scope.connection, scope.stamp.time_ns)
    for name, expires_ns in due:
        work.expire(name, expires_ns)
    return Swept(len(due))


SWEEP: Final = ChangeKind("kv.sweep", Sweep, check_change, _sweep)
KV_WRITE: Final = ChangeKind("kv.write", KvWrite, _check, _apply, _replay, is_staged=True)
