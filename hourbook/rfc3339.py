"""UTC nanoseconds as RFC 3339 text and back, without a detour through floats. Pure."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from protocols import errors

__all__ = ["format_utc_ns", "parse_utc_ns"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_NS: Final = 1_000_000_000
_FORM: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def format_utc_ns(utc_ns: int, digits: int = 9) -> str:
    """Return a Unix time in nanoseconds as ``2026-11-21T01:35:32.123456789Z``.

    Args:
        utc_ns: nanoseconds since 1970 (years 1 to 9999).
        digits: of the fraction (0..9), cut and never rounded, so that text order is time order.

    Raises:
        BadRequest: outside the years that RFC 3339 can write.
    """
    seconds, fraction_ns = divmod(utc_ns, _SECOND_NS)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise errors.BadRequest(
            f"Expected a time within the years 1 to 9999, got {utc_ns} ns", value=str(utc_ns)
        ) from None
    fraction = f".{fraction_ns:09d}"[: digits + 1] if digits else ""
    # strftime does not pad years below 1000; isoformat does.
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + fraction + "Z"


def parse_utc_ns(text: str) -> int:
    """Return the Unix time in nanoseconds that an RFC 3339 text means.

    Raises:
        BadRequest: not RFC 3339, without an offset, or not a date.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise errors.BadRequest(
            f"Expected a time such as 2026-11-21T01:35:32.5Z, got {text[:80]!r}", value=text[:80]
        )
    day, clock, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in 'Zz' else offset}")
    except ValueError as error:
        raise errors.BadRequest(f"Expected a time, got {text!r}: {error}", value=text) from None
    since = moment - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    return seconds * _SECOND_NS + int((fraction or "").ljust(9, "0"))
