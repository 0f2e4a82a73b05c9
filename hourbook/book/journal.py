"""From requests to rows: sequence, time, salt, parent and hash of every entry of one group. Pure.

A :class:`Head` is all that the next group must know of everything before it. The loop here is the
hottest of the writer, which is why each link is made in C (``protocols/_chain.c``), without an
object for each entry; ``protocols.entry.canonical_bytes`` says the same, and a test compares.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from hourbook.book.nonces import nonces_from
from protocols import entry
from protocols._chain import link
from protocols.book_messages import Append
from protocols.hlc import tick

__all__ = ["EMPTY_HEAD", "Head", "Row", "Sequenced", "Stamp", "seal", "sequence"]

Row = tuple[Any, ...]
"""One row of the table `entry`, in the order of its columns."""

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


class Sequenced(NamedTuple):
    """The entries of one group, in two forms.

    Attributes:
        rows: all columns.
        records: the same, and an ``Entry``, as a MessagePack array: for the table and the feed.
    """

    rows: list[Row]
    records: list[bytes]


def sequence(head: Head, appends: Sequence[Append], stamp: Stamp, salts: bytes) -> Sequenced:
    """Return the entries of one group, following `head`, in the order of `appends`.

    Args:
        head: what the book ends with.
        appends: checked requests (``book_messages.check_append``).
        stamp: one reading of the clock for the whole group; hlc and seq order its entries.
        salts: fresh randomness, SALT_SIZE bytes an entry.
    """
    seq, hlc, parent = head.seq, head.hlc, head.hash
    time_ns, bound_ns = stamp
    tick_of_group = tick(0, time_ns)  # one time for all: what comes after another counts on
    sequenced = Sequenced([], [])
    rows, records = sequenced
    salt_end = 0
    for append in appends:
        writer, session, branch = append.writer, append.session, append.branch
        hlc = max(hlc, append.hlc)
        entries = append.entries
        for nonce, new in zip(nonces_from(append.nonce, len(entries)), entries, strict=True):
            seq += 1
            hlc = hlc + 1 if hlc >= tick_of_group else tick_of_group
            salt = salts[salt_end : (salt_end := salt_end + _SALT_SIZE)]
            row, record = link(
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
                salt,
                new.details,
                parent,
            )
            rows.append(row)
            records.append(record)
            parent = row[-1]
    return sequenced


def seal(
    head: Head, rows: Sequence[Row], key: bytes, sign: Callable[[bytes], bytes]
) -> tuple[entry.Commit, Head]:
    """Sign the commit of one group of rows; return it with the head that follows."""
    last = rows[-1]
    unsigned = entry.Commit(
        commit_no=head.commit_no + 1,
        first_seq=rows[0][0],
        last_seq=last[0],
        head_hash=last[-1],
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
        last[0], last[-1], last[3], commit.commit_no, entry.commit_id(header, signature)
    )
    return commit, following
