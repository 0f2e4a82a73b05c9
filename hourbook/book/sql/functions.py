"""The SQL functions that the stable views use: what is kept as MessagePack, as JSON text.

They are given to one connection, and only the views may call them (``query_guard``). What they
return is the JSON of ``hourbook.book.render``, as everywhere else: bytes as ``{"base64": ...}``,
integers above 2^53 as decimal strings.
"""

import re
import sqlite3
from typing import Any, Final

import msgspec

from hourbook.book.archive.detached_lookup import DetachedLookup
from hourbook.book.render import json_value
from hourbook.book.rows import commit_from_row
from protocols import entry, errors

__all__ = ["FUNCTION_PREFIX", "add_functions"]

FUNCTION_PREFIX: Final = "hourbook_"

_decode_texts = msgspec.msgpack.Decoder(list[str]).decode
_decode_blobs = msgspec.msgpack.Decoder(list[bytes]).decode
_PECULIAR: Final = re.compile(rb"[\xc4-\xcb\xcf\xd3-\xd8]")
"""First bytes of binaries, extensions, floats and 64-bit integers. Where none stands anywhere, not
even inside a text, the value is its own JSON: found out in a tenth of the time."""
_encode_json = msgspec.json.Encoder().encode


def add_functions(connection: sqlite3.Connection, lookup: DetachedLookup | None = None) -> None:
    """Give a connection the functions that ``views.VIEWS`` call.

    Args:
        connection: to read with.
        lookup: finds details that are not in the database any more; None: nobody asks for them.
    """

    def details_text(seq: int | None, raw: bytes | None) -> str | None:
        """Return the details of entry `seq`, archived ones too; None where they were dropped."""
        if raw is None and seq is not None and lookup is not None:
            raw = lookup.details(seq)
        return None if raw is None else _details_text(raw)

    def missing_text(seq: int) -> str | None:
        """Return why entry `seq` has no details any more; None where it has."""
        missing = None if lookup is None else lookup.missing(seq)
        return None if missing is None else _json(msgspec.structs.asdict(missing))

    def kv_part(seq: int, raw: bytes | None, name: str) -> str | int | None:
        """Return a part of what the entry `seq` says of a key; None where it says nothing."""
        if raw is None and lookup is not None:
            raw = lookup.details(seq)
        return None if raw is None else _kv_part(raw, name)

    def kv_kept(first_seq: int, at_seq: int) -> int:
        """Return 1 where what all keys held at `at_seq` is still known."""
        if first_seq <= at_seq:
            return 1
        error = errors.Compacted(
            f"Expected what the store held at seq {at_seq}, of which the past is kept from seq"
            f" {first_seq} on",
            field="at",
            value=str(first_seq),
        )
        if lookup is not None:
            lookup.failure = error
        raise error

    for name, arguments, function in (
        ("details", 2, details_text),
        ("kv", 3, kv_part),
        ("kv_kept", 2, kv_kept),
        ("missing", 1, missing_text),
        ("tags", 1, _tags_text),
        ("parents", 1, _parents_text),
        ("commit_id", 9, _commit_id),
    ):
        connection.create_function(
            f"{FUNCTION_PREFIX}{name}", arguments, function, deterministic=True
        )


def _details_text(raw: bytes) -> str:
    value = entry.decode_value(raw, "details")
    if _PECULIAR.search(raw) is None:
        return _encode_json(value).decode()
    return _json(value)


def _kv_part(raw: bytes, name: str) -> str | int | None:
    said = entry.decode_value(raw, "details")
    if not isinstance(said, dict) or "value" not in said:
        return None
    if name == "type":
        return str(said.get("type", "persistent"))
    if name == "expires_ns":
        expires_ns: int | None = said.get("expires_ns")
        return expires_ns
    return _json(said[name]) if name in said else None


def _tags_text(raw: bytes) -> str:
    return _json(_decode_texts(raw))


def _parents_text(raw: bytes) -> str:
    return _json([parent.hex() for parent in _decode_blobs(raw)])


def _commit_id(*row: Any) -> str:  # noqa: ANN401 - a row
    commit = commit_from_row(row)
    return entry.commit_id(entry.commit_header(commit), commit.signature).hex()


def _json(value: object) -> str:
    return _encode_json(json_value(value)).decode()
