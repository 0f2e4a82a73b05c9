"""`hourbook clock why`: its JSON and its lines, with a model's answer and without one."""

import json
from typing import Any

import pytest
from fakes.time_pages import page_now, reader_of, segment_bytes, state

from hourbook.cli.why_text import why_lines
from hourbook.clock.reasons import status_reason
from hourbook.clock_why import why_json
from protocols.why_messages import ForecasterWhy, SourceWhy, Why
from shm import layout
from shm._core import Snapshot
from shm.layout import Flag, Status

S = 1_000_000_000
MODEL = Why(
    raw_ns=5,
    status=1,
    reason="2 of 3 sources agree",
    bounded=True,
    earliest_off_ns=-2_000_000,
    latest_off_ns=3_000_000,
    earliest_source="ntp.a",
    latest_source="ntp.b",
    vote_age_ns=S,
    growth_ns=50_000,
    rate_ppb=12_345,
    reference_ppb=12_000,
    max_drift_ppb=50_000,
    is_rate_measured=True,
    growth_ppb=50_345,
    sources=(
        SourceWhy(
            source="ntp.a",
            origin="ntp",
            standing="selected",
            stratum=2,
            terms={"delay_ns": 400_000, "root_dispersion_ns": 1_000_000, "bracket_ns": 0},
            half_width_ns=1_400_000,
            age_ns=2 * S,
            growth_ns=100_000,
            earliest_off_ns=-2_000_000,
            latest_off_ns=1_000_000,
        ),
        SourceWhy(source="liar\x1b", origin="ntp", standing="falseticker", reason="ends early"),
    ),
    forecasters=(
        ForecasterWhy(
            forecaster="line",
            phase="idle",
            weight=0.1234,
            age_ns=16 * S,
            horizon_ns=64 * S,
            claimed_ns=1_500_000,
            claimed_share=0.9,
            answers=12,
            failures={"late": 2},
        ),
        ForecasterWhy(
            forecaster="other",
            phase="resting",
            failures={"crashed": 1},
            problem="exit code 1: RuntimeError: \x1b",
        ),
    ),
    sources_selected=2,
    sources_total=3,
    rejected={"out_of_order": 4},
    disruptions={"suspend": 2},
    bound_violations=1,
    samples=99,
    leap_table="/table",
    leap_expires_s=1_814_140_800,
    tai_minus_utc_s=37,
)


def looked(**changes: Any) -> Snapshot:
    """Return a snapshot of a page."""
    return reader_of(segment_bytes(page_now(**changes))).snapshot()


def test_forecasters_are_told_with_weight_age_and_failures() -> None:
    """As JSON, where what there is not is null; and as lines that no plug-in can break."""
    document = why_json(looked(), MODEL)
    line, other = document["model"]["forecasters"]

    lines = why_lines(document)

    assert (line["weight"], line["age_ns"], line["claimed_share"]) == (0.1234, 16 * S, 0.9)
    assert (other["age_ns"], other["horizon_ns"], other["claimed_ns"]) == (None, None, None)
    begin = next(n for n, text in enumerate(lines) if text.startswith("forecasts"))
    shown = "line  12.3% of the centre, idle, its last is 16 s old (good for 64 s), ended late 2"
    assert lines[begin : begin + 4] == [
        f"forecasts {shown}",
        "            claims ±1.5 ms for 90% of measurements",
        "          other  0.0% of the centre, resting, ended crashed 1",
        "            exit code 1: RuntimeError: \\x1b",
    ]


def test_json_has_every_term() -> None:
    """It is plain JSON; what is unbounded or unknown is null."""
    document = json.loads(json.dumps(why_json(looked(leap_tai_s=37 << 32 | 37), MODEL)))

    assert document["status"] == "SYNCHRONIZED"
    assert document["reason"] == MODEL.reason
    assert document["leap"] == {
        "next": None, "tai_minus_utc_s": 37, "tai_minus_utc_after_s": 37,
        "smear": "none", "smear_length_s": 0,
    }  # fmt: skip
    model = document["model"]
    assert model["interval"]["earliest_source"] == "ntp.a"
    assert model["premise"]["max_drift_ppb"] == 50_000
    assert model["sources"][0]["terms"]["delay_ns"] == 400_000
    assert model["sources"][1]["half_width_ns"] is None
    assert model["disruptions"] == {"suspend": 2}
    assert model["leap_table_expires"].startswith("2027-06-28T")


