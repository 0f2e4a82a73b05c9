"""What a stable view is made of (``hourbook.book.sql.views`` has them all). Pure."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["Column", "Extent", "View", "time_text"]


class Column(NamedTuple):
    """One column of a view: its SQLite type, what it means, and the expression that makes it."""

    name: str
    type: str
    meaning: str
    sql: str


class Extent(NamedTuple):
    """How much of the book the views show.

    Attributes:
        at_seq: the last seq; None shows all.
        stretches: (branch, last seq) of each stretch of entries that is shown; None shows those of
            every branch, and of keys those of main.
        now_ns: UTC at which time limits of values are judged.
    """

    at_seq: int | None = None
    stretches: Sequence[tuple[int, int]] | None = None
    now_ns: int = 0


class View(NamedTuple):
    """One stable view; `source` is what its columns are taken from, to some extent."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    source: Callable[[Extent], str]


def time_text(time_ns: str) -> str:
    """Return SQL for RFC 3339 text with nine digits, as ``rfc3339.format_utc_ns`` writes it."""
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {time_ns} / 1000000000, 'unixepoch')"
        f" || printf('.%09dZ', {time_ns} % 1000000000)"
    )
