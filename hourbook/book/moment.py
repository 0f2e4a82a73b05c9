"""A moment of the book as people name it: a seq, a time, or a hash. Pure.

A bare number is a seq below 10^9, and from there on a time since 1970, in the unit that its size
tells: seconds (until the year 5138), milliseconds, microseconds or nanoseconds. Hex digits are the
beginning of a hash. Where that would mislead, `seq:`, `time:` or `hash:` in front says which.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from hourbook.rfc3339 import parse_utc_ns
from protocols import errors
from protocols.entry import HASH_SIZE

__all__ = ["HASH_DIGITS_MIN", "Moment", "MomentLike", "parse_moment"]

HASH_DIGITS_MIN: Final = 8
_HASH_DIGITS_MAX: Final = 2 * HASH_SIZE
_SEQ_MAX: Final = 10**9 - 1
"""The largest bare number that is a seq; as seconds it would be in 2001."""
_UNITS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (1 << 63, 1))
"""Below each number, how many nanoseconds its unit has."""
_NUMBER: Final = re.compile(r"\d{1,19}", re.ASCII)
_SECONDS: Final = re.compile(r"(\d{1,11})\.(\d{1,9})", re.ASCII)
_HEX: Final = re.compile(rf"[0-9a-fA-F]{{{HASH_DIGITS_MIN},{_HASH_DIGITS_MAX}}}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

MomentLike = int | str | bytes | datetime
"""A seq or time since 1970; any text; a hash; a time with its offset from UTC."""


class Moment(msgspec.Struct, frozen=True):
    """Exactly one of the three, and how it was written.

    Attributes:
        text: for messages.
        seq: of an entry (>= 0).
        time_ns: UTC (nanoseconds since 1970).
        hash_digits: the first 8 to 64 hex digits, lower case.
    """

    text: str
    seq: int | None = None
    time_ns: int | None = None
    hash_digits: str | None = None


def parse_moment(named: MomentLike, field: str = "at") -> Moment:
    """Return what was named.

    Raises:
        BadRequest: none of the three.
    """
    match named:
        case bool():
            pass
        case int() if 0 <= named < 1 << 63:
            return _number(str(named), named)
        case str():
            return _parse_text(named, field)
        case bytes() if HASH_DIGITS_MIN <= 2 * len(named) <= _HASH_DIGITS_MAX:
            return Moment(named.hex(), hash_digits=named.hex())
        case datetime() if named.tzinfo is not None:
            since = (named - _EPOCH) // timedelta(microseconds=1)
            return Moment(named.isoformat(), time_ns=since * 1000)
    raise _refusal(repr(named), field)


def _parse_text(text: str, field: str) -> Moment:
    form, colon, rest = text.partition(":")
    if not colon or form not in ("seq", "time", "hash"):
        form, rest = "", text
    if form in ("", "seq", "time") and _NUMBER.fullmatch(rest) and int(rest) < 1 << 63:
        number = int(rest)
        if form == "seq":
            return Moment(text, seq=number)
        return _number(text, number) if not form else Moment(text, time_ns=_time_ns(number))
    if form in ("", "hash") and _HEX.fullmatch(rest):
        return Moment(text, hash_digits=rest.lower())
    if form in ("", "time"):
        if seconds := _SECONDS.fullmatch(rest):
            return Moment(text, time_ns=int(seconds[1]) * 10**9 + int(seconds[2].ljust(9, "0")))
        try:
            return Moment(text, time_ns=parse_utc_ns(rest))
        except errors.BadRequest:
            pass
    raise _refusal(repr(text[:80]), field)


def _number(text: str, number: int) -> Moment:
    if number <= _SEQ_MAX:
        return Moment(text, seq=number)
    return Moment(text, time_ns=_time_ns(number))


def _time_ns(number: int) -> int:
    return number * next(unit_ns for end, unit_ns in _UNITS if number < end)


def _refusal(got: str, field: str) -> errors.BadRequest:
    return errors.BadRequest(
        "Expected a seq, a time such as 2026-11-21T01:35:32Z or seconds since 1970, or at least"
        f" {HASH_DIGITS_MIN} hex digits of a hash, got {got}",
        field=field,
        value=got,
    )
