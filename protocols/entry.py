"""What one line of the book is: its fields, its canonical bytes, its hash; and a signed commit.

The bytes here are for ever: a book written today must verify in any later version, and in any other
language (``docs/JOURNAL.md`` has the byte tables and test vectors). Nothing is hashed that was
re-encoded: details enter as ``SHA-256(salt || details as received)``, so that they can be dropped
later, with their salt, while the chain still verifies and nobody can guess them back.

Pure: no clock, no files. The chain orders by ``seq``; time is a property of an entry, not an order.
"""

import hashlib
from typing import Any, Final, Literal

import msgspec

from protocols import _frames, errors
from protocols.texts import not_utf8

__all__ = [
    "BATCH_ENTRIES_MAX",
    "BOUND_UNBOUNDED_NS",
    "COMMIT_DOMAIN",
    "DETAILS_NONE",
    "ENTRY_BYTES_MAX",
    "ENTRY_DOMAIN",
    "GENESIS_HASH",
    "HASH_SIZE",
    "KEY_BYTES_MAX",
    "NONCE_SIZE",
    "SALT_SIZE",
    "TAGS_MAX",
    "Commit",
    "Entry",
    "Missing",
    "canonical_bytes",
    "check_value",
    "commit_header",
    "commit_id",
    "decode_value",
    "details_digest",
    "encode_value",
    "entry_hash",
    "make_nonce",
    "nonce_parts",
]

ENTRY_DOMAIN: Final = b"hourbook/entry/1"
COMMIT_DOMAIN: Final = b"hourbook/commit/1"
ENTRY_FORMAT: Final = 1
COMMIT_FORMAT: Final = 1

HASH_SIZE: Final = 32
SALT_SIZE: Final = 16
NONCE_SIZE: Final = 16
GENESIS_HASH: Final = bytes(HASH_SIZE)
"""Parent of the first entry, and predecessor of the first commit."""
BOUND_UNBOUNDED_NS: Final = -1
"""``bound_ns`` of an entry written while the clock could promise nothing."""
DETAILS_NONE: Final = b"\xc0"
"""Details that were not given: MessagePack's nil, which differs from an empty string or map."""

ENTRY_BYTES_MAX: Final = 16 << 20
"""Encoded details of one entry; larger things belong in a file whose hash is logged."""
KEY_BYTES_MAX: Final = 1 << 10
"""Kind, action, entity and each tag, as UTF-8: they are indexed, and can never be redacted."""
TAGS_MAX: Final = 64
BATCH_ENTRIES_MAX: Final = 4096
"""Entries of one request, and of one group commit: about 20 ms of work."""

_COUNTER_BITS: Final = 64
_U64: Final = (1 << 64) - 1
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_sha256 = hashlib.sha256


