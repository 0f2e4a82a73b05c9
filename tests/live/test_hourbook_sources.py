"""`hourbook sources` and `hourbook clock why` on a tree whose servers misbehave in every way."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from fakes.ntp_server import Script, reply_to, scripted_server
from full_tree import FullTree, run_hourbook
from waiting import wait_until

from hourbook.home import Home

pytestmark = pytest.mark.live

S_NS = 1_000_000_000
ROW = (
    "source", "state", "reason", "origin", "state_s", "address", "stratum", "reference",
    "reference_name", "leap", "smear", "reach", "reach_octal", "poll_s", "next_s", "last_rx_s",
    "offset_ns", "delay_ns", "root_distance_ns", "samples", "contradictions", "requests",
    "answers", "kernel_stamps", "rejected", "trouble",
)  # fmt: skip


def always(reference: int, **fields: Any) -> Script:
    """Answer every request with these fields, following 192.0.2.`reference`."""
    fields = {"reference_id": bytes((192, 0, 2, reference)), **fields}
    return lambda request, _: [reply_to(request, **fields)]


def replaying() -> Script:
    """Answer the first request, and send the same datagram ever after."""
    first: list[bytes] = []

    def script(request: bytes, _: int) -> list[bytes]:
        first.append(reply_to(request, reference_id=b"\xc0\x00\x02\x63"))
        return first[:1]

    return script


SCRIPTS: dict[str, Script] = {
    "honest": always(1),
    "as honest": always(2, root_delay_s=0.02),
    "flips its leap bit": lambda request, number: [
        reply_to(request, leap=number % 3, reference_id=b"\xc0\x00\x02\x03")
    ],
    "behind the first": always(1, root_delay_s=0.03),
    "lies": always(4, offset_ns=3 * S_NS),
    "garbage": lambda _request, _number: [b"\xff" * 64],
    "spoofs": always(5, origin=0xBAD),
    "replays": replaying(),
    "silent": lambda _request, _number: [],
    "unsynchronised": always(6, leap=3),
    "denies": always(7, stratum=0, leap=3, reference_id=b"DENY"),
    "slows down": always(8, stratum=0, leap=3, reference_id=b"RATE"),
}


@dataclass
class Measured:
    """A tree that has asked each server, and what it says."""

    tree: FullTree
    names: dict[str, str]
    rows: dict[str, dict[str, Any]]
    document: dict[str, Any]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """Run one tree for all tests; wait until each server has shown what it is."""
    with ExitStack() as stack:
        names = {
            what: stack.enter_context(scripted_server(script)).name
            for what, script in SCRIPTS.items()
        }
        names["unknown"] = "name.invalid"
        tree = stack.enter_context(
            FullTree(
                tmp_path_factory.mktemp("home"),
                f"actor.ntp_sampler.config.servers={json.dumps(list(names.values()))}",
                "actor.ntp_sampler.config.assume_realtime_error_s=0",
                "actor.ntp_sampler.config.burst_interval_s=0.1",
                "actor.ntp_sampler.config.timeout_s=0.3",
                f'actor.ntp_sampler.config.smear={{"{names["as honest"]}"="linear24"}}',
            )
        )

        def is_settled(document: dict[str, Any]) -> bool:
            rows = {row["source"]: row for row in document["sources"]}
            is_looked_up_again = rows[names["denies"]]["trouble"] == "every address denied us"
            return (
                is_looked_up_again
                and document["selected"] == 4
                and all(
                    row["state"] in ("rejected", "unresolved") or row["requests"] >= 4
                    for row in rows.values()
                )
            )

        wait_until(
            lambda: is_settled(tree.hourbook_json("sources")), 20, "every server to show itself"
        )
        document = tree.hourbook_json("sources")
        rows = {row["source"]: row for row in document["sources"]}
        yield Measured(tree, names, {w: rows[n] for w, n in names.items()}, document)


def test_json_is_the_contract(measured: Measured) -> None:
    """Names in their order, one row for each server in the order of the configuration."""
    assert list(measured.document) == [
        "sources", "voters", "awaited", "selected", "has_majority", "bound_violations",
        "own_clock",
    ]  # fmt: skip
    assert [row["source"] for row in measured.document["sources"]] == list(measured.names.values())
    assert {tuple(row) for row in measured.document["sources"]} == {ROW}
    assert measured.document["has_majority"]
    assert measured.document["own_clock"] is None


@pytest.mark.parametrize(
    ("what", "state", "words"),
    [
        ("honest", "selected", None),
        ("as honest", "selected", None),
        ("flips its leap bit", "selected", None),
        ("behind the first", "candidate", "votes for both"),
        ("lies", "falseticker", "ms after the majority"),
        ("garbage", "unreachable", "datagrams that did not answer us"),
        ("spoofs", "unreachable", "datagrams that did not answer us"),
        ("silent", "unreachable", "no reply within 0.3 s"),
        ("unsynchronised", "rejected", "the server calls itself unsynchronised"),
        ("denies", "rejected", "every address denied us"),
        ("slows down", "rejected", "kiss of death RATE"),
        ("unknown", "unresolved", "does not resolve"),
    ],
)
def test_each_server_is_shown_for_what_it_is(
    measured: Measured, what: str, state: str, words: str | None
) -> None:
    """A state and a reason; and the clock is right within its bound all the while."""
    row = measured.rows[what]

    assert row["state"] == state
    assert (row["reason"] is None and words is None) or (words or "") in (row["reason"] or "")


def test_replays_are_ignored(measured: Measured) -> None:
    """One sample in all; what comes again answers no request of ours."""
    row = measured.rows["replays"]

    assert row["samples"] == row["answers"] == 1
    assert row["rejected"]["origin"] >= 2
    assert "did not answer us" in row["reason"]


def test_measurements_are_told(measured: Measured) -> None:
    """Offset, delay, distance, header and reach of a server that answers."""
    row, liar = measured.rows["honest"], measured.rows["lies"]

    assert (row["stratum"], row["reference"], row["leap"]) == (2, "192.0.2.1", "none")
    assert row["reach_octal"] == f"{row['reach']:o}"
    assert abs(row["offset_ns"]) < row["root_distance_ns"]
    assert 0 < row["delay_ns"] < S_NS
    assert row["kernel_stamps"] == row["answers"] >= 4
    assert abs(liar["offset_ns"] - 3 * S_NS) < S_NS
    assert measured.rows["as honest"]["smear"] == "linear24"


def test_clock_is_right_in_spite_of_them(measured: Measured) -> None:
    """Synchronised on four votes of five, and the kernel's clock, theirs too, is inside."""
    document = measured.tree.hourbook_json("now")

    assert document["status"] == "SYNCHRONIZED"
    assert int(document["latest_ns"]) - int(document["earliest_ns"]) < S_NS


