"""Heads that are kept elsewhere, and whether a book still holds what they saw.

A witness is one signed commit as ``hourbook head --json`` prints it. Whoever keeps one where the
book's owner cannot reach it can show later that nothing before it was cut off or rewritten, even by
somebody who has the signing key: the commit names the one before it, and so all of them.

Reads only, a few rows for each witness; what lies between them is the affair of ``verify``.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from hourbook.book.proof.keys import is_signed_by
from hourbook.book.proof.verify import Verdict
from hourbook.book.render import commit_json
from hourbook.book.rows import COMMIT_COLUMNS, commit_from_row, find_commit
from protocols import errors
from protocols.entry import Commit, commit_header, commit_id

__all__ = [
    "WITNESS_FILE_BYTES_MAX",
    "Mismatch",
    "Witness",
    "compare",
    "confront",
    "first_mismatch",
    "load_witnesses",
    "parse_witness",
    "witness_json",
]

WITNESS_FILE_BYTES_MAX: Final = 64 << 20
"""Some 100 000 heads: one an hour for eleven years."""
_Hex32 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Number = Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]
_Hex64 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{128}$")]


class _Line(msgspec.Struct, frozen=True):
    """The JSON of a head: see docs/CLI.md. Fields that are not known here are ignored."""

    book: _Hex32
    seq: _Number
    hash: _Hex32
    commit: _Number
    first_seq: _Number
    prev_commit: _Hex32
    parents: list[_Hex32]
    hlc: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,19}$")]
    signature: _Hex64
    key: _Hex32


class Witness(msgspec.Struct, frozen=True):
    """A commit that was seen once.

    Attributes:
        book: id of the book's first commit, which tells one book from another.
        commit: what was seen.
    """

    book: bytes
    commit: Commit


class Mismatch(msgspec.Struct, frozen=True):
    """How a book and a witness contradict each other.

    Attributes:
        finding: ``truncated``, ``rewritten``, ``other_book`` or ``forged_witness``.
        seq: the first entry that is not known to be as it was.
        problem: in one line.
    """

    finding: str
    seq: int
    problem: str


_decode_line = msgspec.json.Decoder(_Line).decode


def witness_json(connection: sqlite3.Connection) -> dict[str, Any] | None:
    """Return the head of an open book as a witness; None while the book is empty."""
    head, first = _edge(connection, "DESC"), _edge(connection, "ASC")
    if head is None or first is None:
        return None
    return {
        **commit_json(head),
        "book": _id_of(first).hex(),
        "first_seq": head.first_seq,
        "prev_commit": head.prev_commit.hex(),
        "parents": [parent.hex() for parent in head.parents],
        "hlc": str(head.hlc),
    }


def parse_witness(line: bytes | str, where: str) -> Witness:
    """Return what one line of JSON testifies.

    Raises:
        BadRequest: it is no head, naming `where`.
    """
    try:
        seen = _decode_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise errors.BadRequest(
            f"Expected a head as `hourbook head --json` prints it, got something else: {error},"
            f" at {where}",
            field="against",
        ) from None
    commit = Commit(
        seen.commit,
        seen.first_seq,
        seen.seq,
        bytes.fromhex(seen.hash),
        bytes.fromhex(seen.prev_commit),
        tuple(bytes.fromhex(parent) for parent in seen.parents),
        int(seen.hlc),
        bytes.fromhex(seen.key),
        bytes.fromhex(seen.signature),
    )
    return Witness(bytes.fromhex(seen.book), commit)


def load_witnesses(path: Path) -> list[Witness]:
    """Return the witnesses of a file, one a line; empty lines count for nothing.

    Raises:
        BadRequest: it is not there, holds none, is too large, or a line of it is no head.
    """
    try:
        with path.open("rb") as file:
            content = file.read(WITNESS_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise errors.BadRequest(
            f"Expected a file of heads, got: {error.strerror}, at {path}", field="against"
        ) from None
    if len(content) > WITNESS_FILE_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected at most {WITNESS_FILE_BYTES_MAX} bytes (64 MiB), got more, at {path}",
            field="against",
        )
    lines = enumerate(content.splitlines(), start=1)
    found = [parse_witness(line, f"{path}:{number}") for number, line in lines if line.strip()]
    if not found:
        raise errors.BadRequest(f"Expected a head, got an empty file, at {path}", field="against")
    return found


def confront(
    connection: sqlite3.Connection, verdict: Verdict, witnesses: Sequence[Witness]
) -> Verdict:
    """Return what a verification that found nothing says beside witnesses."""
    mismatch = first_mismatch(connection, witnesses)
    count = len(witnesses)
    if mismatch is None:
        return msgspec.structs.replace(verdict, witnesses=count)
    return msgspec.structs.replace(
        verdict,
        ok=False,
        first_bad_seq=mismatch.seq,
        problem=mismatch.problem,
        finding=mismatch.finding,
        witnesses=count,
    )


def first_mismatch(connection: sqlite3.Connection, witnesses: Iterable[Witness]) -> Mismatch | None:
    """Compare witnesses in the order of their commits; return the earliest contradiction."""
    agreed_seq = 0
    for witness in sorted(witnesses, key=lambda each: each.commit.commit_no):
        mismatch = compare(connection, witness, agreed_seq)
        if mismatch is not None:
            return mismatch
        agreed_seq = witness.commit.last_seq
    return None


def compare(
    connection: sqlite3.Connection, witness: Witness, agreed_seq: int = 0
) -> Mismatch | None:
    """Return how an open book contradicts a witness; None where it holds what was seen.

    Args:
        connection: open on the book; reading is enough.
        witness: to compare with.
        agreed_seq: up to here an earlier witness confirms the book.
    """
    seen = witness.commit
    what = f"commit {seen.commit_no} (seq {seen.first_seq}..{seen.last_seq})"
    if not is_signed_by(seen.key, commit_header(seen), seen.signature):
        problem = f"the witness of {what} does not carry the signature of its own key"
        return Mismatch("forged_witness", seen.first_seq, problem)
    head, first = _edge(connection, "DESC"), _edge(connection, "ASC")
    if head is None or first is None:
        return Mismatch("truncated", 1, f"the book is empty, and a witness saw {what}")
    if _id_of(first) != witness.book:
        key = "the same key" if first.key == seen.key else "another key"
        problem = f"the witness of {what} saw another book; this one begins otherwise, under {key}"
        return Mismatch("other_book", 1, problem)
    if head.commit_no < seen.commit_no:
        problem = (
            f"the end is cut off: the book ends with commit {head.commit_no}"
            f" (seq {head.last_seq}), and a witness saw {what}"
        )
        return Mismatch("truncated", head.last_seq + 1, problem)
    if find_commit(connection, seen.commit_no) != seen:
        problem = f"history was rewritten after seq {agreed_seq}: a witness saw another {what}"
        return Mismatch("rewritten", agreed_seq + 1, problem)
    return None


def _edge(connection: sqlite3.Connection, order: str) -> Commit | None:
    """Return the first (ASC) or the last (DESC) commit."""
    row = connection.execute(
        f"SELECT {COMMIT_COLUMNS} FROM signed_commit ORDER BY last_seq {order} LIMIT 1"  # noqa: S608 - constants
    ).fetchone()
    return None if row is None else commit_from_row(row)


def _id_of(commit: Commit) -> bytes:
    return commit_id(commit_header(commit), commit.signature)
