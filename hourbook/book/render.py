"""Entries, commits and values as JSON that every reader can trust. Pure.

The shapes are a contract (``docs/CLI.md``). Integers above 2^53 are decimal strings, since many
readers would round them; an unbounded ``bound_ns`` is null. Bytes become ``{"base64": "..."}``,
not-a-number and infinities their names, keys that are no text the text of their JSON.
"""

import base64
import math
from datetime import datetime
from typing import Any, Final

import msgspec

from hourbook.rfc3339 import format_utc_ns
from protocols.entry import BOUND_UNBOUNDED_NS, Commit, Entry

__all__ = ["commit_json", "entry_json", "json_value"]

_EXACT_MAX: Final = 1 << 53


def entry_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as ``hourbook log --json`` and each line of ``tail --json`` show it."""
    return {
        "seq": _integer(entry.seq),
        "time": format_utc_ns(entry.time_ns),
        "time_ns": str(entry.time_ns),
        "bound_ns": None if entry.bound_ns == BOUND_UNBOUNDED_NS else _integer(entry.bound_ns),
        "hlc": str(entry.hlc),
        "writer": entry.writer,
        "session": entry.session,
        "branch": entry.branch,
        "nonce": entry.nonce.hex(),
        "kind": entry.kind,
        "action": entry.action,
        "entity": entry.entity,
        "details": None if entry.details_raw is None else json_value(entry.details),
        "missing": None if entry.missing is None else msgspec.structs.asdict(entry.missing),
        "tags": list(entry.tags),
        "parent_hash": entry.parent_hash.hex(),
        "hash": entry.hash.hex(),
    }


def commit_json(commit: Commit) -> dict[str, Any]:
    """Return the head of a book as ``hourbook head --json`` shows it."""
    return {
        "seq": _integer(commit.last_seq),
        "hash": commit.head_hash.hex(),
        "commit": _integer(commit.commit_no),
        "signature": commit.signature.hex(),
        "key": commit.key.hex(),
    }


def json_value(value: object) -> Any:  # noqa: ANN401 - JSON; a table
    """Return any MessagePack value as one that JSON carries without loss of digits."""
    match value:
        case int() if not isinstance(value, bool):
            return _integer(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case dict():
            return {_key(key): json_value(item) for key, item in value.items()}
        case list() | tuple():
            return [json_value(item) for item in value]
        case None | bool() | str():
            return value
    return _opaque(value)


def _opaque(value: object) -> dict[str, Any] | str:
    match value:
        case bytes():
            return {"base64": base64.b64encode(value).decode("ascii")}
        case msgspec.msgpack.Ext():
            return {"ext": value.code, "base64": base64.b64encode(value.data).decode("ascii")}
        case datetime():
            return value.isoformat()
    return str(value)


def _integer(number: int) -> int | str:
    return number if -_EXACT_MAX <= number <= _EXACT_MAX else str(number)


def _key(key: object) -> str:
    return key if isinstance(key, str) else msgspec.json.encode(json_value(key)).decode()
