"""What a ``shared-memory.json`` of other programs holds, as keys of the store. Pure.

Such files come in three shapes, which may be mixed: entries by name, entries by namespace and name,
and a list of entries (also under ``entries``, ``data`` or ``memory``). An entry is a map with
`value`, and some of `key`, `namespace`, `dataType`, `ttl` (ms), `expiresAt`, `metadata`, `agentId`
and time stamps (ms since 1970, or RFC 3339). Nothing is dropped: fields without a meaning here are
kept in the metadata of their key, and what is no entry at all in namespace ``imported``. Where a
name is given twice the last one counts, as in JavaScript, and the others are kept there too.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

import msgspec

from hourbook.rfc3339 import parse_utc_ns
from protocols import entry, errors, wire
from protocols.kv_keys import check_key, check_namespace
from protocols.kv_messages import ValueType

__all__ = ["KEPT_NAMESPACE", "ForeignKey", "read_shared_memory"]

KEPT_NAMESPACE: Final = "imported"
"""Where is kept what could not be understood."""
USUAL_NAMESPACE: Final = "default"
METADATA_BYTES_MAX: Final = 60 << 10
"""What the store takes, less what we add."""
PATH_BYTES_MAX: Final = 900
"""A key has 1024, and the path is followed by the beginning of a digest."""
_CONTAINERS: Final = ("entries", "data", "memory")
_BEGINNINGS: Final = ("updatedAt", "timestamp", "createdAt")
_MARKS: Final = frozenset(
    ("key", "namespace", "dataType", "ttl", "expiresAt", "metadata", "agentId", *_BEGINNINGS)
)
"""Fields that tell an entry from a value that happens to have a field `value`."""
_MS_NS: Final = 1_000_000
_TTL_MS_MAX: Final = 9e12
_TTL_NS_MAX: Final = 9_000_000_000 * 1_000_000_000
"""285 years: what the store takes."""
_AROUND: Final = b"\x91" * (wire.DEPTH_MAX - wire.VALUE_DEPTH_MAX)
"""As deep as a value lies in the request that sets it."""
_TYPES: Final = frozenset(get_args(ValueType)) - {""}


class ForeignKey(msgspec.Struct, frozen=True):
    """One key to be.

    Attributes:
        path: where in the file it stood.
        namespace, key, value: as the store takes them.
        type: "" where the file says none, or none that we know.
        ttl_ns: how long it lives from now on; None: as its namespace has it; 0: its time is over.
        metadata: what the file said, and under `import` what had no place.
        digest: of the file's words for it, which tells one import from another.
        problems: what was not understood.
    """

    path: str
    namespace: str
    key: str
    value: Any
    type: ValueType
    ttl_ns: int | None
    metadata: dict[str, Any]
    digest: str
    problems: list[str]

    @property
    def is_understood(self) -> bool:
        """Whether it could be given its own place."""
        return self.namespace != KEPT_NAMESPACE


def read_shared_memory(data: bytes, now_ns: int) -> list[ForeignKey]:
    """Return every key that a file holds, in its order.

    Args:
        data: the file.
        now_ns: UTC, by which times to live are judged.

    Raises:
        BadRequest: it is no JSON, or neither a map nor a list.
    """
    try:
        document = json.loads(data, object_pairs_hook=_map_of)
    except (ValueError, RecursionError) as error:
        raise errors.BadRequest(f"Expected a file of JSON, got: {error}", field="file") from None
    if not isinstance(document, dict | list):
        raise errors.BadRequest(
            f"Expected a map or a list of entries, got {type(document).__name__}", field="file"
        )
    return list(_walk(document, now_ns))


class _Doubled(dict[str, Any]):
    """A map some of whose names were given more than once.

    Attributes:
        earlier: names and values that do not count.
    """

    earlier: list[tuple[str, Any]]


def _map_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled = _Doubled(found)
    last = {name: index for index, (name, _) in enumerate(pairs)}
    doubled.earlier = [pair for index, pair in enumerate(pairs) if last[pair[0]] != index]
    return doubled


def _earlier(said: object, path: str = "") -> Iterator[ForeignKey]:
    for name, value in said.earlier if isinstance(said, _Doubled) else ():
        yield _kept(f"{path}{name}", value, "its name is given again, and the last one counts")


def _walk(document: dict[str, Any] | list[Any], now_ns: int) -> Iterator[ForeignKey]:
    if isinstance(document, list):
        for index, said in enumerate(document):
            yield _entry_or_kept(f"[{index}]", "", "", said, now_ns)
        return
    yield from _earlier(document)
    for name, said in document.items():
        if _is_entry(said):
            yield _entry_or_kept(name, "", name, said, now_ns)
        elif isinstance(said, list) and name in _CONTAINERS:
            for index, each in enumerate(said):
                yield _entry_or_kept(f"{name}[{index}]", "", "", each, now_ns)
        elif isinstance(said, dict) and any(map(_is_entry, said.values())):
            yield from _earlier(said, f"{name}.")
            namespace = "" if name in _CONTAINERS else name
            for key, each in said.items():
                yield _entry_or_kept(f"{name}.{key}", namespace, key, each, now_ns)
        else:
            yield _kept(name, said, "neither an entry nor a map of entries")


def _is_entry(said: object) -> bool:
    return isinstance(said, dict) and "value" in said and not _MARKS.isdisjoint(said)


def _entry_or_kept(path: str, namespace: str, name: str, said: object, now_ns: int) -> ForeignKey:
    if not isinstance(said, dict) or not _is_entry(said):
        return _kept(path, said, "not an entry")
    given = said.get("namespace") or namespace
    key = said.get("key") or name
    if not given and isinstance(key, str) and ":" in key:
        given, _, key = key.partition(":")
    given = given or USUAL_NAMESPACE
    try:
        check_namespace(given)
        check_key(key)
        _size_of(said["value"])
        return _entry(path, given, key, said, now_ns)
    except errors.HourbookError as error:
        return _kept(path, said, error.message)


def _size_of(value: object) -> int:
    """Return the bytes of a value that a request can carry, if it is not too large.

    Raises:
        BadRequest, FrameTooDeep: none can.
    """
    raw = entry.encode_value(value, "value")
    wire.check_frame(_AROUND + raw, len(_AROUND) + len(raw))
    return len(raw)


def _entry(path: str, namespace: str, key: str, said: dict[str, Any], now_ns: int) -> ForeignKey:
    problems: list[str] = []
    left = {name: value for name, value in said.items() if name not in ("value", "key")}
    left.pop("namespace", None)
    metadata: dict[str, Any] = {}
    if isinstance(said.get("metadata"), dict):
        metadata = dict(left.pop("metadata"))
    if isinstance(said.get("agentId"), str):
        metadata.setdefault("agentId", left.pop("agentId"))
    type_: ValueType = ""
    if "dataType" in said:
        if str(said["dataType"]).lower() in _TYPES:
            type_ = str(left.pop("dataType")).lower()  # type: ignore[assignment]
        else:
            problems.append(f"dataType {_shown(said['dataType'])} is none that we know")
    ttl_ns = _ttl_ns(said, now_ns, problems)
    if said.get("compressed"):
        problems.append("its value is compressed, and kept as it is")
    digest = hashlib.sha256(_text_of(said).encode()).hexdigest()
    metadata["import"] = {"digest": digest, **left}
    if isinstance(said, _Doubled):
        problems.append("some of its names are given twice, and the last ones count")
        metadata["import"]["earlier"] = said.earlier
    if _size_of(metadata) > METADATA_BYTES_MAX:
        return _kept(path, said, f"more than {METADATA_BYTES_MAX} bytes beside the value")
    return ForeignKey(
        _named(path), namespace, key, said["value"], type_, ttl_ns, metadata, digest, problems
    )


def _ttl_ns(said: Mapping[str, Any], now_ns: int, problems: list[str]) -> int | None:
    """Return what is left of an entry's time; None: it says nothing of that, 0: it is over."""
    if said.get("expiresAt") is not None:
        expires_ns = _time_ns(said["expiresAt"])
        if expires_ns is None:
            problems.append(f"expiresAt {_shown(said['expiresAt'])} is no time")
            return None
        return min(max(0, expires_ns - now_ns), _TTL_NS_MAX)
    ttl = said.get("ttl")
    if ttl is None or ttl == 0:
        return None
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl < _TTL_MS_MAX:
        problems.append(f"ttl {_shown(ttl)} is no time to live")
        return None
    begin = next((said[name] for name in _BEGINNINGS if said.get(name) is not None), None)
    begin_ns = None if begin is None else _time_ns(begin)
    ends_ns = (now_ns if begin_ns is None else begin_ns) + round(ttl * _MS_NS)
    return min(max(0, ends_ns - now_ns), _TTL_NS_MAX)


