"""Books whose details are in archive files, for tests of whatever becomes of them."""

from pathlib import Path

from books import STAMP, append, open_writer

from hourbook.book.archive.frames import build
from hourbook.book.archive.shelf import put_file
from hourbook.book.journal import Stamp
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols import entry
from protocols.keep_messages import Redact, SealArchive

__all__ = [
    "COUNT",
    "LATER",
    "archive",
    "details_of",
    "files",
    "make_book",
    "nonce",
    "redact",
    "seal",
]

LATER = Stamp(STAMP.time_ns + 100 * 86_400 * 10**9, STAMP.bound_ns)
COUNT = 20


def details_of(number: int) -> dict[str, object]:
    """Return what the entry of this number says."""
    return {"n": number, "text": f"words of {number} " * 20}


def make_book(home: Home) -> BookWriter:
    """Open a book of COUNT entries, all old."""
    writer = open_writer(home)
    for number in range(1, COUNT + 1):
        writer.commit([append(number, details=details_of(number))], STAMP)
    return writer


def nonce(counter: int) -> bytes:
    """Return a nonce of the compactor."""
    return entry.make_nonce(11, counter << 17)


def seal(writer: BookWriter, home: Home, seqs: list[int], counter: int = 1) -> SealArchive:
    """Write an archive file of some entries; return the change that seals it."""
    rows = writer.query(
        lambda c: c.execute("SELECT seq, salt, details FROM entry WHERE details IS NOT NULL")
    ).fetchall()
    chosen = [row for row in rows if row[0] in seqs]
    name, digest = put_file(home.archive_dir, build(chosen), chosen[0][0], chosen[-1][0])
    return SealArchive(writer="compactor", nonce=nonce(counter), file=name, sha256=digest)


def archive(writer: BookWriter, home: Home, seqs: list[int], counter: int = 1) -> None:
    """Archive the details of some entries."""
    outcome = writer.write([seal(writer, home, seqs, counter)], LATER).outcomes[0]
    assert outcome.error is None, outcome.error


def redact(seq: int, counter: int = 900) -> Redact:
    """Return a redaction."""
    return Redact(writer="admin", nonce=nonce(counter), seq=seq, why="wrong")


def files(home: Home) -> list[Path]:
    """Return the archive files, without the lock."""
    return sorted(home.archive_dir.glob("*.zst"))
