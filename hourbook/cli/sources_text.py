"""The sources of time as a table for people, as wide as their terminal. Pure.

One line for each source, and beneath it why it is not selected. Columns that tell least go first
where there is no room: what the source follows, its delay, when it was last heard.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hourbook.words import age_text, counted, visible

__all__ = ["MARKS", "sources_lines"]

MARKS: Final[Mapping[str, str]] = {
    "selected": "*",
    "candidate": "+",
    "falseticker": "x",
    "disputed": "~",
    "excluded": "-",
    "rejected": "!",
    "unreachable": "?",
    "unresolved": "?",
    "waiting": ".",
}
"""The first character of a source's line."""

_COLUMNS: Final = (
    "SOURCE", "ST", "REFERENCE", "REACH", "POLL", "LAST", "OFFSET", "DELAY", "DISTANCE",
)  # fmt: skip
_LEFT: Final = frozenset({"SOURCE", "REFERENCE"})
_DROPPED_FIRST: Final = ("REFERENCE", "DELAY", "LAST", "POLL", "ST", "REACH")
_SOURCE_MIN: Final = 8
_GAP: Final = "  "
_REASON_INDENT: Final = "    "
_WIDTH_MIN: Final = 40


def sources_lines(document: Mapping[str, Any], width: int) -> list[str]:
    """Return the table in at most `width` characters, as far as names allow, and its legend."""
    rows = document["sources"]
    if not rows:
        return ["no sources: no server is configured, and this machine's own clock is not used"]
    width = max(width, _WIDTH_MIN)
    cells = [_cells(row) for row in rows]
    head, *lines = _table(cells, width)
    shown = [f"  {head}"]
    for row, line in zip(rows, lines, strict=True):
        shown.append(f"{MARKS[row['state']]} {line}")
        shown += _note(row, width)
    return [*shown, "", *_summary(document, width)]


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "SOURCE": visible(row["source"]),
        "ST": _or_dash(row["stratum"]),
        "REFERENCE": visible(row["reference"] or "-", 15),
        "REACH": _or_dash(row["reach_octal"]),
        "POLL": "-" if row["poll_s"] is None else f"{row['poll_s']}s",
        "LAST": "-" if row["last_rx_s"] is None else age_text(row["last_rx_s"]),
        "OFFSET": _signed(row["offset_ns"]),
        "DELAY": _amount(row["delay_ns"]),
        "DISTANCE": "-" if row["root_distance_ns"] is None else _amount(row["root_distance_ns"]),
    }


def _table(cells: Sequence[Mapping[str, str]], width: int) -> list[str]:
    """Return the head and one line for each source, without the columns that do not fit."""
    widths = {name: max(len(name), *(len(row[name]) for row in cells)) for name in _COLUMNS}
    shown = list(_COLUMNS)
    for column in _DROPPED_FIRST:
        if _room(widths, shown, width) >= widths["SOURCE"]:
            break
        shown.remove(column)
    room = max(_room(widths, shown, width), _SOURCE_MIN)
    widths["SOURCE"] = min(widths["SOURCE"], room)
    head = {name: name for name in _COLUMNS}
    return [
        _GAP.join(_fit(row[name], name, widths[name]) for name in shown).rstrip()
        for row in (head, *cells)
    ]


def _room(widths: Mapping[str, int], shown: Sequence[str], width: int) -> int:
    """Return what the other columns leave for the name."""
    others = [widths[name] + len(_GAP) for name in shown if name != "SOURCE"]
    return width - len("* ") - sum(others)


def _fit(text: str, column: str, width: int) -> str:
    if len(text) > width:
        text = f"{text[: width - 1]}…"
    return text.ljust(width) if column in _LEFT else text.rjust(width)


def _note(row: Mapping[str, Any], width: int) -> list[str]:
    """Return why a source is not selected, or what is odd about it."""
    state = "" if row["state"] == "selected" else _since(row)
    smear = f"smears leap seconds ({visible(row['smear'])})" if row["smear"] else ""
    judged = ": ".join(words for words in (state, visible(row["reason"] or "")) if words)
    text = "; ".join(words for words in (judged, smear) if words)
    return textwrap.wrap(
        text,
        width,
        initial_indent=_REASON_INDENT,
        subsequent_indent=_REASON_INDENT,
        break_on_hyphens=False,
    )


def _since(row: Mapping[str, Any]) -> str:
    state, state_s = str(row["state"]), row["state_s"]
    long = state in ("falseticker", "disputed", "excluded") and state_s is not None
    return f"{state} for {age_text(state_s)}" if long else state


def _summary(document: Mapping[str, Any], width: int) -> list[str]:
    votes = counted(document["voters"], "vote", "votes")
    words = [f"{document['selected']} of {votes} agree" if document["voters"] else "nobody votes"]
    if document["selected"] == document["voters"] == 1:
        words = ["one source alone: nobody checks it"]
    if awaited := len(document["awaited"]):
        words.append(f"waiting for {awaited} of {awaited + document['voters']} sources")
    elif document["voters"] and not document["has_majority"]:
        words.append("no majority: nothing can be promised")
    if document["bound_violations"]:
        times = counted(document["bound_violations"], "time", "times")
        words.append(f"an interval was contradicted {times}")
    if document["own_clock"]:
        words.append(f"this machine's own clock until a server answers: {document['own_clock']}")
    return _legend(document["sources"], width) + textwrap.wrap("; ".join(words), width)


def _legend(rows: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Return what the marks in use mean, in as many lines as they need."""
    meanings: dict[str, list[str]] = {}
    for state, mark in MARKS.items():
        if any(row["state"] == state for row in rows):
            meanings.setdefault(mark, []).append(state)
    lines = [""]
    for mark, states in meanings.items():
        item = f"{mark} {' or '.join(states)}"
        joined = f"{lines[-1]}   {item}" if lines[-1] else item
        if len(joined) > width:
            lines.append(item)
        else:
            lines[-1] = joined
    return lines


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


def _signed(value: int | str | None) -> str:
    return "-" if value is None else _amount(value, "+")


def _amount(value: int | str | None, sign: str = "") -> str:
    """Return nanoseconds with three or four digits: ``+12.3us``, ``4.56ms``, ``10.0s``."""
    if value is None:
        return "-"
    amount = int(value)
    for unit, unit_ns in (("ns", 1), ("us", 1e3), ("ms", 1e6)):
        if abs(amount) < 999.5 * unit_ns:  # else rounded to 1000
            digits = 0 if unit == "ns" else _digits(amount / unit_ns)
            return f"{amount / unit_ns:{sign}.{digits}f}{unit}"
    seconds = amount / 1e9
    return f"{seconds:{sign}.{_digits(seconds)}f}s"


def _digits(value: float) -> int:
    """Return how many decimals make three digits."""
    return max(2 - sum(abs(value) >= edge for edge in (9.995, 99.95)), 0)
