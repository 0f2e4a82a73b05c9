"""What a key holds, as a row of the table `kv` and as the details of the entry that wrote it.

The two say the same: a row can be made anew from its entry at any time, and ``verify`` does. A
value is kept as it was received, never encoded anew; in a row it may be compressed.

Details of ``kv.set`` are a MessagePack map: `value`, and where they say more than the usual `type`
("persistent"), `expires_ns`, `metadata`, `created` (seq of the entry that made the key, 0: this
one) and `by` (of an increment). Those of ``kv.expire`` have `expires_ns`; of ``kv.delete`` none.
"""

import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from hourbook.book.packed_rows import insertion
from protocols import errors
from protocols.entry import ENTRY_BYTES_MAX
from protocols.kv_messages import NO_METADATA

__all__ = [
    "BUCKETS",
    "COMPRESS_BYTES_MIN",
    "DELETE_ROW",
    "FIND_HEAD",
    "FIND_ID",
    "FIND_LAST",
    "FIND_ROW",
    "FIND_VALUE",
    "INSERT_LOG",
    "KEY_OF_ENTITY",
    "KV_COLUMNS",
    "KV_DELETE",
    "KV_EXPIRE",
    "KV_SCHEMA",
    "KV_SET",
    "LAST_ID",
    "NS_OF_ENTITY",
    "PUT_ROW",
    "UNREADABLE",
    "KvDetails",
    "KvRow",
    "buckets_of",
    "corrupt_value",
    "decode_details",
    "decode_stored",
    "encode_details",
    "entity_of",
    "row_of_details",
    "split_entity",
    "unpack_value",
]

KV_SET: Final = "kv.set"
KV_DELETE: Final = "kv.delete"
KV_EXPIRE: Final = "kv.expire"
KV_SCHEMA: Final = "kv.schema"

KV_COLUMNS: Final = "ns, key, version, created, type, expires_ns, encoding, value, metadata"
FIND_ROW: Final = f"SELECT {KV_COLUMNS} FROM kv WHERE ns = ? AND key = ?"  # noqa: S608 - constants
FIND_HEAD: Final = (
    "SELECT id, version, created, type, expires_ns, metadata FROM kv WHERE ns = ? AND key = ?"
)
FIND_ID: Final = "SELECT id FROM kv WHERE ns = ? AND key = ?"
LAST_ID: Final = "SELECT coalesce(max(id), 0) FROM kv"
FIND_VALUE: Final = "SELECT encoding, value FROM kv WHERE ns = ? AND key = ?"
PUT_ROW: Final = insertion(
    "kv",
    f"id, {KV_COLUMNS}",
    "ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in KV_COLUMNS.split(", ")[2:]),
)
"""Takes an id (None: the next), which is half as dear to find as a name, and a KvRow's fields."""
DELETE_ROW: Final = "DELETE FROM kv WHERE ns = ? AND key = ?"
FIND_LAST: Final = (
    "SELECT max(seq) FROM kv_log WHERE branch = ? AND ns = ? AND key = ? AND seq <= ?"
)
"""The last entry about a key up to a seq."""
INSERT_LOG: Final = insertion("kv_log", "branch, ns, key, seq")
NS_OF_ENTITY: Final = "substr(entity, 1, instr(entity, '/') - 1)"
"""SQL: what :func:`split_entity` does."""
KEY_OF_ENTITY: Final = "CAST(substr(CAST(entity AS BLOB), instr(entity, '/') + 1) AS TEXT)"
"""As bytes, since ``substr`` takes a null character for the end of a text."""

PLAIN: Final = 0
"""`encoding` of a value that is MessagePack as received."""
ZSTD: Final = 1
"""`encoding` of the same, compressed."""
COMPRESS_BYTES_MIN: Final = 1 << 10
"""Smaller values are not worth the time."""
_WORTH_IT: Final = 0.9
_LEVEL: Final = 3
BUCKETS: Final = 4096
"""Counters of the segment's generation table."""


