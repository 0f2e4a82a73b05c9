"""The clock's JSON: exact digits as strings, null where nothing is promised."""

import json
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from hourbook.cli.clock_text import monitor_line, now_lines
from hourbook.clock_json import half_width_ns, now_json, snapshot_json

UTC_NS = 1_795_224_932_123_456_789


class Status(IntEnum):
    """The two states that matter here."""

    UNKNOWN = 0
    SYNCHRONIZED = 1


@dataclass
class Taken:
    """A snapshot as the C core returns it, as far as it is looked at."""

    time_ns: int = UTC_NS
    earliest_ns: int = UTC_NS - 1_200_000
    latest_ns: int = UTC_NS + 1_300_000
    sigma_ns: int = 21_000
    status: Status = Status.SYNCHRONIZED
    age_ns: int = 4_200_000
    source: str = "ntp"
    extra: dict[str, Any] = field(default_factory=dict)


UNPUBLISHED = Taken(
    earliest_ns=-(1 << 63),
    latest_ns=(1 << 63) - 1,
    sigma_ns=(1 << 63) - 1,
    status=Status.UNKNOWN,
    age_ns=-1,
    source="",
)


def test_now_json_has_every_field_of_the_contract() -> None:
    """Names, types and digits are as docs/CLI.md lists them."""
    assert now_json(Taken()) == {
        "time": "2026-11-21T01:35:32.123456789Z",
        "time_ns": "1795224932123456789",
        "earliest_ns": "1795224932122256789",
        "latest_ns": "1795224932124756789",
        "sigma_ns": 21_000,
        "status": "SYNCHRONIZED",
        "source": "ntp",
        "age_ms": 4.2,
    }


def test_now_json_is_null_where_nothing_can_be_promised() -> None:
    """Unbounded is null, not a number with nineteen digits."""
    document = now_json(UNPUBLISHED)

    assert document["earliest_ns"] is None
    assert document["latest_ns"] is None
    assert document["sigma_ns"] is None
    assert document["age_ms"] is None
    assert document["source"] == "none"
    assert half_width_ns(UNPUBLISHED) is None


def test_half_width_covers_the_longer_side() -> None:
    """An interval is rarely symmetric; +- must cover both sides."""
    assert half_width_ns(Taken()) == 1_300_000


def test_snapshot_json_survives_a_reader_with_doubles() -> None:
    """After a round trip through doubles every field means what it meant."""
    fields = {
        "time_ns": UTC_NS,
        "earliest_ns": -(1 << 63),
        "status": Status.UNKNOWN,
        "raw_ns": 12,
        "age_ns": -1,
        "is_stale": False,
        "seq": (1 << 63) - 1,
        "growth_ppb": 500_000,
        "earliest_off_ns": -(1 << 63),
        "source": "kernel",
    }
    document = snapshot_json(fields)

    assert document == {
        "time_ns": str(UTC_NS),
        "earliest_ns": None,
        "status": "UNKNOWN",
        "raw_ns": "12",
        "age_ns": None,
        "is_stale": False,
        "seq": str((1 << 63) - 1),
        "growth_ppb": 500_000,
        "earliest_off_ns": None,
        "source": "kernel",
    }
    assert json.loads(json.dumps(document), parse_int=float) == document


def test_now_lines_show_time_interval_and_meaning() -> None:
    """A first-time reader learns what the status means."""
    assert now_lines(Taken()) == [
        "2026-11-21T01:35:32.123456789Z",
        "interval  -1.2 ms .. +1.3 ms",
        "sigma     21 us",
        "status    SYNCHRONIZED: fresh, and checked against a majority of sources",
        "source    ntp, published 4.2 ms ago",
    ]
    assert now_lines(UNPUBLISHED)[1:3] == [
        "interval  unbounded: nothing can be promised",
        "sigma     unknown",
    ]


def test_now_lines_give_no_sigma_that_nobody_vouches_for() -> None:
    """A clock that is compared with itself alone seems to scatter very little."""
    alone = replace(Taken(), earliest_ns=-(1 << 63), latest_ns=(1 << 63) - 1)

    assert now_lines(alone)[1:3] == [
        "interval  unbounded: nothing can be promised",
        "sigma     unknown",
    ]


def test_monitor_line_fits_a_terminal() -> None:
    """Below 80 columns; the age of the page stands there once it means something."""
    fresh, old = monitor_line(Taken()), monitor_line(replace(Taken(), age_ns=2_000_000_000))

    assert fresh == "2026-11-21T01:35:32.123456Z  ±1.3 ms       SYNCHRONIZED  ntp"
    assert old == f"{fresh}, published 2 s ago"
    assert len(old) < 80
