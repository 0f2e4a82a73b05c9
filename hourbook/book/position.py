"""A place in the book as people name it: a seq, or a time. Pure."""

import re
from typing import Final

import msgspec

from hourbook.rfc3339 import parse_utc_ns
from protocols import errors

__all__ = ["Position", "parse_position"]

_SEQ: Final = re.compile(r"\d{1,18}", re.ASCII)


class Position(msgspec.Struct, frozen=True):
    """Exactly one of both.

    Attributes:
        seq: of an entry (>= 0; 0 is before the first).
        time_ns: UTC (nanoseconds since 1970).
    """

    seq: int | None = None
    time_ns: int | None = None


def parse_position(text: str, field: str) -> Position:
    """Return what `text` means: digits are a seq, anything else a time in RFC 3339.

    Raises:
        BadRequest: neither.
    """
    if _SEQ.fullmatch(text):
        return Position(seq=int(text))
    try:
        return Position(time_ns=parse_utc_ns(text))
    except errors.BadRequest:
        raise errors.BadRequest(
            f"Expected a seq or a time such as 2026-11-21T01:35:32Z, got {text[:80]!r}, in {field}",
            field=field,
            value=text[:80],
        ) from None
