"""Who serves a leap second in which way, and when that matters. Pure.

Most servers serve UTC as POSIX has it, which steps by a second at a leap second. Some *smear* it:
for a day or so they serve a time that is up to a second beside UTC, and say nothing of it in their
packets. Both are honest, each within its **family**, and a set that mixes them finds a majority for
neither. Families are words: "" steps, "linear24" smears linearly from noon to noon (Google,
Amazon), "meta" over some 17 hours after the leap second; an operator may give names of his own.

A family follows from the name of the server: what the configuration says of it, else what its
operator has published of it or of the one that it follows, else "". Leap seconds come at the end of
a quarter of a year, if at all (ITU-R TF.460-6: June and December first, then March and September),
so only within a day of that is one family alone let vote. No table and no leap bit is trusted for
it: a table may be out of date, a bit be forged, and outside those eight days a year nothing is
lost.
"""

import calendar
import time
from collections.abc import Collection, Mapping
from typing import Final

from hourbook.clock.bounds import Interval
from hourbook.clock.hull import liars_max
from hourbook.clock.reference import identity_of, split_name

__all__ = ["STEPS", "WINDOW_S", "family_of", "in_words", "is_leap_possible", "most_voted"]

STEPS: Final = ""
"""The family of those that serve UTC as POSIX has it."""
WINDOW_S: Final = 86_400
"""Either side of the end of a quarter; the longest smear known ends 17.5 h after it."""
_S_NS: Final = 1_000_000_000
_QUARTER_S_MIN: Final = 90 * 86_400
_YEAR_4000_S: Final = 64_060_588_800
_NONE: Final = "none"
_PUBLISHED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("time.google.com", "time.android.com", "time.aws.com"), "linear24"),
    **{f"time{n}.google.com": "linear24" for n in range(1, 5)},
    **dict.fromkeys(("169.254.169.123", "fd00:ec2::123"), "linear24"),
    "time.facebook.com": "meta",
    **{f"time{n}.facebook.com": "meta" for n in range(1, 6)},
}
"""What operators say of their servers: developers.google.com/time/smear, Amazon Time Sync Service,
engineering.fb.com (2020-03-18, 2022-07-25)."""
_BY_REFERENCE: Final[Mapping[str, str]] = {
    identity_of(host): "linear24"
    for host in (
        "169.254.169.123",
        "fd00:ec2::123",
        *(f"216.239.35.{n}" for n in (0, 4, 8, 12)),  # time1..4.google.com
        *(f"2001:4860:4806{n}::" for n in ("", ":4", ":8", ":c")),
    )
}


def family_of(name: str, configured: Mapping[str, str], upstream: str = "") -> str:
    """Return the family of a server; "" where it does not smear.

    Args:
        name: as configured.
        configured: family by name; "none" does not smear, whatever is published.
        upstream: reference id of what the server follows (8 hex digits), "" for nothing.
    """
    if name in configured:
        return STEPS if configured[name] == _NONE else configured[name]
    host = split_name(name)[0].rstrip(".").lower()
    return _PUBLISHED.get(host) or _BY_REFERENCE.get(upstream, STEPS)


def in_words(family: str) -> str:
    """Return what sources of a family do."""
    return f"smear leap seconds ({family})" if family else "do not smear leap seconds"


def is_leap_possible(claims: Collection[Interval]) -> bool:
    """Say whether UTC may be near a leap second: a source says so, and not liars alone can."""
    near = sum(_touches_quarter(claim) for claim in claims)
    return near > liars_max(len(claims))


def most_voted(families: Collection[str]) -> str:
    """Return the family of the most votes; between equals the one that does not smear, then A-Z."""
    votes = list(families)
    return min(votes, key=lambda family: (-votes.count(family), family), default=STEPS)


def _touches_quarter(claim: Interval) -> bool:
    earliest_s, latest_s = claim.earliest_ns // _S_NS, claim.latest_ns // _S_NS
    if latest_s - earliest_s > _QUARTER_S_MIN:
        return True
    year = time.gmtime(min(max(earliest_s, 0), _YEAR_4000_S)).tm_year
    quarters = (
        calendar.timegm((y, month, 1, 0, 0, 0)) for y in (year, year + 1) for month in (1, 4, 7, 10)
    )
    return any(
        earliest_s <= quarter_s + WINDOW_S and latest_s >= quarter_s - WINDOW_S
        for quarter_s in quarters
    )
