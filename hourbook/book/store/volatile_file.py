"""The database of keys that need not outlive a reboot, in the run directory.

Never attached to the book (that breaks the atomicity of both), and never synced: what a process has
written survives its end, not the machine's. A file of another boot, or one that SQLite cannot read,
is made anew.
"""

import contextlib
import sqlite3
from importlib import resources
from pathlib import Path
from typing import Final

from hourbook.book import packed_rows, schema

__all__ = ["is_of_boot", "open_volatile"]

_SPOILED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""Not: no descriptor, or no time, to look into the file."""


def open_volatile(path: Path, boot_id: bytes) -> sqlite3.Connection:
    """Open the database of volatile keys, made anew unless this boot has made it.

    Raises:
        sqlite3.Error, OSError: it cannot be made.
    """
    if not is_of_boot(path, boot_id, thoroughly=True):
        _make(path, boot_id)
    return _connect(path)


def is_of_boot(path: Path, boot_id: bytes, *, thoroughly: bool) -> bool:
    """Return whether a file was made by this boot and is in order; else it has to be made anew.

    Args:
        path: of the file.
        boot_id: of this boot.
        thoroughly: look at every page; else only whether a reader can begin.
    """
    if not path.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            row = connection.execute("SELECT boot_id FROM life").fetchone()
            if thoroughly and connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                return False
    except sqlite3.DatabaseError as error:
        return not thoroughly and schema.error_code(error) & 0xFF not in _SPOILED
    return row is not None and bool(row[0] == boot_id)


def _make(path: Path, boot_id: bytes) -> None:
    """Put a new database in place of what is there, or not; readers never see it half made."""
    made = path.with_name(f"{path.name}.new")
    for name in (made, path):
        for suffix in ("-wal", "-shm"):
            Path(f"{name}{suffix}").unlink(missing_ok=True)
    made.unlink(missing_ok=True)
    connection = _connect(made, is_new=True)
    connection.execute("BEGIN IMMEDIATE")
    script = resources.files("hourbook.book.store").joinpath("volatile.sql").read_text("utf-8")
    schema.run_script(connection, script)
    connection.execute("INSERT INTO life VALUES (?, 0)", (boot_id,))
    connection.execute("COMMIT")
    connection.close()
    made.replace(path)


def _connect(path: Path, *, is_new: bool = False) -> sqlite3.Connection:
    packed_rows.offer()
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=32, timeout=0)
    path.chmod(0o600)
    connection.execute(f"PRAGMA busy_timeout={schema.BUSY_TIMEOUT_MS}")
    if is_new:  # said again, it takes room: a full file must be opened all the same
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection
