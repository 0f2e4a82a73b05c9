"""How a command gets at the book of a tree that runs, under a name that others may use too."""

from typing import TYPE_CHECKING

from hourbook.home import find_home
from hourbook.tree_status import check_running

if TYPE_CHECKING:
    from hourbook.faces.book import Book

__all__ = ["open_book"]


def open_book(writer: str, home: str | None, *, session: str = "", branch: str = "") -> "Book":
    """Return the book of a home, to be closed by the caller.

    Args:
        writer: the name that stands in what is written.
        home: a directory, or None for the usual one.
        session: as of ``faces.book.connect``.
        branch: as there.

    Raises:
        SupervisorUnreachable: no tree runs there: at once, not after a time-out.
        BadRequest, UnknownName, BookMissing: what ``connect`` does.
    """
    from hourbook.faces.book import connect  # noqa: PLC0415 - completion needs no sockets

    found = find_home(home)
    check_running(found)
    return connect(writer, found, shared=True, session=session, branch=branch)
