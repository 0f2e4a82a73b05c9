"""The book as a line journal: streamed, a page of entries in memory at a time. An edge.

Entries come in the order of seq, up to what was the head when the export began. Their lines are a
chain of their own, which begins anew in each export: a part of the book is as good a journal as the
whole. Entries of branches are left out, since a line journal has no place to say so.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from hourbook.book.copies.book_file import check_file
from hourbook.book.durable import disk_full_as_error, place
from hourbook.book.lines.journal import FIRST_PARENT, export_line
from hourbook.book.moment import Moment
from hourbook.book.reader import BookReader
from protocols import errors
from protocols.entry import Entry

__all__ = ["ExportReport", "export_book", "export_to_file", "exported_entries"]

_NS: Final = 1e-9
_CHUNK_BYTES: Final = 1 << 18
Progress = Callable[[int, int], None]
"""Called now and then with (seq reached, last seq)."""


class ExportReport(msgspec.Struct, frozen=True):
    """What was exported; the JSON of ``hourbook export --out FILE``.

    Attributes:
        path: of the file, "" for a stream.
        entries: lines that were written.
        size_bytes: of them all.
        first_seq, last_seq: of the first and last entry; 0 where there are none.
        sha256: of the last line, hex, which its successor would name; None where there are none.
        seconds: how long it took.
    """

    path: str
    entries: int
    size_bytes: int
    first_seq: int
    last_seq: int
    sha256: str | None
    seconds: float


def export_book(
    reader: BookReader,
    out: BinaryIO,
    *,
    since: Moment | None = None,
    until: Moment | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Write the book to `out`, a line for each entry.

    Args:
        reader: of the book.
        out: any stream of bytes.
        since: a seq: what comes after it; a time: what was written then or later.
        until: a seq or a time, with what was written then.
        progress: told after each 256 KiB or so.

    Raises:
        OSError: the stream could not be written to.
    """
    started_ns = time.monotonic_ns()
    parent, entries, size, first, last = FIRST_PARENT, 0, 0, 0, 0
    pending: list[bytes] = []
    pending_bytes = 0
    head = reader.head_seq()
    for exported in exported_entries(reader, since=since, until=until):
        line, parent = export_line(exported, parent)
        pending += (line, b"\n")
        pending_bytes += len(line) + 1
        entries, last = entries + 1, exported.seq
        first = first or exported.seq
        if pending_bytes >= _CHUNK_BYTES:
            out.write(b"".join(pending))
            size, pending_bytes = size + pending_bytes, 0
            pending.clear()
            if progress is not None:
                progress(exported.seq, head)
    out.write(b"".join(pending))
    out.flush()
    seconds = (time.monotonic_ns() - started_ns) * _NS
    sha256 = parent if entries else None
    return ExportReport("", entries, size + pending_bytes, first, last, sha256, round(seconds, 3))


def export_to_file(
    reader: BookReader,
    target: Path,
    *,
    replace: bool = False,
    since: Moment | None = None,
    until: Moment | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Write the book to a file that is whole, synced and private when it gets its name.

    Raises:
        AlreadyPresent: there is one of this name, and it was not to be replaced.
        DiskFull: no room; nothing of it is left.
    """
    target = target.absolute()
    if os.path.lexists(target):
        if not replace:
            raise errors.AlreadyPresent(
                f"Expected a name that is free, got one that is taken, at {target}",
                field=str(target),
                hint="choose another, or replace it with --force",
            )
        check_file(target, "a file to replace")
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    with disk_full_as_error("an export", target):
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as out:
                report = export_book(reader, out, since=since, until=until, progress=progress)
                os.fsync(out.fileno())
            place(temporary, target, replace=replace)
        finally:
            temporary.unlink(missing_ok=True)
    return msgspec.structs.replace(report, path=str(target))


def exported_entries(
    reader: BookReader, *, since: Moment | None = None, until: Moment | None = None
) -> Iterator[Entry]:
    """Yield the entries of main between two places, both as :func:`export_book` takes them."""
    after_seq = 0 if since is None or since.seq is None else since.seq
    head = reader.head_seq()
    last_seq = head if until is None or until.seq is None else min(until.seq, head)
    earliest_ns = None if since is None else since.time_ns
    latest_ns = None if until is None else until.time_ns
    for found in reader.since(after_seq, until_seq=last_seq):
        if found.branch or (earliest_ns is not None and found.time_ns < earliest_ns):
            continue
        if latest_ns is None or found.time_ns <= latest_ns:
            yield found