class Missing(msgspec.Struct, frozen=True):
    """Why an entry is shown without its details.

    Attributes:
        cause: `redacted`; `retained`, dropped by a rule of retention; or `unreadable`, archived in
            a file that is missing or damaged.
        why: in words: what was given as the reason, the rule, or what is wrong with the file.
        by: the instance that asked for it, "" where nobody did.
        by_seq: the entry that says so, 0 where there is none.
    """

    cause: Literal["redacted", "retained", "unreadable"]
    why: str
    by: str = ""
    by_seq: int = 0


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line of the book, as it was committed.

    Attributes:
        seq: 1, 2, 3 ... without gaps; the order of the book.
        time_ns: UTC when it was sequenced (nanoseconds since 1970), by Hourbook's clock.
        bound_ns: UTC was within `time_ns` +- this; -1 where nothing could be promised.
        hlc: hybrid logical time, strictly rising with seq (``protocols.hlc``).
        branch: 0 is main.
        writer: name of the instance that wrote it.
        session: name of the session it was written in, or "".
        nonce: the writer's own name for it; the same nonce is never written twice.
        kind: ``log``, or the operation it stands for.
        action: what was done.
        entity: to what.
        tags: for finding it again.
        salt: random; hides short details behind their hash. None once they were dropped.
        details_raw: MessagePack as received. None once dropped (archived or redacted).
        details_hash: kept only where `details_raw` was dropped.
        parent_hash: `hash` of seq - 1.
        hash: see :func:`entry_hash`.
        missing: why there are no details, where whoever read it knows.
    """

    seq: int
    time_ns: int
    bound_ns: int
    hlc: int
    branch: int
    writer: str
    session: str
    nonce: bytes
    kind: str
    action: str
    entity: str
    tags: tuple[str, ...]
    salt: bytes | None
    details_raw: bytes | None
    details_hash: bytes | None
    parent_hash: bytes
    hash: bytes
    missing: Missing | None = None

    @property
    def details(self) -> Any:  # noqa: ANN401 - any MessagePack value is legal
        """The details as a value of the caller's own; None where there were none.

        Raises:
            Redacted: they were dropped for good.
            ArchiveDamaged: the file that they were archived in is missing or damaged.
        """
        if self.details_raw is None:
            raise _why_missing(self.seq, self.missing)
        return _decode(self.details_raw)


class Commit(msgspec.Struct, frozen=True, array_like=True):
    """One signed group of entries.

    Attributes:
        commit_no: 1, 2, 3 ... without gaps.
        first_seq: its first entry.
        last_seq: its last entry.
        head_hash: hash of the entry `last_seq`, and so of all before it.
        prev_commit: :func:`commit_id` of the one before; the signature covers it.
        parents: commits of other books that this one follows; empty on one machine.
        hlc: of its last entry.
        key: the Ed25519 public key that signed it (32 bytes).
        signature: over :func:`commit_header` (64 bytes).
    """

    commit_no: int
    first_seq: int
    last_seq: int
    head_hash: bytes
    prev_commit: bytes
    parents: tuple[bytes, ...]
    hlc: int
    key: bytes
    signature: bytes


def _why_missing(seq: int, missing: Missing | None) -> errors.HourbookError:
    """Return the error that reading the details of an entry without them raises."""
    expected = f"Expected the details of seq {seq}"
    if missing is None:
        return errors.Redacted(f"{expected}, which are gone", field="details", value=str(seq))
    if missing.cause == "unreadable":
        return errors.ArchiveDamaged(f"{expected}: {missing.why}", field="details", value=str(seq))
    by = f" by {missing.by} (seq {missing.by_seq})" if missing.by_seq else ""
    dropped = "which were redacted" if missing.cause == "redacted" else "dropped by a rule"
    return errors.Redacted(
        f"{expected}, {dropped}{by}: {missing.why}", field="details", value=str(seq)
    )


def details_digest(salt: bytes, details_raw: bytes) -> bytes:
    """Return what stands for the details in the chain: SHA-256(salt || details)."""
    return _sha256(salt + details_raw).digest()


def canonical_bytes(entry: Entry) -> bytes:
    """Return the bytes that are hashed, without their domain prefix.

    A MessagePack array in this order, integers and lengths in their shortest form: format (1), seq,
    time_ns, bound_ns, hlc, branch, writer, session, nonce, kind, action, entity, tags, details
    digest, parent_hash.

    Raises:
        BookCorrupt: neither the details with their salt nor their digest is there.
    """
    if entry.details_raw is not None and entry.salt is not None:
        digest = details_digest(entry.salt, entry.details_raw)
    elif entry.details_hash is not None:
        digest = entry.details_hash
    else:
        raise errors.BookCorrupt(
            f"Expected salt and details, or their hash, got neither, at seq {entry.seq}",
            field="details",
        )
    return _encode(
        (
            ENTRY_FORMAT,
            entry.seq,
            entry.time_ns,
            entry.bound_ns,
            entry.hlc,
            entry.branch,
            entry.writer,
            entry.session,
            entry.nonce,
            entry.kind,
            entry.action,
            entry.entity,
            entry.tags,
            digest,
            entry.parent_hash,
        )
    )


def entry_hash(canonical: bytes) -> bytes:
    """Return SHA-256("hourbook/entry/1" || canonical bytes)."""
    return _sha256(ENTRY_DOMAIN + canonical).digest()


def commit_header(commit: Commit) -> bytes:
    """Return the bytes that a commit's signature covers.

    "hourbook/commit/1" followed by a MessagePack array: format (1), commit_no, first_seq, last_seq,
    head_hash, prev_commit, parents, hlc, key.
    """
    return COMMIT_DOMAIN + _encode(
        (
            COMMIT_FORMAT,
            commit.commit_no,
            commit.first_seq,
            commit.last_seq,
            commit.head_hash,
            commit.prev_commit,
            commit.parents,
            commit.hlc,
            commit.key,
        )
    )


def commit_id(header: bytes, signature: bytes) -> bytes:
    """Return SHA-256(header || signature), which the next commit names as its predecessor."""
    return _sha256(header + signature).digest()


def make_nonce(incarnation: int, counter: int) -> bytes:
    """Return the 16 bytes of a nonce: incarnation u64 || counter u64, both big endian.

    Big endian, so that bytes compare as the pairs do.

    Raises:
        BadRequest: either is outside 0..2^64-1.
    """
    if not (0 <= incarnation <= _U64 and 0 <= counter <= _U64):
        raise errors.BadRequest(
            f"Expected incarnation and counter in 0..2^64-1, got {incarnation}, {counter}",
            field="nonce",
        )
    return (incarnation << _COUNTER_BITS | counter).to_bytes(NONCE_SIZE, "big")


def nonce_parts(nonce: bytes) -> tuple[int, int]:
    """Return (incarnation, counter) of a nonce of 16 bytes."""
    number = int.from_bytes(nonce, "big")
    return number >> _COUNTER_BITS, number & _U64


def encode_value(value: object, field: str) -> bytes:
    """Encode a value as MessagePack, the form in which it is kept.

    Raises:
        BadRequest: it is of a type, or holds text, that MessagePack cannot carry.
    """
    try:
        return _encode(value)
    except UnicodeEncodeError as error:
        raise not_utf8(error, field) from None
    except (TypeError, OverflowError, RecursionError, ValueError, BufferError) as error:
        is_endless = isinstance(error, RecursionError)
        got = "one that holds itself, or is nested too deep" if is_endless else f"another: {error}"
        raise errors.BadRequest(
            f"Expected a value that MessagePack can carry, got {got}, in {field}", field=field
        ) from None


def check_value(raw: bytes, field: str) -> None:
    """Check that `raw` is what :func:`decode_value` takes; nearly all is so by its looks.

    Raises:
        BadRequest: it is not.
    """
    if not _frames.is_plain(raw):
        decode_value(raw, field)


def decode_value(raw: bytes, field: str) -> Any:  # noqa: ANN401 - any MessagePack value is legal
    """Decode one MessagePack value.

    Raises:
        BadRequest: not one whole value, or one that readers could not show.
    """
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise errors.BadRequest(
            f"Expected a MessagePack value: {error}, in {field}", field=field
        ) from None
