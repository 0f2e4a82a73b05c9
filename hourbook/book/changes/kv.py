"""Writes of the store: ``kv.write``, all of its steps or none.

Nothing touches the tables here: a draft is made, and what it means is recorded. A refusal that is
raised leaves neither; so a write needs no savepoint (``ChangeKind.is_staged``).
"""

from typing import Final

import msgspec

from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.journal import Row
from hourbook.book.store.decide import DELETE, Put, decide, is_expired
from hourbook.book.store.rows import (
    KV_DELETE,
    KV_EXPIRE,
    KV_SET,
    KvDetails,
    KvRow,
    decode_details,
    encode_details,
    entity_of,
    row_of_details,
)
from hourbook.book.store.stage import Draft, Name
from protocols import entry, errors
from protocols.book_messages import NewEntry
from protocols.change import check_change
from protocols.kv_keys import check_key, check_namespace
from protocols.kv_messages import (
    ABSENT,
    OPS_MAX,
    Check,
    Delete,
    Increment,
    KvWrite,
    KvWritten,
    Op,
    Set,
)
from protocols.kv_namespaces import defaults_of

__all__ = ["KV_WRITE", "METADATA_BYTES_MAX"]

METADATA_BYTES_MAX: Final = 64 << 10
_DELETED: Final = NewEntry("delete", "", kind=KV_DELETE)
_KIND: Final = 8
_ENTITY: Final = 10
_DETAILS: Final = 13
_decode = msgspec.msgpack.Decoder().decode


# -- before it is queued ---------------------------------------------------------------------------


def _check(change: KvWrite) -> None:
    check_change(change)
    check_namespace(change.ns, "ns")
    count = len(change.ops)
    if not 1 <= count <= OPS_MAX:
        raise errors.LimitExceeded(
            f"Expected 1..{OPS_MAX} steps in a write, got {count}", field="ops", value=str(count)
        )
    for index, op in enumerate(change.ops):
        try:
            _check_op(op)
        except errors.HourbookError as error:
            error.field = f"ops[{index}].{error.field}"
            raise


def _check_op(op: Op) -> None:
    check_key(op.key)
    if isinstance(op, Set):
        if len(op.value) > entry.ENTRY_BYTES_MAX:
            raise errors.LimitExceeded(
                f"Expected a value of at most {entry.ENTRY_BYTES_MAX} bytes (16 MiB), with all"
                f" that is said of it, got {len(op.value)}, of key {op.key!r}",
                field="value",
                value=str(len(op.value)),
            )
        entry.decode_value(bytes(op.value), "value")
        if op.metadata is not None:
            _check_metadata(op.metadata)
        if op.keep_ttl and op.ttl_ns is not None:
            raise errors.BadRequest(
                "Expected either `keep_ttl` or `ttl_ns`, got both", field="keep_ttl"
            )
    elif isinstance(op, Increment) and op.by - op.by != 0:  # not finite
        raise errors.BadRequest(f"Expected a finite `by`, got {op.by}", field="by")


def _check_metadata(raw: msgspec.Raw) -> None:
    size = len(raw)
    if size > METADATA_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected metadata of at most {METADATA_BYTES_MAX} bytes, got {size}",
            field="metadata",
            value=str(size),
        )
    metadata = entry.decode_value(bytes(raw), "metadata")
    if not isinstance(metadata, dict):
        raise errors.BadRequest(
            f"Expected metadata to be a map, got {type(metadata).__name__}", field="metadata"
        )


# -- in its group ----------------------------------------------------------------------------------


def _apply(change: KvWrite, scope: Scope) -> KvWritten:
    draft = scope.store.draft()
    versions: list[int] = []
    numbers: list[int | float] = []
    defaults, now_ns = defaults_of(change.ns), scope.stamp.time_ns
    for index, op in enumerate(change.ops):
        name = (change.ns, op.key)
        row = _living(draft, name, scope)
        value = None
        if row is not None and type(op) is Increment:
            value = draft.value(name, row)
        try:
            effect = decide(op, row, value, now_ns, defaults)
        except errors.HourbookError as error:
            error.field = f"ops[{index}].{error.field}"
            raise
        if isinstance(effect, Put):
            versions.append(_record_put(draft, name, effect, scope))
            if effect.by is not None:
                numbers.append(effect.number)
        elif effect is DELETE:
            deleted = msgspec.structs.replace(_DELETED, entity=entity_of(*name))
            seq = scope.record_raw(deleted)
            draft.put(name, None, seq)
            versions.append(seq)
        else:
            versions.append(ABSENT if row is None else row.version)
            # What a check has found its entries do not tell to a resend.
            scope.keeps_outcome |= type(op) is Check and op.if_version is None
    scope.store.merge(draft)
    return KvWritten(versions, numbers)


def _living(draft: Draft, name: Name, scope: Scope) -> KvRow | None:
    """Return what a key holds; a value whose time has come is taken away first."""
    row = draft.find(name)
    if row is None or row.expires_ns is None or not is_expired(row, scope.stamp.time_ns):
        return row
    details = {"expires_ns": row.expires_ns}
    seq = scope.record(KV_EXPIRE, "expire", entity_of(*name), details)
    draft.put(name, None, seq)
    return None


def _record_put(draft: Draft, name: Name, put: Put, scope: Scope) -> int:
    """Record what a key holds from now on; return the seq."""
    details = KvDetails(
        msgspec.Raw(put.value),
        put.type,
        put.expires_ns,
        None if put.metadata is None else msgspec.Raw(put.metadata),
        put.created,
        put.by,
    )
    raw = encode_details(details)
    if len(raw) > entry.ENTRY_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected a value of at most {entry.ENTRY_BYTES_MAX} bytes (16 MiB), with all that is"
            f" said of it, got {len(raw)}, of key {name[1]!r}",
            field="value",
            value=str(len(raw)),
        )
    action = "set" if put.by is None else "increment"
    seq = scope.record_raw(NewEntry(action, entity_of(*name), msgspec.Raw(raw), (), KV_SET))
    draft.put(name, row_of_details(*name, seq, details), seq)
    return seq


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
    written = KvWritten([], [])
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
        seen[op.key] = version
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


KV_WRITE: Final = ChangeKind("kv.write", KvWrite, _check, _apply, _replay, is_staged=True)
