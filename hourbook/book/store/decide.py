"""What one step of a write does to its key. Pure: (step, what is there, now) -> effect, or refusal.

An effect is what the key holds from now on, or that it holds nothing any more, or that all stays.

A value whose time has come is not there any more, whether or not anybody has swept it: the caller
takes it away first and passes None.
"""

import math
from typing import Final, NamedTuple, TypeAlias

import msgspec

from hourbook.book.store.rows import KvDetails, KvRow, decode_stored
from protocols import errors
from protocols.kv_messages import (
    ABSENT,
    NO_METADATA,
    VOLATILE,
    Check,
    Delete,
    Increment,
    Op,
    Set,
)
from protocols.kv_namespaces import Namespace

__all__ = ["DELETE", "NOTHING", "Effect", "decide", "is_expired", "require_version"]

_I64_MIN: Final = -(1 << 63)
_I64_MAX: Final = (1 << 63) - 1
_encode = msgspec.msgpack.Encoder().encode


class _Plain(NamedTuple):
    word: str
    type: str = ""


DELETE: Final = _Plain("delete")
"""The key is not there any more."""
NOTHING: Final = _Plain("nothing")
"""All is as it was."""
Effect: TypeAlias = KvDetails | _Plain


def is_expired(row: KvRow, now_ns: int) -> bool:
    """Return whether the time of a value has come (UTC)."""
    return row.expires_ns is not None and row.expires_ns <= now_ns


def decide(
    op: Op, row: KvRow | None, value: bytes | None, now_ns: int, defaults: Namespace
) -> Effect:
    """Return what a step does to its key.

    Args:
        op: the step, checked.
        row: what the key holds; None: it is not there.
        value: of an increment whose key is there: its MessagePack value; None: it was redacted.
        now_ns: UTC.
        defaults: of the namespace.

    Raises:
        VersionConflict: the key has another version than the step rests on.
        MixedDurability: the key would have to move to the other file.
        BadRequest, LimitExceeded, Redacted, BookCorrupt: it cannot be added to.
    """
    if op.if_version is not None:
        require_version(op, row)
    if type(op) is Set:
        return _put(op, row, now_ns, defaults)
    if type(op) is Delete:
        return NOTHING if row is None else DELETE
    if type(op) is Increment:
        return _add(op, row, value, now_ns, defaults)
    assert type(op) is Check
    return NOTHING


def require_version(op: Op, row: KvRow | None) -> None:
    """Check that a key has the version that a step rests on.

    Raises:
        VersionConflict: it has not; `value` is the one that it has.
    """
    version = ABSENT if row is None else row.version
    if op.if_version != version:
        expected = f"version {op.if_version}" if op.if_version else "no value yet"
        got = f"version {version}" if version else "none"
        raise errors.VersionConflict(
            f"Expected {expected} of key {op.key!r}, got {got}",
            field="if_version",
            value=str(version),
        )


def _put(op: Set, row: KvRow | None, now_ns: int, defaults: Namespace) -> KvDetails:
    created, type_, expires_ns = 0, op.type or defaults.type, None
    if row is not None:
        created, type_ = row.created, op.type or row.type
        if (type_ in VOLATILE) != (row.type in VOLATILE):
            raise errors.MixedDurability(
                f"Expected a type that lies in one file with {row.type}, got {type_},"
                f" of key {op.key!r}",
                field="type",
                value=type_,
                hint="delete it first",
            )
        if op.keep_ttl:
            expires_ns = row.expires_ns
    if not op.keep_ttl and (op.ttl_ns or defaults.ttl_ns):
        expires_ns = _expiry(op.ttl_ns, now_ns, defaults)
    # Nil that was said is nil that was not: what is usual is left out.
    metadata = NO_METADATA if op.metadata == NO_METADATA else op.metadata
    return KvDetails(op.value, type_, expires_ns, metadata, created)


def _add(
    op: Increment, row: KvRow | None, value: bytes | None, now_ns: int, defaults: Namespace
) -> KvDetails:
    if row is None:
        expires_ns = _expiry(op.ttl_ns, now_ns, defaults)
        return KvDetails(_sum(op, 0), op.type or defaults.type, expires_ns, by=op.by)
    if value is None:
        raise errors.Redacted(
            f"Expected a number to add to, of key {op.key!r}, whose value was redacted",
            field="key",
            value=op.key,
        )
    number = _sum(op, decode_stored(value, op.key))
    metadata = NO_METADATA if row.metadata is None else msgspec.Raw(row.metadata)
    return KvDetails(number, row.type, row.expires_ns, metadata, row.created, op.by)


def _sum(op: Increment, number: object) -> msgspec.Raw:
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise errors.BadRequest(
            f"Expected a number to add to, got {type(number).__name__}, of key {op.key!r}",
            field="key",
            value=op.key,
        )
    total = number + op.by
    is_kept = _I64_MIN <= total <= _I64_MAX if isinstance(total, int) else math.isfinite(total)
    if not is_kept:
        raise errors.LimitExceeded(
            f"Expected a sum in 64 bits, got {total}, of key {op.key!r}", field="by"
        )
    return msgspec.Raw(_encode(total))


def _expiry(ttl_ns: int | None, now_ns: int, defaults: Namespace) -> int | None:
    lasting_ns = defaults.ttl_ns if ttl_ns is None else ttl_ns
    return None if lasting_ns is None else min(now_ns + lasting_ns, _I64_MAX)
