"""From what a caller says to the steps of a write, checked while the caller still listens. Pure."""

import math
from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec

from protocols import entry, errors
from protocols.kv_keys import check_key, check_metadata_size, value_too_large
from protocols.kv_messages import NO_METADATA, Check, Delete, Increment, Set, ValueType
from protocols.wire import printable

__all__ = [
    "TTL_S_MAX",
    "check_count",
    "check_step",
    "delete_step",
    "increment_step",
    "set_step",
]

TTL_S_MAX: Final = 9_000_000_000
"""285 years."""
_NS: Final = 1_000_000_000
_I64: Final = 1 << 63
_NO_TOKEN: Final = 0
"""The default; what only equals it, as False does, is looked at."""
_TYPES: Final = get_args(ValueType)


def set_step(
    key: str,
    value: object,
    *,
    ttl_s: float | None = None,
    keep_ttl: bool = False,
    type: ValueType = "",  # noqa: A002 - as the store calls it
    if_version: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    token: int = 0,
) -> Set:
    """Return the step that gives a key a value; see ``Store.set``."""
    check_key(key)
    raw = entry.encode_value(value, "value")
    if len(raw) > entry.ENTRY_BYTES_MAX:
        raise value_too_large(len(raw), key)
    entry.check_value(raw, "value")
    if keep_ttl and ttl_s is not None:
        raise errors.BadRequest("Expected either `keep_ttl` or `ttl_s`, got both", field="keep_ttl")
    if type not in _TYPES:
        raise _no_type(type)
    return Set(
        key=key,
        value=msgspec.Raw(raw),
        type=type,
        ttl_ns=None if ttl_s is None else _ttl_ns(ttl_s),
        keep_ttl=bool(keep_ttl),
        if_version=None if if_version is None else _natural(if_version, "if_version"),
        metadata=NO_METADATA if metadata is None else _metadata(metadata),
        token=token if token is _NO_TOKEN else _natural(token, "token"),
    )


def delete_step(key: str, *, if_version: int | None = None, token: int = 0) -> Delete:
    """Return the step that takes a key away; see ``Store.delete``."""
    check_key(key)
    return Delete(
        key=key,
        if_version=None if if_version is None else _natural(if_version, "if_version"),
        token=_natural(token, "token"),
    )


def increment_step(
    key: str,
    by: object = 1,
    *,
    ttl_s: float | None = None,
    type: ValueType = "",  # noqa: A002 - as the store calls it
    if_version: int | None = None,
    token: int = 0,
) -> Increment:
    """Return the step that adds to a number; see ``Store.increment``."""
    check_key(key)
    if isinstance(by, bool) or not isinstance(by, int | float) or not _is_carried(by):
        raise errors.BadRequest(
            f"Expected `by` as a 64-bit integer or a finite float, got {_shown(by)}",
            field="by",
            value=_shown(by),
        )
    if type not in _TYPES:
        raise _no_type(type)
    return Increment(
        key=key,
        by=by,
        type=type,
        ttl_ns=None if ttl_s is None else _ttl_ns(ttl_s),
        if_version=None if if_version is None else _natural(if_version, "if_version"),
        token=_natural(token, "token"),
    )


def check_count(number: object, field: str) -> int:
    """Return a number that is 1 or more.

    Raises:
        BadRequest: it is none.
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise errors.BadRequest(
            f"Expected `{field}` as an integer >= 1, got {_shown(number)}",
            field=field,
            value=_shown(number),
        )
    return number


def check_step(key: str, if_version: int | None = None, token: int = 0) -> Check:
    """Return the step that only requires what it says."""
    check_key(key)
    return Check(
        key=key,
        if_version=None if if_version is None else _natural(if_version, "if_version"),
        token=_natural(token, "token"),
    )


def _is_carried(by: float) -> bool:
    return -_I64 <= by < _I64 if isinstance(by, int) else math.isfinite(by)


def _ttl_ns(ttl_s: object) -> int:
    if not isinstance(ttl_s, int | float) or isinstance(ttl_s, bool) or not 0 < ttl_s <= TTL_S_MAX:
        raise errors.BadRequest(
            f"Expected `ttl_s` above 0, up to {TTL_S_MAX}, got {_shown(ttl_s)}",
            field="ttl_s",
            value=_shown(ttl_s),
        )
    return max(1, round(ttl_s * _NS))


def _shown(value: object) -> str:
    try:
        return printable(repr(value))
    except ValueError:  # thousands of digits
        return f"an endless {type(value).__name__}"


def _no_type(name: object) -> errors.BadRequest:
    known = ", ".join(known for known in _TYPES if known)
    return errors.BadRequest(
        f"Expected `type` among {known}, got {_shown(name)}", field="type", value=_shown(name)
    )


def _natural(number: object, field: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < _I64:
        raise errors.BadRequest(
            f"Expected `{field}` in 0..2^63-1, got {_shown(number)}",
            field=field,
            value=_shown(number),
        )
    return number


def _metadata(metadata: object) -> msgspec.Raw:
    if not isinstance(metadata, Mapping):
        raise errors.BadRequest(
            f"Expected `metadata` to be a map, got {type(metadata).__name__}", field="metadata"
        )
    raw = entry.encode_value(dict(metadata), "metadata")
    check_metadata_size(len(raw))
    return msgspec.Raw(raw)
