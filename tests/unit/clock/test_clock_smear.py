"""Leap-smear families: who belongs to which, and when only one of them may vote."""

import calendar

import pytest

from hourbook.clock import reference, smear
from hourbook.clock.bounds import Interval

S_NS = 1_000_000_000


def claim(*moment: int, half_width_s: int = 1) -> Interval:
    """Return an interval about a UTC date and time."""
    utc_s = calendar.timegm((*moment, *(0,) * (6 - len(moment))))
    return Interval((utc_s - half_width_s) * S_NS, (utc_s + half_width_s) * S_NS)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("0.pool.ntp.org", ""),
        ("time.google.com", "linear24"),
        ("TIME3.Google.com.", "linear24"),
        ("time.google.com:123", "linear24"),
        ("169.254.169.123", "linear24"),
        ("[fd00:ec2::123]", "linear24"),
        ("time2.facebook.com", "meta"),
        ("time.nist.gov", ""),
    ],
)
def test_published_smears_are_known_by_name(name: str, family: str) -> None:
    """What the operators of the large ones say of their servers."""
    assert smear.family_of(name, {}) == family


def test_configuration_has_the_last_word() -> None:
    """It may add a family, and deny one."""
    configured = {"ntp.lan": "linear24", "time.google.com": "none"}

    assert smear.family_of("ntp.lan", configured) == "linear24"
    assert smear.family_of("time.google.com", configured) == ""


def test_server_behind_a_smearing_one_smears_too() -> None:
    """A local chronyd on a cloud machine follows the cloud's own server."""
    upstream = reference.identity_of("169.254.169.123")

    assert smear.family_of("127.0.0.1:123", {}, upstream) == "linear24"
    assert smear.family_of("127.0.0.1:123", {"127.0.0.1:123": "none"}, upstream) == ""


@pytest.mark.parametrize(
    ("moment", "possible"),
    [
        ((2026, 12, 31, 0, 0, 2), True),
        ((2026, 12, 30, 23, 59, 57), False),
        ((2027, 1, 1, 23, 59), True),
        ((2027, 1, 2, 0, 0, 2), False),
        ((2027, 6, 30, 12), True),
        ((2027, 9, 30, 12), True),
        ((2027, 8, 15), False),
        ((2036, 2, 8), False),
    ],
)
def test_leap_is_possible_within_a_day_of_the_end_of_a_quarter(
    moment: tuple[int, ...], *, possible: bool
) -> None:
    """Elsewhere no leap second has ever been, and none may be."""
    assert smear.is_leap_possible([claim(*moment)]) is possible


def test_wide_claim_may_be_near_a_leap() -> None:
    """Who does not know the month cannot exclude the end of a quarter."""
    assert smear.is_leap_possible([claim(2027, 8, 15, half_width_s=50 * 86_400)])
    assert smear.is_leap_possible([claim(2027, 8, 15, half_width_s=10**10)])


def test_liars_alone_do_not_bring_a_leap_near() -> None:
    """One of three says New Year; two of three are believed."""
    august, new_year = claim(2027, 8, 15), claim(2027, 1, 1)

    assert not smear.is_leap_possible([august, august, new_year])
    assert smear.is_leap_possible([august, new_year, new_year])


def test_most_voted_family_speaks_and_a_tie_goes_to_those_that_do_not_smear() -> None:
    """The rule depends on nothing but the votes."""
    assert smear.most_voted(["", "linear24", "linear24"]) == "linear24"
    assert smear.most_voted(["linear24", ""]) == ""
    assert smear.most_voted(["meta", "linear24"]) == "linear24"
    assert smear.most_voted([]) == ""
