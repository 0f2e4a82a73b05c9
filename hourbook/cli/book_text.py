"""Entries as lines for people, and DETAILS as a value. Pure."""

from typing import Any, Final

import msgspec

from hourbook.book.render import json_value
from hourbook.rfc3339 import format_utc_ns
from hourbook.words import bound_text, cut_to, padded, text_width, visible
from protocols import errors
from protocols.entry import Entry

__all__ = [
    "cut_after",
    "details_text",
    "entry_line",
    "entry_lines",
    "parse_details",
]

DETAILS_LENGTH_MAX: Final = 100
"""Characters of the details on a line in a pipe or a file; `--json` has them whole."""
DETAILS_LENGTH_MIN: Final = 24
"""Where a line has less room for them, they go on into a second one."""
WRITER_WIDTH: Final = 12
ACTION_WIDTH: Final = 10
"""What most names and actions keep within: a stream cannot know what is to come."""


def parse_details(text: str | None, *, is_json: bool, what: str = "DETAILS") -> Any:  # noqa: ANN401 - any JSON value
    """Return what DETAILS, or another argument, means: nothing, text, or a JSON value.

    Raises:
        BadRequest: bytes that are no UTF-8, no JSON, or an integer that no reader could hold.
    """
    if text is None:
        return None
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise errors.BadRequest(
            f"Expected {what} in UTF-8, got a byte that is not, at character {error.start}",
            field=what.lower(),
        ) from None
    if not is_json:
        return text
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.BadRequest(
            f"Expected {what} in JSON, got {visible(text, 60)!r}: {error}", field=what.lower()
        ) from None


def details_text(value: object) -> str:
    """Return details on one line: text as it is, anything else as compact JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return visible(value)
    return visible(msgspec.json.encode(json_value(value)).decode())


def entry_line(entry: Entry, width: int | None = None) -> str:
    """Return an entry as one line of `tail` and `follow`: in columns, where its words are short.

    Args:
        entry: to be shown.
        width: of the terminal (columns), which the line fills at most; None: there is none.
    """
    before = [
        f"{entry.seq:>6}",
        format_utc_ns(entry.time_ns, digits=3),
        f"{entry.writer:<{WRITER_WIDTH}}",
        padded(visible(entry.action), ACTION_WIDTH),
        visible(entry.entity),
    ]
    tags = [f"#{visible(tag)}" for tag in entry.tags]
    used = sum(text_width(part) + 2 for part in (*before, *tags))
    details = cut_after(used, _shown_details(entry), width)
    return "  ".join(part for part in (*before, details, *tags) if part)


def cut_after(used: int, text: str, width: int | None) -> str:
    """Return what has room of a text on a line for people.

    Args:
        used: columns before it, and after.
        text: visible.
        width: of the terminal (columns); None: there is none.
    """
    if width is None:
        return visible(text, DETAILS_LENGTH_MAX)
    room = max(width, 1) - used % max(width, 1)
    return cut_to(text, room + width if room < DETAILS_LENGTH_MIN else room)


def entry_lines(entry: Entry) -> list[str]:
    """Return an entry as `log` prints it."""
    bound_ns = entry.bound_ns if entry.bound_ns >= 0 else None
    rows = [
        ("details", _shown_details(entry)),
        ("tags", " ".join(f"#{visible(tag)}" for tag in entry.tags)),
        ("time", f"{format_utc_ns(entry.time_ns)}  {bound_text(bound_ns)}"),
        ("writer", entry.writer + (f"  session {entry.session}" if entry.session else "")),
        ("hash", entry.hash.hex()),
        ("parent", entry.parent_hash.hex()),
    ]
    title = f"entry {entry.seq}  {visible(entry.action)}  {visible(entry.entity)}"
    return [title, *(f"  {name:<8} {text}" for name, text in rows if text)]


def _shown_details(entry: Entry) -> str:
    """Return the details, or in brackets why there are none."""
    if entry.details_raw is not None:
        return details_text(entry.details)
    missing = entry.missing
    return "[gone]" if missing is None else f"[{missing.cause}: {visible(missing.why)}]"
