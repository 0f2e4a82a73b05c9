"""Every source of time as ``hourbook sources --json`` prints it (docs/CLI.md). Pure.

What servers answer is ntp_sampler's knowledge, what their answers are worth clock_model's; the two
are joined by the name of the source. One word, `state`, says where that leaves it:

selected     agrees with the most, and feeds the centre
candidate    is honest as far as one sees, but another source speaks for both
falseticker  contradicts the majority
disputed     belongs to no majority, since there is none
excluded     has no vote now: it smears otherwise and a leap may be near, or it claims no interval
rejected     answers, but what it answers does not count; or it has sent us away
unreachable  does not answer
unresolved   has a name that leads nowhere
waiting      was not heard yet
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from protocols.source_messages import Judged, Sampled, ServerReport, SourceReport

__all__ = [
    "STATES",
    "reason_of",
    "sources_json",
    "state_of",
    "troubles_json",
    "why_no_server",
]

_EXACT_MAX: Final = 1 << 53
_BY_STANDING: Final[Mapping[str, str]] = {
    "selected": "selected",
    "same_upstream": "candidate",
    "falseticker": "falseticker",
    "no_majority": "disputed",
    "smear_family": "excluded",
    "unbounded": "excluded",
}
_BY_CONDITION: Final[Mapping[str, str]] = {
    "new": "waiting",
    "unresolved": "unresolved",
    "refused": "rejected",
    "held": "rejected",
    "silent": "unreachable",
    "rejected": "rejected",
    "answering": "waiting",
}
_UNHEARD: Final[Mapping[str, tuple[str, str]]] = {
    "unresolved": ("name does not resolve", "names do not resolve"),
    "unreachable": ("does not answer", "do not answer"),
    "rejected": ("gives no answer that counts", "give no answer that counts"),
    "waiting": ("is still to be heard", "are still to be heard"),
}
"""What one server, or several, in a state without a vote do."""
_LEAPS: Final = ("none", "insert", "delete", "unsynchronised")
STATES: Final = tuple(dict.fromkeys((*_BY_STANDING.values(), *_BY_CONDITION.values())))
"""Every state, the best ones first."""


def sources_json(sampled: Sampled, judged: Judged) -> dict[str, Any]:
    """Return the document: configured servers in their order, then what else was ever heard."""
    reports = {report.source: report for report in judged.sources}
    rows = [
        _row(server.source, server, reports.pop(server.source, None)) for server in sampled.servers
    ]
    rows += [_row(name, None, report) for name, report in reports.items()]
    return {
        "sources": rows,
        "voters": judged.voters,
        "awaited": list(judged.awaited),
        "selected": sum(row["state"] == "selected" for row in rows),
        "has_majority": judged.has_majority,
        "bound_violations": judged.bound_violations,
        "own_clock": sampled.own_clock or None,
    }


def troubles_json(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return of a document the sources of which something is to be said, and what."""
    return [
        {name: str(row[name]) for name in ("source", "state", "reason")}
        for row in document["sources"]
        if row["reason"]
    ]


def why_no_server(document: Mapping[str, Any]) -> str:
    """Return why no server vouches for the time, "" where one does or all may any moment.

    A source of another run, or this machine's own clock, is no server.
    """
    servers = [row for row in document["sources"] if row["reach"] is not None]
    if not servers:
        return "no server is configured"
    counts = Counter(row["state"] for row in servers)
    if counts.keys() - _UNHEARD.keys():
        return ""
    if counts["waiting"] == len(servers):
        wait_s = min(row["next_s"] for row in servers)
        return f"servers are asked again in {wait_s:.0f} s" if wait_s >= 1 else ""
    found = [
        f"{count} {words[count > 1]}"
        for state, words in _UNHEARD.items()
        if (count := counts[state])
    ]
    return f"no server is heard: {', '.join(found)}"


def state_of(server: ServerReport | None, report: SourceReport | None) -> str:
    """Return in one word where a source stands: by its vote, else by what its server answers."""
    if report is not None and report.standing in _BY_STANDING:
        return _BY_STANDING[report.standing]
    return "unreachable" if server is None else _BY_CONDITION[server.condition]


def reason_of(server: ServerReport | None, report: SourceReport | None) -> str:
    """Return why a source is not selected, or what else is to be said of it; "" for nothing."""
    trouble = server.trouble if server else ""
    words = [trouble]
    if report is not None and report.standing == "silent":
        words = [trouble or ("" if server else "no longer asked"), report.reason]
    elif report is not None:
        words = [report.reason, f"last request: {trouble}" if trouble else ""]
    if report is not None and report.contradictions:
        words.append(f"contradicted itself {_times(report.contradictions)}")
    if report is not None and report.leap:
        words.append(f"announces a leap second ({_LEAPS[report.leap]}): only the table is believed")
    if foreign := _foreign(server):
        words.append(f"ignored {foreign} datagrams that did not answer us")
    return "; ".join(word for word in words if word)


def _row(name: str, server: ServerReport | None, report: SourceReport | None) -> dict[str, Any]:
    has_interval = report is not None and report.root_distance_ns >= 0
    return {
        "source": name,
        "state": state_of(server, report),
        "reason": reason_of(server, report) or None,
        "origin": report.origin if report else "ntp",
        "state_s": _seconds(report.standing_ms) if report else None,
        "address": (server.address or None) if server else None,
        "stratum": _stratum(server, report),
        "reference": (server.reference or None) if server else None,
        "reference_name": (server.reference_name or None) if server else None,
        "leap": _leap(server, report),
        "smear": _smear(server, report) or None,
        "reach": server.reach if server else None,
        "reach_octal": f"{server.reach:o}" if server else None,
        "poll_s": server.poll_s if server else report.poll_s if report else None,
        "next_s": _seconds(server.next_ms) if server else None,
        "last_rx_s": _last_rx_s(server, report),
        "offset_ns": _exact(report.offset_ns) if report else None,
        "delay_ns": _exact(report.delay_ns) if report else None,
        "root_distance_ns": _exact(report.root_distance_ns) if report and has_interval else None,
        "samples": report.samples if report else 0,
        "contradictions": report.contradictions if report else 0,
        "requests": server.requests if server else 0,
        "answers": server.answers if server else 0,
        "kernel_stamps": server.kernel_stamps if server else 0,
        "rejected": server.rejected if server else {},
        "trouble": (server.trouble or None) if server else None,
    }


def _foreign(server: ServerReport | None) -> int:
    """Return how many datagrams came that were no answer: replays, forgeries, noise."""
    return sum(server.rejected.get(reason, 0) for reason in ("origin", "short")) if server else 0


def _stratum(server: ServerReport | None, report: SourceReport | None) -> int | None:
    stratum = server.stratum if server else report.stratum if report else 0
    return stratum or None


def _leap(server: ServerReport | None, report: SourceReport | None) -> str | None:
    if server is not None:
        return _LEAPS[server.leap & 3] if server.stratum or server.leap else None
    return _LEAPS[report.leap & 3] if report and report.stratum else None


def _smear(server: ServerReport | None, report: SourceReport | None) -> str:
    return server.smear if server else report.smear if report else ""


def _last_rx_s(server: ServerReport | None, report: SourceReport | None) -> float | None:
    if server is not None:
        return _seconds(server.answer_age_ms) if server.answer_age_ms >= 0 else None
    return _seconds(report.sample_age_ms) if report else None


def _seconds(duration_ms: int) -> float:
    return duration_ms / 1000


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _exact(value: int) -> int | str:
    """Return a number that every reader keeps: above 2^53 a decimal string."""
    return value if -_EXACT_MAX <= value <= _EXACT_MAX else str(value)
