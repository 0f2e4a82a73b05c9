"""Entries as lines for people, and DETAILS as a value. Pure."""

from typing import Any, Final

import msgspec

from hourbook.book.render import json_value
from hourbook.cli.words import bound_text, visible
from hourbook.rfc3339 import format_utc_ns
from protocols import errors
from protocols.entry import Entry

__all__ = [
    "details_text",
    "entry_line",
    "entry_lines",
    "parse_details",
]

DETAILS_LENGTH_MAX: Final = 100
"""Characters of the details on a line of `tail`; `--json` has them whole."""
WRITER_WIDTH: Final = 12
ACTION_WIDTH: Final = 10
"""What most names and actions keep within: a stream cannot know what is to come."""


def parse_details(text: str | None, *, is_json: bool) -> Any:  # noqa: ANN401 - any JSON value
    """Return what DETAILS means: nothing, text, or a JSON value.

    Raises:
        BadRequest: bytes that are no UTF-8, no JSON, or an integer that no reader could hold.
    """
    if text is None:
        return None
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise errors.BadRequest(
            f"Expected DETAILS in UTF-8, got a byte that is not, at character {error.start}",
            field="details",
        ) from None
    if not is_json:
        return text
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.BadRequest(
            f"Expected DETAILS in JSON, got {visible(text, 60)!r}: {error}", field="details"
        ) from None


def details_text(value: object) -> str:
    """Return details on one line: text as it is, anything else as compact JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return visible(value)
    return visible(msgspec.json.encode(json_value(value)).decode())


def entry_line(entry: Entry) -> str:
    """Return an entry as one line of `tail` and `follow`: in columns, where its words are short."""
    parts = [
        f"{entry.seq:>6}",
        format_utc_ns(entry.time_ns, digits=3),
        f"{entry.writer:<{WRITER_WIDTH}}",
        f"{visible(entry.action):<{ACTION_WIDTH}}",
        visible(entry.entity),
        visible(_shown_details(entry), DETAILS_LENGTH_MAX),
        *(f"#{visible(tag)}" for tag in entry.tags),
    ]
    return "  ".join(part for part in parts if part)


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
