"""Rows in columns, as a person reads them in a terminal. Pure."""

from collections.abc import Sequence

from hourbook.words import padded, text_width, visible

__all__ = ["table"]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows, the first of them titles, in columns as wide as their widest cell.

    Columns of numbers are aligned on their right.
    """
    columns = zip(*([visible(cell) for cell in row] for row in rows), strict=True)
    aligned = [_aligned(column) for column in columns]
    return ["  ".join(cells).rstrip() for cells in zip(*aligned, strict=True)]


def _aligned(column: Sequence[str]) -> list[str]:
    width = max(map(text_width, column))
    is_number = all(cell.isdecimal() or cell == "-" for cell in column[1:])
    return [padded(cell, width, to_the_right=is_number) for cell in column]
