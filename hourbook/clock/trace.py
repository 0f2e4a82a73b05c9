"""Recorded measurements: the rows of a CSV file, checked one by one. Pure: lines in, rows out.

The file (RFC 4180) has a header and at least the columns ``t_s`` and ``offset_ms``; ``delay_ms``
may be missing or empty, other columns are ignored. Times increase from row to row. A row that
breaks a rule is an error that names its line: a replay that skipped it would prove nothing about
the rest.
"""

import csv
import math
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from protocols import errors

__all__ = ["OFFSET_MS_MAX", "SPAN_S_MAX", "Row", "read_rows"]

OFFSET_MS_MAX: Final = 1e11
"""Three years: nobody's clock, but still inside the numbers that the model can hold."""
SPAN_S_MAX: Final = 1e9
"""Thirty years, for the same reason."""
DELAY_MS_MAX: Final = 1e6
LINE_BYTES_MAX: Final = 65_536
_TIME_S_MAX: Final = 1e11
_REQUIRED: Final = ("t_s", "offset_ms")
_DELAY: Final = "delay_ms"
_DECIMAL: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""As other programs write a number; ``1_000`` and the digits of other scripts are none."""
_MILLION: Final = 1_000_000
_BILLION: Final = 1_000_000_000


class Row(NamedTuple):
    """One measurement; nanoseconds.

    Attributes:
        t_ns: when, on the clock that was measured.
        offset_ns: true minus local.
        delay_ns: round trip, None where none was recorded.
    """

    t_ns: int
    offset_ns: int
    delay_ns: int | None


def read_rows(lines: Iterable[str], name: str) -> Iterator[Row]:
    """Yield the rows of a CSV file, in order.

    Args:
        lines: of the file, header first.
        name: of the file, for errors.

    Raises:
        BadRequest: no header or no row, a column missing, a value that is no number or out of its
            range, a time that does not increase.
    """
    reader = csv.reader(_limited(lines, name), strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise _bad("a header line with t_s and offset_ms", "an empty file", name)
        columns = _columns(header, name)
        first_ns = before_ns = None
        for cells in reader:
            if not cells:
                continue
            where = f"{name}, line {reader.line_num}"
            row = _row(cells, columns, where)
            if before_ns is not None and row.t_ns <= before_ns:
                asked = f"`t_s` above {before_ns / _BILLION}"
                raise _bad(asked, str(row.t_ns / _BILLION), where)
            first_ns = row.t_ns if first_ns is None else first_ns
            if row.t_ns - first_ns > SPAN_S_MAX * _BILLION:
                asked = f"`t_s` within {SPAN_S_MAX:.0f} s of the first row"
                raise _bad(asked, str(row.t_ns / _BILLION), where)
            before_ns = row.t_ns
            yield row
    except csv.Error as error:
        words = str(error).partition(" - ")[0]  # what follows is advice to a programmer
        raise _bad("a CSV file", words, f"{name}, line {reader.line_num}") from None
    if first_ns is None:
        raise _bad("at least one row", "a header alone", name)


def _limited(lines: Iterable[str], name: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if len(line) > LINE_BYTES_MAX:
            raise _bad(
                f"lines of at most {LINE_BYTES_MAX} characters",
                str(len(line)),
                f"{name}, line {number}",
            )
        yield line


def _columns(header: list[str], name: str) -> tuple[int, int, int | None]:
    names = [cell.strip() for cell in header]
    missing = [column for column in _REQUIRED if column not in names]
    if missing:
        got = ", ".join(names) or "an empty line"
        raise _bad(f"the columns {' and '.join(_REQUIRED)}", got[:200], f"{name}, line 1")
    if twice := [column for column in (*_REQUIRED, _DELAY) if names.count(column) > 1]:
        raise _bad(f"the column {twice[0]} once", str(names.count(twice[0])), f"{name}, line 1")
    delay = names.index(_DELAY) if _DELAY in names else None
    return names.index("t_s"), names.index("offset_ms"), delay


def _row(cells: list[str], columns: tuple[int, int, int | None], where: str) -> Row:
    t, offset, delay = columns
    if max(t, offset) >= len(cells):
        raise _bad(f"at least {max(t, offset) + 1} values", str(len(cells)), where)
    delay_text = cells[delay].strip() if delay is not None and delay < len(cells) else ""
    return Row(
        t_ns=_number(cells[t].strip(), _BILLION, (-_TIME_S_MAX, _TIME_S_MAX), "t_s", where),
        offset_ns=_number(
            cells[offset].strip(), _MILLION, (-OFFSET_MS_MAX, OFFSET_MS_MAX), "offset_ms", where
        ),
        delay_ns=_number(delay_text, _MILLION, (0.0, DELAY_MS_MAX), _DELAY, where)
        if delay_text
        else None,
    )


def _number(text: str, unit_ns: int, bounds: tuple[float, float], column: str, where: str) -> int:
    """Return a value in nanoseconds, exactly as far as they go."""
    value = float(text) if _DECIMAL.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise _bad(f"a number in `{column}`", repr(text[:40]), where)
    if not bounds[0] <= value <= bounds[1]:
        raise _bad(f"`{column}` in {bounds[0]:g}..{bounds[1]:g}", text[:40], where)
    return round(Decimal(text) * unit_ns)


def _bad(expected: str, got: str, where: str) -> errors.BadRequest:
    return errors.BadRequest(f"Expected {expected}, got {got}, at {where}")
