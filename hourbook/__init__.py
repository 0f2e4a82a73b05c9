"""One clock and one book for every agent on the machine: all that an agent needs to import.

``Clock()`` tells the time. ``connect("me")`` opens the book, whose ``store("namespace")`` is state
that all processes share. What they raise is in ``errors``: ``errors.VersionConflict``.

Names load when they are first used: who only wants the time pays for no socket library.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hourbook.c_header import clock_header
    from hourbook.faces.book import Book, connect
    from hourbook.faces.clock import Clock, Order, Reading, Status
    from hourbook.faces.store import Store
    from protocols import errors
    from protocols.entry import Entry
    from protocols.errors import HourbookError

__all__ = [
    "Book",
    "Clock",
    "Entry",
    "HourbookError",
    "Order",
    "Reading",
    "Status",
    "Store",
    "clock_header",
    "connect",
    "errors",
]

_HOMES = {
    "Book": "hourbook.faces.book",
    "Clock": "hourbook.faces.clock",
    "Entry": "protocols.entry",
    "HourbookError": "protocols.errors",
    "Order": "hourbook.faces.clock",
    "Reading": "hourbook.faces.clock",
    "Status": "hourbook.faces.clock",
    "Store": "hourbook.faces.store",
    "clock_header": "hourbook.c_header",
    "connect": "hourbook.faces.book",
}


def __getattr__(name: str) -> object:
    if name == "errors":
        return import_module("protocols.errors")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List what has not loaded yet, too: for ``help(hourbook)`` and the Tab key."""
    return sorted({*globals(), *__all__})
