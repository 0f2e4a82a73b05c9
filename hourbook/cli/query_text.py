"""Results of a query as a table, as CSV and as JSON; parameters from the command line. Pure."""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from hourbook.book.render import json_value
from hourbook.book.sql.query import QueryResult, Value
from hourbook.book.sql.view import View
from hourbook.book.sql.views import VIEWS
from hourbook.words import cut_to, padded, text_width, typed_text, visible
from protocols import errors

__all__ = [
    "csv_text",
    "parse_parameters",
    "result_json",
    "schema_json",
    "schema_lines",
    "table_lines",
]

CELL_LENGTH_MAX: Final = 100
"""Characters of a value in a table; --json and --csv have it whole."""
CELL_LENGTH_MIN: Final = 8
"""Letters that a text keeps where the terminal is too narrow."""
_GAP: Final = 2
_PARAMETER: Final = re.compile(r"([A-Za-z_]\w*)(:?=)(.*)", re.ASCII | re.DOTALL)


def parse_parameters(given: Iterable[str]) -> dict[str, Value]:
    """Return values by name from ``name=text`` and ``name:=JSON``.

    Raises:
        BadRequest: of another form, no JSON, JSON that is no single value, or a name twice.
    """
    values: dict[str, Value] = {}
    for argument in given:
        match = _PARAMETER.fullmatch(argument)
        if match is None:
            raise errors.BadRequest(
                f"Expected --param NAME=TEXT or NAME:=JSON, got {argument[:80]!r}", field="param"
            )
        name, form, text = match.groups()
        if name in values:
            raise errors.BadRequest(f"Expected --param {name} once, got it twice", field="param")
        values[name] = typed_text(text) if form == "=" else _json_scalar(name, text)
    return values


def result_json(result: QueryResult) -> dict[str, Any]:
    """Return a result as the document of ``hourbook query --json``."""
    names = _distinct(result.columns)
    return {
        "columns": names,
        "rows": [dict(zip(names, map(json_value, row), strict=True)) for row in result.rows],
        "truncated": result.is_truncated,
        "seq": result.seq,
    }


def csv_text(result: QueryResult) -> str:
    """Return a result as CSV (RFC 4180, lines end with LF): NULL is empty, a BLOB hex digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(result.columns)
    writer.writerows([_plain(value) for value in row] for row in result.rows)
    return text.getvalue()


def table_lines(result: QueryResult, width: int = 0) -> list[str]:
    """Return a result as lines for people: columns aligned, numbers to the right.

    Where the columns do not fit the terminal, each row is shown by itself, a line for a column.

    Args:
        result: of a query.
        width: of the terminal, which texts are cut to fit where they can (0: it has none).
    """
    names = [_cell(name) for name in result.columns]
    cells = [[_cell(_shown(value)) for value in row] for row in result.rows]
    columns = range(len(names))
    is_number = [
        all(isinstance(row[i], int | float | None) for row in result.rows) for i in columns
    ]
    widths = [max(map(text_width, (names[i], *(row[i] for row in cells)))) for i in columns]
    if width:
        widths = _fitted(widths, is_number, width)
        if sum(widths) + _GAP * (len(widths) - 1) > width and cells:
            return _record_lines(names, cells, width)

    def line(row: Sequence[str]) -> str:
        parts = (
            _padded(cell, column, to_the_right=right)
            for cell, column, right in zip(row, widths, is_number, strict=True)
        )
        return "  ".join(parts).rstrip()

    return [line(names), line(["-" * column for column in widths]), *map(line, cells)]


def schema_json() -> dict[str, Any]:
    """Return the stable views as ``hourbook schema --json`` prints them."""
    return {
        "views": [
            {
                "name": view.name,
                "meaning": view.meaning,
                "columns": [
                    {"name": column.name, "type": column.type, "meaning": column.meaning}
                    for column in view.columns
                ],
            }
            for view in VIEWS
        ]
    }


def schema_lines() -> list[str]:
    """Return the stable views for people."""
    lines: list[str] = []
    for view in VIEWS:
        lines += ["", *_view_lines(view)]
    return lines[1:]


def _view_lines(view: View) -> list[str]:
    width = max(len(column.name) for column in view.columns)
    return [
        f"{view.name}: {view.meaning}",
        *(f"  {c.name:<{width}}  {c.type:<7}  {c.meaning}" for c in view.columns),
    ]


def _json_scalar(name: str, text: str) -> Value:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise errors.BadRequest(
            f"Expected JSON in --param {name}:=, got {text[:80]!r}: {error}", field="param"
        ) from None
    if isinstance(value, dict | list):
        raise errors.BadRequest(
            f"Expected one value in --param {name}:=, got {text[:80]!r}", field="param"
        )
    return value if not isinstance(value, bool) else int(value)


def _distinct(columns: Sequence[str]) -> list[str]:
    """Return names as keys of an object: the second `seq` is `seq_2`."""
    names: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names


def _plain(value: Value) -> str | int | float | None:
    return value.hex() if isinstance(value, bytes) else value


def _cell(text: str) -> str:
    return visible(text[: CELL_LENGTH_MAX + 1], CELL_LENGTH_MAX)


def _record_lines(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[str]:
    column = max(map(text_width, names))
    room = max(width - column - _GAP, CELL_LENGTH_MIN)
    lines: list[str] = []
    for number, row in enumerate(cells, 1):
        lines.append(f"-- {number} ".ljust(width, "-"))
        lines += [
            f"{_padded(name, column, to_the_right=False)}  {cut_to(cell, room)}".rstrip()
            for name, cell in zip(names, row, strict=True)
        ]
    return lines


def _fitted(widths: Sequence[int], is_number: Sequence[bool], width: int) -> list[int]:
    """Return widths of columns that fit a line: the widest texts give way, to a few letters."""
    found = list(widths)
    over = sum(found) + _GAP * (len(found) - 1) - width
    while over > 0:
        texts = [i for i, number in enumerate(is_number) if not number]
        widest = max(texts, key=lambda i: found[i], default=None)
        if widest is None or found[widest] <= CELL_LENGTH_MIN:
            return found
        found[widest] -= 1
        over -= 1
    return found


def _padded(cell: str, width: int, *, to_the_right: bool) -> str:
    return padded(cut_to(cell, width), width, to_the_right=to_the_right)


def _shown(value: Value) -> str:
    return "NULL" if value is None else str(_plain(value))
