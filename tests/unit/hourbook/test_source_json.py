"""The sources as JSON: two answers joined by name, one word for each source, and why."""

import json
from typing import Any

import pytest
from fakes.time_pages import page_now, reader_of, segment_bytes, state

from hourbook.cli.why_text import why_lines
from hourbook.clock_why import why_json
from hourbook.source_json import STATES, sources_json, troubles_json, why_no_server
from protocols.source_messages import (
    Condition,
    Judged,
    Sampled,
    ServerReport,
    SourceReport,
    Standing,
)
from protocols.why_messages import SourceWhy, Why


def row(server: ServerReport | None = None, report: SourceReport | None = None) -> dict[str, Any]:
    """Return the one source of a document."""
    document = sources_json(
        Sampled(servers=() if server is None else (server,)),
        Judged(sources=() if report is None else (report,)),
    )
    (only,) = document["sources"]
    assert isinstance(only, dict)
    return only


def server(condition: Condition = "answering", **fields: Any) -> ServerReport:
    """Return what the sampler says of "a"."""
    return ServerReport(source="a", condition=condition, **fields)


def report(standing: Standing = "selected", **fields: Any) -> SourceReport:
    """Return what the model says of "a"."""
    return SourceReport(source="a", origin="ntp", standing=standing, **fields)


@pytest.mark.parametrize(
    ("condition", "standing", "state"),
    [
        ("answering", "selected", "selected"),
        ("answering", "same_upstream", "candidate"),
        ("answering", "falseticker", "falseticker"),
        ("answering", "no_majority", "disputed"),
        ("answering", "smear_family", "excluded"),
        ("answering", "unbounded", "excluded"),
        ("rejected", "selected", "selected"),  # what it said before still holds
        ("rejected", "silent", "rejected"),
        ("silent", "silent", "unreachable"),
        ("answering", None, "waiting"),
        ("new", None, "waiting"),
        ("unresolved", None, "unresolved"),
        ("refused", None, "rejected"),
        ("held", None, "rejected"),
        ("rejected", None, "rejected"),
        ("silent", None, "unreachable"),
        (None, "selected", "selected"),
        (None, "silent", "unreachable"),
    ],
)
def test_state_is_the_votes_word_else_the_servers(
    condition: Condition | None, standing: Standing | None, state: str
) -> None:
    """Each pair has one word, and each word is a state that the documentation lists."""
    joined = row(server(condition) if condition else None, report(standing) if standing else None)

    assert joined["state"] == state
    assert state in STATES


def test_rows_follow_the_configuration_and_then_what_was_heard() -> None:
    """The kernel, or a server that was removed, comes last."""
    names = ("b", "a")
    document = sources_json(
        Sampled(servers=tuple(ServerReport(source=n, condition="new") for n in names)),
        Judged(
            sources=tuple(SourceReport(source=n, origin="ntp", standing="selected") for n in "xab"),
            voters=3,
            has_majority=True,
        ),
    )

    assert [one["source"] for one in document["sources"]] == ["b", "a", "x"]
    assert (document["selected"], document["voters"], document["has_majority"]) == (3, 3, True)


@pytest.mark.parametrize(
    ("joined", "reason"),
    [
        (row(server("silent", trouble="no reply within 2 s")), "no reply within 2 s"),
        (
            row(server(trouble="no reply within 2 s"), report()),
            "last request: no reply within 2 s",
        ),
        (row(server(), report("falseticker", reason="begins late")), "begins late"),
        (row(server("silent"), report("silent", reason="quiet for 9 s")), "quiet for 9 s"),
        (row(None, report("silent", reason="for 900 s")), "no longer asked; for 900 s"),
        (
            row(server(rejected={"origin": 3, "short": 1, "timeout": 9}), report()),
            "ignored 4 datagrams that did not answer us",
        ),
        (
            row(server(), report(leap=2)),
            "announces a leap second (delete): only the table is believed",
        ),
        (
            row(server(), report(reason="ends early", contradictions=2)),
            "ends early; contradicted itself 2 times",
        ),
        (row(server(), report()), None),
    ],
)
def test_reason_says_what_is_to_be_said(joined: dict[str, Any], reason: str | None) -> None:
    """The vote's reason, the last trouble, and what is odd about its answers."""
    assert joined["reason"] == reason


