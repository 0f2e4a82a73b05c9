"""Secrets that shall not get into the book: their shapes, and what takes them out of requests."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hourbook.book.screening.screen import Screen

__all__ = ["open_screen"]


def open_screen(names: tuple[str, ...], patterns: dict[str, str]) -> "Screen | None":
    """Return what takes secrets out of requests; None where there are no rules.

    Raises:
        BadRequest: a pattern that RE2 cannot read.
    """
    if not names and not patterns:
        return None
    from hourbook.book.screening.screen import Screen  # noqa: PLC0415 - most books have no rules

    return Screen(names, patterns)