def _time_ns(said: object) -> int | None:
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said < 1e13:  # noqa: PLR2004 - year 2286
        return round(said * _MS_NS)
    if isinstance(said, str):
        try:
            return parse_utc_ns(said)
        except ValueError:
            return None
    return None


def _kept(path: str, said: object, problem: str) -> ForeignKey:
    """Return a key that keeps, as text of JSON where need be, what has no place of its own."""
    text = _text_of(said)
    digest = hashlib.sha256(text.encode()).hexdigest()
    path, value = _named(path), said
    try:
        _size_of(said)
    except errors.HourbookError:
        value = text
    key = f"{path} {digest[:12]}" if len(path.encode()) <= PATH_BYTES_MAX else digest
    metadata = {"import": {"digest": digest, "problem": problem[:1000]}}
    return ForeignKey(path, KEPT_NAMESPACE, key, value, "", None, metadata, digest, [problem])


def _named(path: str) -> str:
    """Return a path that can be told, also where a name in it is no text."""
    return path.encode("utf-8", "backslashreplace").decode()


def _shown(said: object) -> str:
    return wire.printable(_text_of(said))


def _text_of(said: object) -> str:
    """Return JSON by which the same words are known again, whatever order they stand in."""
    try:
        return msgspec.json.encode(said, order="sorted").decode()
    except UnicodeEncodeError:  # a lone surrogate, which JavaScript writes too
        return json.dumps(said, sort_keys=True)
