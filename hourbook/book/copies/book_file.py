"""A book in any file, such as a backup: opened for reading, and verified where it lies. An edge.

A backup is one file without a log beside it, so it is read as immutable: that needs no write
permission and leaves nothing behind. A database with a log (a home that was copied whole) is read
together with it.
"""

import sqlite3
import stat
from functools import partial
from pathlib import Path
from typing import Final

from hourbook.book import schema
from hourbook.book.archive.check import check_archive
from hourbook.book.proof.verify import StageProgress, verify_book
from hourbook.book.rows import COMMIT_COLUMNS, commit_from_row
from protocols import errors
from protocols.entry import Commit

__all__ = ["KEY_SUFFIX", "PUBLIC_SUFFIX", "check_file", "head_of", "open_book", "verify_file"]

PUBLIC_SUFFIX: Final = ".pub"
"""After the name of a backup: the public key, hex, that its head must be signed with."""
KEY_SUFFIX: Final = ".key"
"""After the name of a backup: the signing key, where it was asked for."""


def check_file(path: Path, what: str) -> int:
    """Return the size of a regular file (bytes).

    A FIFO would make us wait for ever, and a directory fail in words that help nobody.

    Raises:
        BadRequest: it is missing, or no regular file.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise errors.BadRequest(
            f"Expected {what}, got no such file, at {path}", field=str(path)
        ) from None
    except ValueError:
        raise errors.BadRequest(f"Expected {what}, got a name with NUL in it") from None
    if not stat.S_ISREG(status.st_mode):
        raise errors.BadRequest(
            f"Expected {what}, got {_kind_of(status.st_mode)}, at {path}", field=str(path)
        )
    return status.st_size


def open_book(path: Path) -> sqlite3.Connection:
    """Open the book in a file for reading, wherever that is.

    Raises:
        BadRequest: no regular file, or an empty one.
        UnsupportedVersion: not a book, or one of a newer program.
        BookCorrupt: SQLite cannot read it.
    """
    if check_file(path, "a book") == 0:
        raise errors.BadRequest(f"Expected a book, got an empty file, at {path}", field=str(path))
    path = path.absolute()
    has_log = Path(f"{path}-wal").exists()
    connection = sqlite3.connect(
        f"{path.as_uri()}?{'mode=ro' if has_log else 'immutable=1'}", uri=True, isolation_level=None
    )
    try:
        version = schema.check_identity(connection, path)
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise unreadable(path, error) from None
    except BaseException:
        connection.close()
        raise
    if version == 0:
        connection.close()
        raise errors.BadRequest(f"Expected a book, got none in it, at {path}", field=str(path))
    return connection


def head_of(connection: sqlite3.Connection) -> Commit | None:
    """Return the last commit of an open book; None where it is empty."""
    row = connection.execute(
        f"SELECT {COMMIT_COLUMNS} FROM signed_commit ORDER BY last_seq DESC LIMIT 1"  # noqa: S608 - constants
    ).fetchone()
    return None if row is None else commit_from_row(row)


def verify_file(
    path: Path,
    trusted_key: bytes | None,
    progress: StageProgress | None = None,
    archive: Path | None = None,
) -> list[str]:
    """Verify the book in a file, and that SQLite finds its pages in order.

    Args:
        path: of the database.
        trusted_key: what its head must be signed with; None: any key.
        progress: told of "verifying" (entries), and "archive" (files).
        archive: the directory of its archive files; None: they are not looked at.

    Returns:
        What is wrong with details in archive files, one line each.

    Raises:
        BookCorrupt: it does not verify.
    """
    tell = progress or (lambda *_: None)
    connection = open_book(path)
    try:
        verdict = verify_book(
            connection, trusted_key=trusted_key, progress=partial(tell, "verifying")
        )
        if not verdict.ok:
            raise errors.BookCorrupt(
                f"Expected a book that verifies, got a bad seq {verdict.first_bad_seq}:"
                f" {verdict.problem}, at {path}",
                field="seq",
                value=str(verdict.first_bad_seq),
            )
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise errors.BookCorrupt(f"Expected pages in order, got: {found}, at {path}")
        if archive is None:
            return []
        seen = verdict.entries, verdict.detached
        return check_archive(connection, archive, *seen, partial(tell, "archive")).problems
    except sqlite3.DatabaseError as error:
        raise unreadable(path, error) from None
    finally:
        connection.close()


def unreadable(path: Path, error: sqlite3.DatabaseError) -> errors.HourbookError:
    """Return what it means that SQLite cannot read a file."""
    if schema.error_code(error) & 0xFF == sqlite3.SQLITE_NOTADB:
        return errors.UnsupportedVersion(
            f"Expected a book, got a file that is no SQLite database, at {path}", field=str(path)
        )
    return errors.BookCorrupt(f"Expected a readable book, got: {error}, at {path}", field=str(path))


def _kind_of(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for is_kind, name in kinds if is_kind(mode)), "a device")