def test_lines_have_every_term() -> None:
    """Each source with its sum; nothing that a server is named can move the cursor."""
    text = "\n".join(why_lines(why_json(looked(leap_utc_s=1_814_400_000), MODEL)))

    assert "SYNCHRONIZED: 2 of 3 sources agree" in text
    assert "±1.4 ms = delay 400 us + root dispersion 1 ms" in text
    assert "and 100 us for its age of 2 s: -2 ms .. +1 ms about the estimate" in text
    assert "rate is 12 ppm ± 50 ppm (measured)" in text
    assert "falseticker: ends early" in text
    assert "rejected out_of_order 4" in text
    assert "suspend 2" in text
    assert "from 2027-07-01" in text
    assert "/table until 2027-06-28" in text
    assert "\x1b" not in text


def test_lines_are_broken_for_a_narrow_terminal() -> None:
    """Not one word is lost, and what goes on is indented."""
    document = why_json(looked(), MODEL)

    lines = why_lines(document, 60)

    assert max(map(len, lines)) <= 60
    assert " ".join(lines).split() == " ".join(why_lines(document)).split()
    assert any(line.startswith(" " * 10) for line in lines)


def test_without_a_model_the_page_explains_itself() -> None:
    """The interval and its growth are there, and why nobody could be asked."""
    document = why_json(looked(), None, "nobody there")
    text = "\n".join(why_lines(document))

    assert document["model"] is None
    assert document["interval"]["growth_ppb"] == 50_000
    assert "a majority of sources confirmed" in text
    assert "not asked: nobody there" in text


def test_model_of_another_status_does_not_explain_what_readers_see() -> None:
    """The model is content, and the page is old: that is what is to be said."""
    document = why_json(looked(published_raw_ns=1), MODEL)

    assert document["status"] == "FREE_RUNNING"
    assert document["reason"].startswith("nothing has been published for")


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({}, 1, "a majority of sources confirmed the interval"),
        ({"state": state(1, flags=Flag.SINGLE_SOURCE)}, 1, "the only source confirmed"),
        ({"state": state(0)}, 0, "no majority of sources vouches"),
        ({"void_after_raw_ns": 1}, 0, "no accepted sample for"),
        ({"boottime_minus_monotonic_ns": -S}, 3, "the machine slept"),
        ({"state": state(3)}, 3, "what was measured before a disruption"),
        (
            {"state": state(2, flags=Flag.KERNEL_UNPROVEN)},
            2,
            "the interval is what the kernel says",
        ),
        ({"state": state(2, flags=Flag.ASSERTED)}, 2, "the interval is what the operator"),
        ({"state": state(2)}, 2, "the interval is of an earlier run"),
        ({"state": state(2), "poll_ns": 0}, 2, "no accepted sample for"),
        ({"published_raw_ns": 1}, 2, "nothing has been published for"),
        ({"poll_ns": 0}, 2, "no accepted sample for"),
    ],
)
def test_every_status_of_the_page_has_its_reason(
    changes: dict[str, Any], status: int, reason: str
) -> None:
    """In the order in which the C reader decides."""
    page = looked(**changes)

    assert page.status is Status(status)
    assert status_reason(page)[: len(reason)] == reason


def test_empty_and_stuck_pages_have_theirs() -> None:
    """Nothing was published; or the publisher died inside an update."""
    empty = reader_of(segment_bytes(layout.TimePage())).snapshot()
    stuck = reader_of(segment_bytes(page_now(seq=3), page_now(seq=2))).snapshot()

    assert status_reason(empty).startswith("nothing has been published since")
    assert status_reason(stuck).startswith("the publisher is stuck")
