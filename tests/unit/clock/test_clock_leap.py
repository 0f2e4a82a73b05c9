"""Leap tables: both formats, what they claim at which instant, and what is refused."""

import calendar
from pathlib import Path

import pytest

from hourbook.clock import leap
from hourbook.clock.leap import Leaps, LeapTable
from hourbook.clock.leap_file import find_table

ZIC = """# Leap\tYEAR\tMONTH\tDAY\tHH:MM:SS\tCORR\tR/S
Leap\t1972\tJun\t30\t23:59:60\t+\tS
Leap\t2015\tJun\t30\t23:59:60\t+\tS
#expires 1830384000 (2028-01-02 00:00:00 UTC)
"""
LIST = """#$\t3960835200
#@\t4039372800
2272060800\t10\t# 1 Jan 1972
2287785600\t11\t# 1 Jul 1972
3644697600\t12\t# 1 Jul 2015
"""


def utc_s(*date: int) -> int:
    """Return the seconds since 1970 at the start of a day."""
    return calendar.timegm((*date, 0, 0, 0))


CHANGES = ((utc_s(1972, 1, 1), 10), (utc_s(1972, 7, 1), 11), (utc_s(2015, 7, 1), 12))
TABLE = LeapTable("here", utc_s(2028, 1, 2), CHANGES)


@pytest.mark.parametrize("text", [ZIC, LIST], ids=["leapseconds", "leap-seconds.list"])
def test_both_formats_say_the_same(text: str) -> None:
    """The same changes, as the first second after each."""
    assert leap.parse(text, "here") == TABLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        ZIC.replace("#expires", "#expired"),
        LIST.replace("#@", "#"),
        LIST.replace("3644697600", "2272060801"),
        "#expires 5\n",
        "\0" * 1000,
    ],
)
def test_what_is_no_table_is_refused(text: str) -> None:
    """Without an end, without a beginning, or out of order."""
    with pytest.raises(ValueError, match=r"Expected .*, at here"):
        leap.parse(text, "here")


@pytest.mark.parametrize(
    ("at_s", "indicators", "leaps"),
    [
        (utc_s(1971, 1, 1), (), Leaps(utc_s(1972, 1, 1), 0, 10)),
        (utc_s(2015, 7, 1) - 1, (), Leaps(utc_s(2015, 7, 1), 11, 12)),
        (utc_s(2015, 7, 1), (), Leaps(0, 12, 12)),
        (utc_s(2028, 1, 2) - 1, (1, 1, 1), Leaps(0, 12, 12)),
        (utc_s(2028, 1, 2), (), Leaps()),
        (utc_s(2028, 12, 3), (1, 1, 0), Leaps(utc_s(2029, 1, 1), 12, 13)),
        (utc_s(2028, 6, 3), (2,), Leaps(utc_s(2028, 7, 1), 12, 11)),
        (utc_s(2028, 6, 3), (1, 0), Leaps()),
    ],
)
def test_claims_end_where_the_table_does(
    at_s: int, indicators: tuple[int, ...], leaps: Leaps
) -> None:
    """A table in force outweighs the sources; a stale one leaves it to most of them."""
    assert leap.leaps_at(TABLE, at_s, indicators) == leaps


def test_without_a_table_nothing_is_claimed() -> None:
    """An announced step of an unknown difference would help nobody."""
    assert leap.leaps_at(None, utc_s(2028, 6, 3), (1, 1, 1)) == Leaps()


def test_smear_is_that_of_most_sources() -> None:
    """Known families have kind and length; another is another."""
    assert leap.smear_of([]) == ("", 0, 0)
    assert leap.smear_of(["", "linear24", "linear24"]) == ("linear24", 1, 86_400)
    assert leap.smear_of(["meta"]) == ("meta", 3, 0)


def test_freshest_table_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of several, the one that holds longest; what is none is reported and passed over."""
    fresh, garbage = tmp_path / "fresh", tmp_path / "garbage"
    fresh.write_text(ZIC.replace("1830384000", "9999999999"))
    garbage.write_bytes(b"\xff" * 100)

    table = find_table((tmp_path / "absent", garbage, fresh))

    assert table is not None
    assert (table.path, table.expires_s) == (str(fresh), 9_999_999_999)
    assert f"at {garbage}" in caplog.text


def test_this_machine_has_a_table() -> None:
    """The tzdata package is a dependency, so there always is one; 2017 began with 37 s."""
    table = find_table(())

    assert table is not None
    assert (utc_s(2017, 1, 1), 37) in table.changes
