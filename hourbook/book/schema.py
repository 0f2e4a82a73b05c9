"""The database file: how it is opened, what it must be, and how an older one becomes this one.

Assumes one writing process (journal_writer holds that role); any number of readers. The settings
are those of ``docs/JOURNAL.md``: WAL, every commit fsynced, deleted content overwritten. Migrations
go forward only, each in one transaction after a backup; a database of a newer program, or of
another one, is refused and never touched.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from protocols import errors

__all__ = [
    "APPLICATION_ID",
    "BUSY_TIMEOUT_MS",
    "MIGRATIONS",
    "SCHEMA_VERSION",
    "ConnectionFactory",
    "Migration",
    "check_identity",
    "connect_writer",
    "error_code",
    "has_failed",
    "prepare",
    "run_script",
]

APPLICATION_ID: Final = 0x48424B31
"""``HBK1`` in the header of the file, so that file(1) and we know a book from another database."""
BUSY_TIMEOUT_MS: Final = 2000
PAGE_SIZE: Final = 4096
WAL_AUTOCHECKPOINT_PAGES: Final = 16_000
"""62 MiB: the log is moved into the database while idle, and here at the latest."""
_CACHE_KIB: Final = 16 * 1024

ConnectionFactory = Callable[[Path], sqlite3.Connection]
"""Opens the file for writing; a parameter, so that tests can put a failing disk under it: anything
that has the methods of `sqlite3.Connection` which are used here, and raises its errors."""
Migration = Callable[[sqlite3.Connection], None]
_MISTAKES: Final = frozenset(
    (
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_TOOBIG,
    )
)


def connect_writer(path: Path, vfs: str = "") -> sqlite3.Connection:
    """Open the file for writing, creating it when missing, without touching its content.

    Nobody else can read it, nor its log, which takes its mode.

    Args:
        path: of the file.
        vfs: through which it is reached, by its name; "": SQLite's own.
    """
    uri = f"{path.absolute().as_uri()}?psow=1{vfs and f'&vfs={vfs}'}"
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, cached_statements=64, timeout=0
    )
    path.chmod(0o600)
    return connection


def close_writer(connection: sqlite3.Connection, path: Path) -> None:
    """Close, leaving -wal and -shm behind so that readers without write access still can read.

    SQLite deletes both when the last connection closes; a read-only one that is closed after
    ours cannot.
    """
    uri = f"{path.as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as keeper:
        keeper.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        connection.close()


def prepare(connection: sqlite3.Connection, path: Path, *, size_max_bytes: int = 0) -> None:
    """Apply the settings, create the tables of a new book, and migrate an older one.

    Args:
        connection: from a ConnectionFactory.
        path: of the file, for messages and for the backup before a migration.
        size_max_bytes: the largest size of the database (bytes; 0 is no limit).

    Raises:
        UnsupportedVersion: of another program, or of a newer version of this one.
    """
    # First: after a crash a reader may be recovering the log just now.
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    # These two only act while the file is empty, and must come before its first page.
    connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    version = check_identity(connection, path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute(f"PRAGMA wal_autocheckpoint={WAL_AUTOCHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    if size_max_bytes:
        connection.execute(f"PRAGMA max_page_count={max(16, size_max_bytes // PAGE_SIZE)}")
    if version < SCHEMA_VERSION:
        _migrate(connection, path, version)


def check_identity(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of a book; 0 for an empty file.

    Raises:
        UnsupportedVersion: not a book, or one of a newer program.
    """
    application = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    # A writer that died before its first transaction leaves a file with a header and no table.
    if application != APPLICATION_ID and (application, version, tables) != (0, 0, 0):
        raise errors.UnsupportedVersion(
            f"Expected a book (application_id {APPLICATION_ID:#x}), got another database"
            f" ({application:#x}), at {path}",
            field="application_id",
            value=str(application),
            hint="move the file away",
        )
    if version > SCHEMA_VERSION:
        raise errors.UnsupportedVersion(
            f"Expected a book of version {SCHEMA_VERSION} or older, got {version}, at {path}",
            field="user_version",
            value=str(version),
            hint="upgrade hourbook",
        )
    return version


def error_code(error: sqlite3.Error) -> int:
    """Return SQLite's extended result code; 0 where Python itself raised the error."""
    return getattr(error, "sqlite_errorcode", 0)


def has_failed(error: Exception) -> bool:
    """Return whether the disk or the database has, and not a statement that was wrong."""
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return False  # of Python's own
    return isinstance(error, sqlite3.Error) and error_code(error) & 0xFF not in _MISTAKES


def _create(connection: sqlite3.Connection) -> None:
    """Version 1: an empty file becomes an empty book."""
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    _run_script(connection, "schema.sql")


def _add_changes(connection: sqlite3.Connection) -> None:
    """Version 2: outcomes of changes, instances, cursors, sessions."""
    _run_script(connection, "schema_2.sql")


def _add_clock_steps(connection: sqlite3.Connection) -> None:
    """Version 3: where the clock was set back; registrations found without a scan."""
    _run_script(connection, "schema_3.sql")


def _add_detached(connection: sqlite3.Connection) -> None:
    """Version 4: where details are that were archived, and which were dropped."""
    _run_script(connection, "schema_4.sql")


def _add_branches(connection: sqlite3.Connection) -> None:
    """Version 5: branches."""
    _run_script(connection, "schema_5.sql")


def _add_pid_namespaces(connection: sqlite3.Connection) -> None:
    """Version 6: in which namespace the pid of a holder counts."""
    _run_script(connection, "schema_6.sql")


def _add_store(connection: sqlite3.Connection) -> None:
    """Version 7: keys and their past, schemas, leases."""
    _run_script(connection, "schema_7.sql")


def _run_script(connection: sqlite3.Connection, name: str) -> None:
    run_script(connection, resources.files("hourbook.book").joinpath(name).read_text("utf-8"))


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run the statements of a script inside the open transaction."""
    for statement in _statements(script):
        connection.execute(statement)


MIGRATIONS: Final[Sequence[Migration]] = (
    _create,
    _add_changes,
    _add_clock_steps,
    _add_detached,
    _add_branches,
    _add_pid_namespaces,
    _add_store,
)
"""``MIGRATIONS[n]`` turns version n into n + 1."""
SCHEMA_VERSION: Final = len(MIGRATIONS)


def _migrate(connection: sqlite3.Connection, path: Path, version: int) -> None:
    if version > 0:
        _copy_aside(connection, path.with_name(f"{path.name}.v{version}"))
    for number in range(version, SCHEMA_VERSION):
        connection.execute("BEGIN IMMEDIATE")
        try:
            MIGRATIONS[number](connection)
            connection.execute(f"PRAGMA user_version={number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise


def _copy_aside(connection: sqlite3.Connection, copy: Path) -> None:
    """Copy the database as it is, durably, to a file that only its owner can read."""
    copy.unlink(missing_ok=True)  # of an attempt that failed
    descriptor = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        connection.execute("VACUUM INTO ?", (str(copy),))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _statements(script: str) -> list[str]:
    """Split a script into statements; sqlite3's executescript would commit our transaction."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
