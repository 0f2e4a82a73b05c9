"""The standing verdict that a book is damaged, in a small file beside it: no restart forgets it.

A start checks only the end of a book; the damage that the nightly verification found may lie far
before it. So the verdict is stored before journal_writer is told, which reads it again at each
start, and it is cleared when a later verification is clean: after a restore, for instance.

A verdict that cannot be read counts as none: the compactor, which finds the file, verifies at once.
"""

from pathlib import Path
from typing import Final

import msgspec

from hourbook.book.durable import write_private
from hourbook.home import Home
from protocols import errors

__all__ = ["FILE_NAME", "Distrust", "clear", "load", "path_of", "store"]

FILE_NAME: Final = "book.distrust"
_FILE_BYTES_MAX: Final = 64 << 10


class Distrust(msgspec.Struct, frozen=True):
    """Why nothing more is written to a book.

    Attributes:
        first_bad_seq: the first entry that does not verify.
        problem: what is wrong with it.
    """

    first_bad_seq: int
    problem: str

    def as_error(self, book_db: Path) -> errors.BookCorrupt:
        """Return what every append is refused with."""
        return errors.BookCorrupt(
            f"Expected a book that verifies, got a bad seq {self.first_bad_seq}:"
            f" {self.problem}, at {book_db}",
            field="seq",
            value=str(self.first_bad_seq),
            hint="restore a backup",
        )


def path_of(home: Home) -> Path:
    """Return where the verdict of a home stands, if there is one."""
    return home.path / FILE_NAME


def load(home: Home) -> Distrust | None:
    """Return the standing verdict; None where there is none, or none that can be read."""
    try:
        with path_of(home).open("rb") as file:
            return msgspec.json.decode(file.read(_FILE_BYTES_MAX), type=Distrust)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def store(home: Home, verdict: Distrust) -> None:
    """Make a verdict stand, durably and whole.

    Raises:
        OSError: it could not be written; the one before stands, if any.
    """
    write_private(path_of(home), msgspec.json.encode(verdict) + b"\n")


def clear(home: Home) -> bool:
    """Take the verdict back; return whether one stood. Coming back after a power cut is harmless.

    Raises:
        OSError: it could not be removed.
    """
    try:
        path_of(home).unlink()
    except FileNotFoundError:
        return False
    return True
