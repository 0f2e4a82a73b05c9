"""SQLite's multi-thread mode, for a process that writes much: it takes no lock for what it owns.

By default SQLite guards each connection, and the sum of what it has allocated, by a mutex that is
taken at every value that is bound: a fifth of an INSERT. In multi-thread mode a connection belongs
to one thread at a time, which the `sqlite3` module sees to anyhow (``check_same_thread``); the sum
nobody asks for. See "Using SQLite In Multi-Threaded Applications" and "Recommended Compile-time
Options" (SQLITE_DEFAULT_MEMSTATUS) in SQLite's documentation.

The mode is the process's, not a connection's: it is for processes that are all ours.
"""

import contextlib
import ctypes
import sqlite3
from typing import Final

from hourbook.book.sqlite_library import open_sqlite_library

__all__ = ["enter_multi_thread_mode"]

_CONFIG_MULTITHREAD: Final = 2
_CONFIG_MEMSTATUS: Final = 9


def enter_multi_thread_mode() -> bool:
    """Take no more locks than needed, from now on; return whether that could be had.

    It cannot where a connection is open, as far as SQLite can tell, or where SQLite is part of the
    interpreter's own file.
    """
    library = open_sqlite_library()
    if library is None or not _is_unused(library):
        return False
    if library.sqlite3_shutdown() != sqlite3.SQLITE_OK:
        return False
    results = (
        library.sqlite3_config(_CONFIG_MULTITHREAD),
        library.sqlite3_config(_CONFIG_MEMSTATUS, 0),
        library.sqlite3_initialize(),
    )
    return results == (sqlite3.SQLITE_OK,) * 3


def _is_unused(library: ctypes.CDLL) -> bool:
    """Return whether no connection is open; False where SQLite keeps no sum that would tell."""
    memory_used = library.sqlite3_memory_used
    memory_used.restype = ctypes.c_int64
    with contextlib.closing(sqlite3.connect(":memory:")):
        keeps_sum = bool(memory_used())
    return keeps_sum and not memory_used()
