"""What belongs to a book beside its database: the sealed files of its archive. An edge.

The one place that backup and restore share for it. Such a file is written once, under a name that
is never used again, and synced before a commit names it: so a copy of the database that is made
first never names a file that is not there. Only files that the copy names are taken along.

What cannot be read is left out here; ``hourbook.book.archive.check`` names what is missing.
"""

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from hourbook.book.archive.frame_cache import open_archived
from hourbook.book.archive.frames import read_index, without
from hourbook.book.archive.shelf import put_file
from hourbook.book.durable import sync_directory, write_new
from protocols import errors

__all__ = ["copy_archive", "named_files", "trim_archive"]


def named_files(connection: sqlite3.Connection) -> list[str]:
    """Return the archive files that a book names, in the order in which they were made."""
    return [file for (file,) in connection.execute("SELECT file FROM archive ORDER BY number")]


def copy_archive(source: Path, target: Path, names: Iterable[str]) -> int:
    """Copy files of the directory `source` durably into the new one `target`; return how many.

    Nothing is made where there is nothing to copy.

    Raises:
        OSError: `target` cannot be written, as the system says it.
    """
    count = 0
    for name in names:
        with contextlib.suppress(errors.ArchiveDamaged):
            content = open_archived(source / name)
            if not count:
                target.mkdir(mode=0o700)
            count += 1
            write_new(target / name, content)
    if count:
        sync_directory(target)
    return count


def trim_archive(connection: sqlite3.Connection, directory: Path, last_seq: int) -> None:
    """Make files anew without what comes after `last_seq`, where a book was cut back to it.

    Whole files are left alone, and so is one that cannot be read.

    Args:
        connection: to the book, for writing.
        directory: of its archive files.
        last_seq: with which it ends now.
    """
    rows = connection.execute(
        "SELECT number, file, first_seq FROM archive WHERE last_seq > ?", (last_seq,)
    ).fetchall()
    for number, file, first_seq in rows:
        with contextlib.suppress(errors.ArchiveDamaged):
            content = open_archived(directory / file)
            cut_off = {s for span in read_index(content) for s in span.seqs if s > last_seq}
            rest = without(content, frozenset(cut_off))
            if rest is None:
                continue
            name, sha256 = put_file(directory, rest, first_seq, last_seq)
            connection.execute(
                "UPDATE archive SET file = ?, sha256 = ?, last_seq = ?, entries = entries - ?,"
                " size_bytes = ? WHERE number = ?",
                (name, sha256, last_seq, len(cut_off), len(rest), number),
            )
            (directory / file).unlink()
