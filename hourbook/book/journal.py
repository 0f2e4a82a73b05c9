"""From requests to rows: sequence, time, salt, parent and hash of every entry of one group. Pure.

A :class:`Head` is all that the next group must know of everything before it. The loop here is the
hottest of the writer, which is why it builds the rows of the database directly, without an object
for each entry; ``protocols.entry.canonical_bytes`` says the same more slowly, and a test compares.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from hourbook.book.nonces import nonce_after
from protocols import entry
from protocols.book_messages import Append
from protocols.hlc import tick

__all__ = ["EMPTY_HEAD", "Head", "Row", "Stamp", "row_payload", "seal", "sequence"]

Row = tuple[Any, ...]
"""One row of the table `entry`, in the order of its columns.

Where it is to be inserted its blobs are bytearrays: the `sqlite3` module takes them as they are,
and 0.4 us longer over each `bytes` (it looks for an adapter, which was a third of an INSERT).
"""

_NO_TAGS: Final = bytearray(b"\x90")
_TAGLESS: Final = (msgspec.Raw(_NO_TAGS),)
_TAGS: Final = 11
_encode = msgspec.msgpack.Encoder().encode
_sha256 = hashlib.sha256
_FORMAT: Final = entry.ENTRY_FORMAT
_DOMAIN: Final = entry.ENTRY_DOMAIN
_SALT_SIZE: Final = entry.SALT_SIZE


class Stamp(NamedTuple):
    """The clock's answer when a group is sequenced (nanoseconds; bound -1: unbounded)."""

    time_ns: int
    bound_ns: int


class Head(NamedTuple):
    """Where a book ends."""

    seq: int
    hash: bytes
    hlc: int
    commit_no: int
    commit_id: bytes


EMPTY_HEAD: Final = Head(0, entry.GENESIS_HASH, 0, 0, entry.GENESIS_HASH)


def sequence(
    head: Head, appends: Sequence[Append], stamp: Stamp, salts: bytes | bytearray
) -> list[Row]:
    """Return the rows of one group, following `head`, in the order of `appends`.

    Args:
        head: what the book ends with.
        appends: checked requests (``book_messages.check_append``).
        stamp: one reading of the clock for the whole group; hlc and seq order its entries.
        salts: fresh randomness, SALT_SIZE bytes an entry.
    """
    seq, hlc, parent = head.seq, head.hlc, bytearray(head.hash)
    time_ns, bound_ns = stamp
    tick_of_group = tick(0, time_ns)  # one time for all: what comes after another counts on
    rows: list[Row] = []
    salt_end = 0
    for append in appends:
        writer, session, branch = append.writer, append.session, append.branch
        hlc = max(hlc, append.hlc)
        nonce = bytearray(append.nonce)
        for index, new in enumerate(append.entries):
            seq += 1
            hlc = hlc + 1 if hlc >= tick_of_group else tick_of_group
            salt = salts[salt_end : (salt_end := salt_end + _SALT_SIZE)]
            details = bytearray(new.details)
            if index:
                nonce = bytearray(nonce_after(append.nonce, index))
            canonical = _encode(
                (
                    _FORMAT,
                    seq,
                    time_ns,
                    bound_ns,
                    hlc,
                    branch,
                    writer,
                    session,
                    nonce,
                    new.kind,
                    new.action,
                    new.entity,
                    new.tags,
                    _sha256(salt + details).digest(),
                    parent,
                )
            )
            digest = bytearray(_sha256(_DOMAIN + canonical).digest())
            rows.append(
                (
                    seq,
                    time_ns,
                    bound_ns,
                    hlc,
                    branch,
                    writer,
                    session,
                    nonce,
                    new.kind,
                    new.action,
                    new.entity,
                    bytearray(_encode(new.tags)) if new.tags else _NO_TAGS,
                    salt,
                    details,
                    None,
                    parent,
                    digest,
                )
            )
            parent = digest
    return rows


def seal(
    head: Head, rows: Sequence[Row], key: bytes, sign: Callable[[bytes], bytes]
) -> tuple[entry.Commit, Head]:
    """Sign the commit of one group of rows; return it with the head that follows."""
    last = rows[-1]
    head_hash = bytes(last[-1])
    unsigned = entry.Commit(
        commit_no=head.commit_no + 1,
        first_seq=rows[0][0],
        last_seq=last[0],
        head_hash=head_hash,
        prev_commit=head.commit_id,
        parents=(),
        hlc=last[3],
        key=key,
        signature=b"",
    )
    header = entry.commit_header(unsigned)
    signature = sign(header)
    commit = msgspec.structs.replace(unsigned, signature=signature)
    following = Head(
        last[0], head_hash, last[3], commit.commit_no, entry.commit_id(header, signature)
    )
    return commit, following


def row_payload(row: Row) -> bytes:
    """Return the record of the feed ring: an ``Entry`` as a MessagePack array."""
    tags = row[_TAGS]
    said = _TAGLESS if tags is _NO_TAGS else (msgspec.Raw(bytes(tags)),)
    return _encode(row[:_TAGS] + said + row[_TAGS + 1 :])
