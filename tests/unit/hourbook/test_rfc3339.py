"""RFC 3339 text keeps every nanosecond, in both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hourbook.rfc3339 import format_utc_ns, parse_utc_ns
from protocols import errors

YEAR_9999_NS = 253_402_300_799_999_999_999


def test_format_writes_nine_digits_and_z() -> None:
    """The last digit is a nanosecond, and the zone is UTC."""
    assert format_utc_ns(1_795_224_932_123_456_789) == "2026-11-21T01:35:32.123456789Z"


def test_format_cuts_and_never_rounds_when_asked_for_fewer_digits() -> None:
    """Rounding up would make a text that sorts after its own time."""
    assert format_utc_ns(999_999_999, digits=3) == "1970-01-01T00:00:00.999Z"
    assert format_utc_ns(999_999_999, digits=0) == "1970-01-01T00:00:00Z"


def test_format_pads_years_and_takes_times_before_1970() -> None:
    """Year 1 has four digits, and a nanosecond before the epoch is in 1969."""
    assert format_utc_ns(-62_135_596_800_000_000_000).startswith("0001-01-01T00:00:00.")
    assert format_utc_ns(-1) == "1969-12-31T23:59:59.999999999Z"


def test_format_refuses_a_year_that_rfc_3339_cannot_write() -> None:
    """The error names the number."""
    with pytest.raises(errors.BadRequest, match="years 1 to 9999"):
        format_utc_ns(YEAR_9999_NS + 1)


def test_parse_understands_offsets_and_short_fractions() -> None:
    """An offset is subtracted; half a second is .5."""
    assert parse_utc_ns("2026-11-21T03:35:32.5+02:00") == 1_795_224_932_500_000_000


@pytest.mark.parametrize(
    "text", ["", "now", "2026-11-21", "2026-11-21T01:35:32", "2026-13-01T00:00:00Z", "1 OR 1=1"]
)
def test_parse_refuses_what_is_not_a_time(text: str) -> None:
    """The error shows an example of what is expected."""
    with pytest.raises(errors.BadRequest, match="Expected a time"):
        parse_utc_ns(text)


@given(st.integers(min_value=-62_135_596_800_000_000_000, max_value=YEAR_9999_NS))
def test_parse_returns_what_format_wrote(utc_ns: int) -> None:
    """No nanosecond is lost on the way."""
    assert parse_utc_ns(format_utc_ns(utc_ns)) == utc_ns
