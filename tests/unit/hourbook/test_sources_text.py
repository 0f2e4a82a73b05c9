"""The sources as a table: it fits its terminal, and tells a person what to do."""

from typing import Any

import pytest

from hourbook.cli.sources_text import MARKS, sources_lines
from hourbook.source_json import STATES, sources_json
from protocols.source_messages import Judged, Sampled, ServerReport, SourceReport

SAMPLED = Sampled(
    servers=(
        ServerReport(
            source="time.example.org", condition="answering", address="192.0.2.1:123", reach=255,
            poll_s=64, answer_age_ms=33_000, stratum=1, reference="GPS",
        ),
        ServerReport(
            source="a-rather-long-name.of.a.server.example.net:11123", condition="answering",
            reach=0b1110111, poll_s=256, answer_age_ms=3_725_000, stratum=2,
            reference="203.0.113.254", smear="linear24",
        ),
        ServerReport(
            source="name.invalid", condition="unresolved",
            trouble="does not resolve: [Errno -2] Name or service not known",
        ),
    )
)  # fmt: skip
JUDGED = Judged(
    sources=(
        SourceReport(
            source="time.example.org", origin="ntp", standing="selected", offset_ns=-12_345,
            delay_ns=9_876_543, root_distance_ns=20_100_000,
        ),
        SourceReport(
            source="a-rather-long-name.of.a.server.example.net:11123", origin="ntp",
            standing="falseticker", reason="begins 2993.710 ms after the majority",
            standing_ms=3_600_000, offset_ns=3_004_000_000, delay_ns=250, root_distance_ns=999_999,
        ),
    ),
    voters=2,
    has_majority=True,
)  # fmt: skip


def document(sampled: Sampled = SAMPLED, judged: Judged = JUDGED) -> dict[str, Any]:
    """Return what the table is drawn from."""
    return sources_json(sampled, judged)


def test_every_state_has_a_mark() -> None:
    """The first character of each line is known for whatever may come."""
    assert set(MARKS) == set(STATES)


def test_wide_table_shows_every_column() -> None:
    """Names in full, octal reach, three digits and a unit."""
    head, first, second, *_ = sources_lines(document(), 140)

    assert head.split() == [
        "SOURCE", "ST", "REFERENCE", "REACH", "POLL", "LAST", "OFFSET", "DELAY", "DISTANCE"
    ]  # fmt: skip
    assert first.split()[:4] == ["*", "time.example.org", "1", "GPS"]
    assert first.split()[-6:] == ["377", "64s", "33.0s", "-12.3us", "9.88ms", "20.1ms"]
    assert second.split()[-6:] == ["167", "256s", "1h02m", "+3.00s", "250ns", "1.00ms"]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Columns go, names are cut, reasons wrap; offset and distance stay."""
    lines = sources_lines(document(), width)

    assert [line for line in lines if len(line) > width] == []
    assert {"SOURCE", "OFFSET", "DISTANCE"} <= set(lines[0].split())


def test_reasons_stand_beneath_their_source() -> None:
    """Who is not believed is told why, and for how long already."""
    lines = sources_lines(document(), 140)

    assert lines[3] == (
        "    falseticker for 1h00m: begins 2993.710 ms after the majority;"
        " smears leap seconds (linear24)"
    )
    assert lines[5] == ("    unresolved: does not resolve: [Errno -2] Name or service not known")
    assert lines[-2:] == ["* selected   x falseticker   ? unresolved", "1 of 2 votes agree"]


def test_hostile_names_cannot_drive_the_terminal() -> None:
    """A reference id and a reason come from strangers."""
    sampled = Sampled(
        servers=(
            ServerReport(source="a", condition="silent", reference="\x1b[2J", trouble="\x1b]0;x"),
        )
    )

    assert "\x1b" not in "".join(sources_lines(document(sampled, Judged()), 80))


def test_nothing_configured_is_said_in_words() -> None:
    """No table without rows."""
    (line,) = sources_lines(document(Sampled(), Judged()), 80)

    assert line.startswith("no sources")


def test_disagreement_and_own_clock_are_told_at_the_end() -> None:
    """What the sources mean together, and what serves in their place."""
    sampled = Sampled(servers=SAMPLED.servers[:1], own_clock="within 0.016 s")
    judged = Judged(
        sources=(
            SourceReport(source="time.example.org", origin="ntp", standing="no_majority"),
            SourceReport(source="b", origin="ntp", standing="no_majority"),
        ),
        voters=2,
        bound_violations=1,
    )

    lines = sources_lines(document(sampled, judged), 200)

    assert lines[-2] == "~ disputed"
    assert lines[-1].split("; ") == [
        "0 of 2 votes agree",
        "no majority: nothing can be promised",
        "an interval was contradicted 1 time",
        "this machine's own clock until a server answers: within 0.016 s",
    ]


def test_lone_source_is_said_to_be_alone() -> None:
    """Its interval is in force, and rests on its word."""
    sampled = Sampled(servers=SAMPLED.servers[:1])
    judged = Judged(sources=JUDGED.sources[:1], voters=1, has_majority=True)

    assert sources_lines(document(sampled, judged), 80)[-1] == "one source alone: nobody checks it"