def test_unknown_is_null_and_huge_is_a_decimal_string() -> None:
    """A server in 1900 is further off than a float is exact; no interval has no width."""
    nothing = row(server("new"))
    far = row(server(), report(offset_ns=-(3 * 10**18) - 1, delay_ns=5, root_distance_ns=-1))

    assert [
        nothing[name]
        for name in ("address", "stratum", "reference", "leap", "last_rx_s", "offset_ns", "smear")
    ] == [None] * 7
    assert (far["offset_ns"], far["delay_ns"]) == ("-3000000000000000001", 5)
    assert far["root_distance_ns"] is None
    assert json.loads(json.dumps(far, allow_nan=False)) == far


def test_reach_is_given_as_chronyc_shows_it() -> None:
    """The register as a number, and in octal."""
    joined = row(server(reach=0b11111101))

    assert (joined["reach"], joined["reach_octal"]) == (253, "375")


def test_troubles_are_what_is_to_be_said_of_anybody() -> None:
    """A source that is selected and gives no cause is not among them."""
    document = sources_json(
        Sampled(
            servers=(server(), ServerReport(source="b", condition="silent", trouble="no reply"))
        ),
        Judged(sources=(report(),)),
    )

    assert troubles_json(document) == [
        {"source": "b", "state": "unreachable", "reason": "no reply"}
    ]


def test_why_tells_of_sources_that_were_never_heard() -> None:
    """A line for each beneath the vote; what the vote said already is not said twice."""
    heard = SourceWhy(source="a", origin="ntp", standing="falseticker", reason="ends early")
    silent = [ServerReport(source=n, condition="silent", trouble="no reply") for n in "bc"]
    document = why_json(
        reader_of(segment_bytes(page_now())).snapshot(),
        Why(raw_ns=1, status=0, reason="none", sources=(heard,)),
        sources=sources_json(
            Sampled(servers=(server(), *silent)),
            Judged(sources=(report("falseticker", reason="ends a little less early"),)),
        ),
    )

    lines = why_lines(document)

    assert [line for line in lines if "early" in line] == [
        "  x a  falseticker: ends a little less early"
    ]
    assert "  ? b, c  unreachable: no reply" in lines


def unheard(*conditions: Condition, own_clock: str = "", next_ms: int = 0) -> dict[str, Any]:
    """Return the document of servers of which none has a vote."""
    return sources_json(
        Sampled(
            servers=tuple(
                ServerReport(source=f"{number}", condition=condition, next_ms=next_ms)
                for number, condition in enumerate(conditions)
            ),
            own_clock=own_clock,
        ),
        Judged(),
    )


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (unheard(), "no server is configured"),
        (unheard("unresolved"), "no server is heard: 1 name does not resolve"),
        (
            unheard("unresolved", "unresolved", "silent", "new"),
            "no server is heard: 2 names do not resolve, 1 does not answer, 1 is still to be heard",
        ),
        (unheard("refused", "held"), "no server is heard: 2 give no answer that counts"),
        (unheard("new", "new", next_ms=400), ""),
        (unheard("answering", "answering", next_ms=12_300), "servers are asked again in 12 s"),
        (sources_json(Sampled(servers=(server(),)), Judged(sources=(report(),))), ""),
    ],
)
def test_why_no_server_vouches_is_told_in_one_line(document: dict[str, Any], words: str) -> None:
    """Counted by what they do; nothing where one has a vote, or all may have one any moment."""
    assert why_no_server(document) == words


def test_why_names_the_resolver_while_the_own_clock_stands_in() -> None:
    """What the time rests on meanwhile, what that is worth, and why no server is heard."""
    page = reader_of(segment_bytes(page_now(state=state(0)))).snapshot()
    own = Why(
        raw_ns=1, status=0, reason="this machine's own clock vouches for no interval (kernel)"
    )
    sources = unheard("unresolved", "unresolved", own_clock="the kernel calls it unsynchronised")

    document = why_json(page, own, sources=sources)

    assert document["reason"] == (
        "this machine's own clock vouches for no interval (kernel); the kernel calls it"
        " unsynchronised; no server is heard: 2 names do not resolve"
    )
