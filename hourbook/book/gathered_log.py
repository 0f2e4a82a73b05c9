"""A connection that hands each transaction to the system by one write, for who writes much.

SQLite writes each page of its log by two calls, and a commit of a few keys has some twenty pages.
``_gathered_log.c`` gathers them; why that is safe, and for whom, it says.
"""

import ctypes
import functools
import sqlite3
from pathlib import Path

from hourbook.book import schema
from hourbook.book._gathered_log import register
from hourbook.book.sqlite_library import open_sqlite_library

__all__ = ["connect_gathering"]


def connect_gathering(path: Path) -> sqlite3.Connection:
    """Open a file for writing as ``schema.connect_writer`` does, where it can be had by our VFS.

    Only for a connection that is ``synchronous=FULL`` before it writes (``schema.prepare``).
    """
    return schema.connect_writer(path, vfs="gathered-log" if _is_there() else "")


@functools.cache
def _is_there() -> bool:
    """Add the VFS to the library that `sqlite3` is over; return whether that could be done."""
    if (library := open_sqlite_library()) is None:
        return False
    functions = library.sqlite3_vfs_find, library.sqlite3_vfs_register
    return register(*(ctypes.cast(each, ctypes.c_void_p).value or 0 for each in functions))