def test_clock_why_has_a_line_for_each(measured: Measured) -> None:
    """Who lies, who is silent, who is refused and whose name is unknown, with the reason."""
    shown = measured.tree.hourbook("clock", "why").stdout
    told = [" ".join(part.split()) for part in re.split(r"\n(?= {0,2}\S)", shown)]  # unwrapped

    for what in ("lies", "garbage", "spoofs", "replays", "silent", "unsynchronised", "denies",
                 "slows down", "unknown"):  # fmt: skip
        reason = measured.rows[what]["reason"].split("; ")[-1].split(" ")[-1]
        mine = [each for each in told if measured.names[what] in each]
        assert any(reason in each for each in mine), (what, mine)


@pytest.mark.parametrize("width", [60, 80])
def test_table_fits_the_terminal(
    measured: Measured, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As wide as COLUMNS says, with a mark for each source and a legend."""
    monkeypatch.setenv("COLUMNS", str(width))

    lines = measured.tree.hourbook("sources").stdout.splitlines()

    assert max(map(len, lines)) <= width
    assert lines[0].split()[0] == "SOURCE"
    assert lines[1].startswith(f"* {measured.names['honest']}")
    assert lines[-1].startswith("4 of 5 votes agree")


def test_without_a_tree_it_is_one_line(home: Home) -> None:
    """Exit code 6, and what to do."""
    result = run_hourbook("sources", home=home.path)

    assert (result.returncode, result.stdout) == (6, "")
    assert result.stderr.count("\n") == 1
    assert "supervisor start" in result.stderr
