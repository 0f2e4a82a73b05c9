"""The SQLite that Python's `sqlite3` is over: no other library would know of its connections."""

import ctypes

__all__ = ["open_sqlite_library"]


def open_sqlite_library() -> ctypes.CDLL | None:
    """Return that library; None where SQLite is part of the interpreter's own file."""
    try:
        import _sqlite3  # noqa: PLC0415 - not every interpreter has it as a module of its own

        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_initialize  # noqa: B018 - is it seen from outside?
    except (ImportError, AttributeError, OSError):
        return None
    return library