class KvRow(msgspec.Struct, frozen=True, gc=False):
    """What a key holds, in the order of KV_COLUMNS.

    Attributes:
        ns, key: its name.
        version: seq of the entry that wrote it; of a volatile key, the hybrid time of the write.
        created: version of the write that made it.
        type: one of ``kv_messages.ValueType``, never "".
        expires_ns: UTC from which on it is absent (> 0); None: never.
        encoding: of `value`.
        value: see :func:`unpack_value`; None: redacted.
        metadata: a MessagePack map; None: none.
    """

    ns: str
    key: str
    version: int
    created: int
    type: str
    expires_ns: int | None
    encoding: int
    value: bytes | None
    metadata: bytes | None


class KvDetails(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The details of ``kv.set`` (see the module)."""

    value: msgspec.Raw
    type: str = "persistent"
    expires_ns: int | None = None
    metadata: msgspec.Raw = NO_METADATA
    created: int = 0
    by: int | float | None = None


UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises of a value that is none."""
encode_details: Final[Callable[[KvDetails], bytes]] = msgspec.msgpack.Encoder().encode
"""Returns what the entry says; `value` and `metadata` go in as they are."""
_decode = msgspec.msgpack.Decoder().decode
_decode_details = msgspec.msgpack.Decoder(KvDetails).decode
_crc32 = zlib.crc32


def decode_details(raw: bytes) -> KvDetails:
    """Return what an entry of kind ``kv.set`` says.

    Raises:
        msgspec.MsgspecError: it is not what such an entry says.
    """
    return _decode_details(raw)


def row_of_details(ns: str, key: str, seq: int, details: KvDetails) -> KvRow:
    """Return the row that the entry `seq` of a key means."""
    encoding, value = PLAIN, bytes(details.value)
    if len(value) >= COMPRESS_BYTES_MIN:
        encoding, value = _pack_value(value)
    metadata = None if details.metadata == NO_METADATA else bytes(details.metadata)
    return KvRow(
        ns,
        key,
        seq,
        details.created or seq,
        details.type,
        details.expires_ns,
        encoding,
        value,
        metadata,
    )


def _pack_value(raw: bytes) -> tuple[int, bytes]:
    """Return (encoding, bytes to keep) of a value: compressed where that saves a tenth."""
    import zstandard  # noqa: PLC0415 - small values never need it

    packed = zstandard.ZstdCompressor(level=_LEVEL).compress(raw)
    return (ZSTD, packed) if len(packed) < len(raw) * _WORTH_IT else (PLAIN, raw)


def unpack_value(encoding: int, value: bytes, key: str) -> bytes:
    """Return the MessagePack value that a row keeps.

    Raises:
        BookCorrupt: it is not what was kept there.
    """
    if encoding == PLAIN:
        return value
    import zstandard  # noqa: PLC0415 - small values never need it

    try:
        if encoding == ZSTD and zstandard.frame_content_size(value) <= ENTRY_BYTES_MAX:
            return zstandard.ZstdDecompressor().decompress(value)
    except zstandard.ZstdError as error:
        raise corrupt_value(key, error) from None
    raise corrupt_value(key, f"encoding {encoding}, or more than was ever written")


def decode_stored(raw: bytes, key: str) -> Any:  # noqa: ANN401 - any MessagePack value
    """Return a value, or metadata, that was unpacked.

    Raises:
        BookCorrupt: it is not what was kept there.
    """
    try:
        return _decode(raw)
    except UNREADABLE as error:
        raise corrupt_value(key, error) from None


def corrupt_value(key: str, why: object) -> errors.BookCorrupt:
    """Return what a reader is told of a value that nobody has written so."""
    return errors.BookCorrupt(
        f"Expected a readable value of key {key!r}, got: {why}",
        field="value",
        value=key,
        hint="write it anew, or run `hourbook verify` and restore a backup",
    )


def entity_of(ns: str, key: str) -> str:
    """Return the entity under which the entries of a key stand."""
    return f"{ns}/{key}"


def split_entity(entity: str) -> tuple[str, str]:
    """Return (namespace, key) of an entity; a namespace has no ``/``."""
    ns, _, key = entity.partition("/")
    return ns, key


def buckets_of(names: Iterable[tuple[str, str]]) -> list[int]:
    """Return the buckets (0..BUCKETS - 1) whose counters move when these keys do."""
    return [_crc32((ns + key).encode()) & (BUCKETS - 1) for ns, key in names]
