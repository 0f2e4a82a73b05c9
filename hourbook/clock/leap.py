"""Leap seconds: what a table of them says, and how sources serve them. Pure.

A table is either of the two files that come with tzdata: `leap-seconds.list` (IERS, in seconds of
the NTP era) or `leapseconds` (the time zone compiler's). Both name the day from which on they are
not to be believed, since the next leap second may have been announced after them: from then on
nothing is claimed, neither an event nor TAI - UTC, unless most of the selected sources announce an
event by the leap indicator of NTP (RFC 5905, 7.3: it stands in the month of the event).
"""

import calendar
import re
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["SMEARS", "LeapTable", "Leaps", "leaps_at", "parse", "smear_of"]

NTP_ERA_S: Final = 2_208_988_800
"""From 1900 to 1970."""
TAI_MINUS_UTC_1972_S: Final = 10
CHANGES_MAX: Final = 1000
SMEARS: Final = {"": (0, 0), "linear24": (1, 86_400)}
"""Kind and length (seconds) of the families of :mod:`hourbook.clock.smear`, for the page."""
OTHER_SMEAR: Final = (3, 0)
_MONTHS: Final = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_LEAP: Final = re.compile(r"^Leap\s+(\d{4})\s+(\w{3})\s+(\d{1,2})\s+\S+\s+([+-])", re.MULTILINE)
_EXPIRES: Final = re.compile(r"^#expires\s+(\d{1,12})", re.MULTILINE)
_LIST_ROW: Final = re.compile(r"^(\d{1,12})\s+(\d{1,4})\b", re.MULTILINE)
_LIST_EXPIRES: Final = re.compile(r"^#@\s*(\d{1,12})", re.MULTILINE)
_INSERTED, _DELETED = 1, 2


@dataclass(frozen=True, slots=True)
class LeapTable:
    """A table.

    Attributes:
        path: where it was read.
        expires_s: UTC from which on it is not to be believed.
        changes: (UTC, TAI - UTC from then on), both in seconds, in order; never empty.
    """

    path: str
    expires_s: int
    changes: tuple[tuple[int, int], ...]


class Leaps(NamedTuple):
    """What is known of leap seconds at one instant.

    Attributes:
        utc_s: UTC of the next event, as POSIX counts: the first second after it; 0 for none known.
        tai_before_s: TAI - UTC until then; 0 where unknown.
        tai_after_s: TAI - UTC from then on; the same where there is no event.
    """

    utc_s: int = 0
    tai_before_s: int = 0
    tai_after_s: int = 0


def parse(text: str, path: str) -> LeapTable:
    """Return the table in a file of either format.

    Raises:
        ValueError: it is neither, is not in order, or does not say until when it holds.
    """
    is_list = _LIST_EXPIRES.search(text) is not None
    changes = _list_changes(text) if is_list else _zic_changes(text)
    expires = (_LIST_EXPIRES if is_list else _EXPIRES).search(text)
    if expires is None:
        raise ValueError(f"Expected a line that says when the leap table expires, at {path}")
    if not changes or len(changes) > CHANGES_MAX or changes != sorted(changes):
        raise ValueError(
            f"Expected 1..{CHANGES_MAX} leap seconds in order, got {len(changes)}, at {path}"
        )
    return LeapTable(path, int(expires[1]) - (NTP_ERA_S if is_list else 0), tuple(changes))


def leaps_at(table: LeapTable | None, utc_s: int, indicators: Collection[int] = ()) -> Leaps:
    """Return what is known at `utc_s`.

    Args:
        table: None where there is none.
        utc_s: seconds since 1970.
        indicators: leap indicators (0..2) of the sources that agree; heard where no table holds.
    """
    if table is None:
        return Leaps()
    present_s = 0
    for change_s, tai_s in table.changes:
        if change_s > utc_s:
            return Leaps(change_s, present_s, tai_s) if utc_s < table.expires_s else Leaps()
        present_s = tai_s
    if utc_s < table.expires_s:
        return Leaps(0, present_s, present_s)
    step_s = _announced(indicators)
    return Leaps(_next_month_s(utc_s), present_s, present_s + step_s) if step_s else Leaps()


def smear_of(families: Collection[str]) -> tuple[str, int, int]:
    """Return how most of the sources that agree serve leap seconds: family, kind, length (s)."""
    family = Counter(families).most_common(1)[0][0] if families else ""
    return family, *SMEARS.get(family, OTHER_SMEAR)


def _announced(indicators: Collection[int]) -> int:
    """Return by how much more than half of the sources announce that TAI - UTC will change."""
    for indicator, step_s in ((_INSERTED, 1), (_DELETED, -1)):
        if 2 * sum(i == indicator for i in indicators) > len(indicators):
            return step_s
    return 0


def _next_month_s(utc_s: int) -> int:
    now = time.gmtime(utc_s)
    year, month = (now.tm_year, now.tm_mon + 1) if now.tm_mon < 12 else (now.tm_year + 1, 1)  # noqa: PLR2004 - December
    return calendar.timegm((year, month, 1, 0, 0, 0))


def _list_changes(text: str) -> list[tuple[int, int]]:
    rows = _LIST_ROW.findall(text)
    return [(int(ntp_s) - NTP_ERA_S, int(tai_s)) for ntp_s, tai_s in rows]


def _zic_changes(text: str) -> list[tuple[int, int]]:
    """Read days that end with a leap second; the table begins with 10 s at the start of 1972."""
    tai_s = TAI_MINUS_UTC_1972_S
    changes = [(calendar.timegm((1972, 1, 1, 0, 0, 0)), tai_s)]
    for year, month, day, sign in _LEAP.findall(text):
        tai_s += 1 if sign == "+" else -1
        midnight_s = calendar.timegm((int(year), _MONTHS.get(month, 0), int(day), 0, 0, 0))
        changes.append((midnight_s + 86_400, tai_s))
    return changes if len(changes) > 1 else []
