"""The line journal: the book as lines of JSON that chain by SHA-256, as older tools write it. Pure.

Each line has ``timestamp, action, entity, details, sha256, parent_hash, nonce``, all of them text;
`sha256` covers the other six, joined without anything between them, and `parent_hash` is the
`sha256` of a line before. What that rule cannot carry (a value that is no text, tags, who wrote it,
the book's own hash) stands in an eighth member, ``hourbook``, which other readers pass over. The
book's own hash is in the nonce too, and so under `sha256`; and it can be computed again from the
eighth member, so that a copied line proves what entry it was. ``docs/EXPORT.md`` has the format.
"""

import base64
import binascii
import hashlib
from typing import Final

import msgspec

from hourbook.book.render import json_value
from hourbook.rfc3339 import format_utc_ns
from protocols import entry
from protocols.entry import Entry

__all__ = [
    "FIELDS",
    "FIRST_PARENT",
    "Copy",
    "entry_of",
    "export_line",
    "line_hash",
]

FIRST_PARENT: Final = "0" * 16
"""`parent_hash` of a first line."""
FIELDS: Final = (
    "timestamp", "action", "entity", "details", "sha256", "parent_hash", "nonce",
)  # fmt: skip
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode
_DETAILS_ERRORS: Final = (ValueError, TypeError, OverflowError, binascii.Error)


class Copy(msgspec.Struct, frozen=True, omit_defaults=True):
    """The member ``hourbook``: what of an entry the other seven do not say.

    Attributes:
        details_as: what `details` stands for: `text` as it is, `json` for the value that it means,
            `packed` for the MessagePack in `packed`, `gone` where only `details_hash` is left.
        packed: base64.
        details_hash: hex.
        time_ns, hlc: decimal text, since they are above 2^53.
        nonce, salt, parent_hash, hash: hex.
    """

    seq: int
    time_ns: str
    bound_ns: int
    hlc: str
    writer: str
    nonce: str
    parent_hash: str
    hash: str
    salt: str = ""
    branch: int = 0
    session: str = ""
    kind: str = "log"
    tags: tuple[str, ...] = ()
    details_as: str = "text"
    packed: str = ""
    details_hash: str = ""


class _Line(msgspec.Struct):
    timestamp: str
    action: str
    entity: str
    details: str
    sha256: str
    parent_hash: str
    nonce: str
    hourbook: Copy


def line_hash(
    timestamp: str, action: str, entity: str, details: str, parent_hash: str, nonce: str = ""
) -> str:
    """Return the `sha256` of a line, hex; lines of the first version have no nonce.

    Raises:
        UnicodeEncodeError: a lone surrogate, which UTF-8 cannot carry.
    """
    joined = f"{timestamp}{action}{entity}{details}{parent_hash}{nonce}"
    return hashlib.sha256(joined.encode()).hexdigest()


def export_line(exported: Entry, parent_hash: str) -> tuple[bytes, str]:
    """Return an entry as a line, without its line end, and the `sha256` of that line.

    Args:
        exported: with its details, unless they are gone.
        parent_hash: `sha256` of the line before; FIRST_PARENT for the first.
    """
    text, details_as, packed = _details_text(exported.details_raw)
    timestamp = format_utc_ns(exported.time_ns)
    own_hash = exported.hash.hex()
    nonce = f"{exported.seq}-{own_hash}"
    sha256 = line_hash(timestamp, exported.action, exported.entity, text, parent_hash, nonce)
    copy = Copy(
        exported.seq,
        str(exported.time_ns),
        exported.bound_ns,
        str(exported.hlc),
        exported.writer,
        exported.nonce.hex(),
        exported.parent_hash.hex(),
        own_hash,
        (exported.salt or b"").hex(),
        exported.branch,
        exported.session,
        exported.kind,
        exported.tags,
        details_as,
        packed,
        "" if exported.details_hash is None else exported.details_hash.hex(),
    )
    line = _Line(
        timestamp, exported.action, exported.entity, text, sha256, parent_hash, nonce, copy
    )
    return _encode_json(line), sha256


def entry_of(action: str, entity: str, details: str, copy: object) -> Entry:
    """Return the entry that a line is a copy of.

    Args:
        action: of the line, as entity and details.
        entity: see there.
        details: see there.
        copy: the member ``hourbook``, decoded.

    Raises:
        ValueError: it is not what an export writes, or its hash is not that of its content.
    """
    try:
        found = msgspec.convert(copy, Copy)
        gone = found.details_as == "gone"
        exported = Entry(
            found.seq,
            int(found.time_ns),
            found.bound_ns,
            int(found.hlc),
            found.branch,
            found.writer,
            found.session,
            bytes.fromhex(found.nonce),
            found.kind,
            action,
            entity,
            found.tags,
            None if gone else bytes.fromhex(found.salt),
            None if gone else _details_raw(details, found),
            bytes.fromhex(found.details_hash) if gone else None,
            bytes.fromhex(found.parent_hash),
            bytes.fromhex(found.hash),
        )
        computed = entry.entry_hash(entry.canonical_bytes(exported))
    except (msgspec.MsgspecError, *_DETAILS_ERRORS) as error:
        raise ValueError(str(error)) from None
    if computed != exported.hash:
        raise ValueError(f"the hash of its content is {computed.hex()}, not {found.hash}")
    return exported


def _details_text(raw: bytes | None) -> tuple[str, str, str]:
    """Return details as text, what that text is, and the MessagePack where it takes that."""
    if raw is None:
        return "", "gone", ""
    value = _decode(raw)
    if isinstance(value, str):
        if _encode(value) == raw:
            return value, "text", ""
        return value, "packed", base64.b64encode(raw).decode()
    if value is None:
        return "", "packed", base64.b64encode(raw).decode()
    text = _encode_json(json_value(value)).decode()
    if _packs_back(text, raw):
        return text, "json", ""
    return text, "packed", base64.b64encode(raw).decode()


def _packs_back(text: str, raw: bytes) -> bool:
    try:
        return _encode(_decode_json(text)) == raw
    except (msgspec.MsgspecError, OverflowError, RecursionError):
        return False


def _details_raw(text: str, copy: Copy) -> bytes:
    match copy.details_as:
        case "text":
            return _encode(text)
        case "json":
            return _encode(_decode_json(text))
        case "packed":
            return base64.b64decode(copy.packed, validate=True)
    raise ValueError(f"details_as is {copy.details_as!r}")
