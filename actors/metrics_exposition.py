"""From the status of the tree to Prometheus metric families. Pure: no sockets, no clock.

Every actor's row becomes ``hourbook_actor_*``; every key of its snapshot becomes
``hourbook_<key>{actor="..."}``, a counter when the key ends in ``_total`` and a gauge otherwise.
Keys that end in ``_bucket``, ``_count`` and ``_sum`` are a histogram where all begin alike.
Labels travel inside the key, ``frames_refused_total{code="bad_request"}``. A key that is no metric
name never breaks a scrape: it is left out and counted.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from actors.metrics_help import HELP
from protocols import control

__all__ = ["RUNNING_STATES", "families_of", "split_key"]

PREFIX: Final = "hourbook_"
RUNNING_STATES: Final = frozenset({"READY", "DEGRADED"})
"""States in which an actor does its work."""
_RESERVED: Final = ("actor_", "supervisor_", "build_", "refused_keys")
"""Beginnings of names that are ours: the rows above would collide with such a key."""
_BUCKET: Final = "_bucket{"
_PARTS: Final = ("bucket", "count", "sum")
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)"(?:,|$)', re.ASCII)


def families_of(status: control.Status | None) -> Iterator[Metric]:
    """Yield every family; None means that the supervisor does not answer, which is a value too."""
    yield _gauge(
        "supervisor_up", "1 while the supervisor answers.", {(): float(status is not None)}
    )
    if status is None:
        return
    yield from _supervisor_families(status.supervisor)
    yield from _row_families(status.actors)
    yield from _snapshot_families(status.snapshots)


def split_key(key: str) -> tuple[str, dict[str, str]] | None:
    """Split a snapshot key into metric name and labels; None when it is not a legal key."""
    name, brace, rest = key.partition("{")
    if not _NAME.fullmatch(name):
        return None
    if not brace:
        return name, {}
    if not rest.endswith("}"):
        return None
    labels: dict[str, str] = {}
    position, inner = 0, rest[:-1]
    while position < len(inner):
        match = _LABEL.match(inner, position)
        if match is None:
            return None
        labels[match[1]] = re.sub(r"\\(.)", _unescape, match[2])
        position = match.end()
    return name, labels


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _gauge(
    name: str, text: str, values: Mapping[tuple[str, ...], float], labels: tuple[str, ...] = ()
) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family


def _counter(
    name: str, text: str, values: Mapping[tuple[str, ...], float], labels: tuple[str, ...] = ()
) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family


def _supervisor_families(row: control.SupervisorRow) -> Iterator[Metric]:
    yield _gauge("build_info", "The running version.", {(row.version,): 1.0}, ("version",))
    yield _gauge("supervisor_uptime_seconds", "Since the tree was started.", {(): row.uptime_s})
    yield _gauge(
        "supervisor_rss_bytes", "Resident memory of the supervisor.", {(): float(row.rss_bytes)}
    )
    yield _counter(
        "supervisor_stale_messages",
        "Messages of earlier incarnations, dropped.",
        {(): float(row.stale_messages)},
    )
    yield _counter(
        "supervisor_dropped_log_lines",
        "Lines that actors printed faster than they could be logged.",
        {(): float(row.dropped_log_lines)},
    )
    yield _counter(
        "supervisor_dropped_messages",
        "Messages whose receiver was not there, or too slow, to take them.",
        {(): float(row.dropped_messages)},
    )
    yield _counter(
        "supervisor_refused_messages",
        "Frames at the control socket that were no envelope.",
        {(): float(row.refused_messages)},
    )


def _row_families(rows: list[control.ActorRow]) -> Iterator[Metric]:
    by = ("actor", "node")
    keys = [(row.name, row.node) for row in rows]

    def column(values: list[float | None]) -> dict[tuple[str, ...], float]:
        return {k: v for k, v in zip(keys, values, strict=True) if v is not None}

    yield _gauge(
        "actor_up",
        "1 while the actor works (READY or DEGRADED).",
        column([float(row.state in RUNNING_STATES) for row in rows]),
        by,
    )
    yield _gauge(
        "actor_state",
        "1 for the state that the actor is in.",
        {(*key, row.state): 1.0 for key, row in zip(keys, rows, strict=True)},
        (*by, "state"),
    )
    yield _counter(
        "actor_restarts",
        "Restarts since the tree was started.",
        column([float(row.restarts) for row in rows]),
        by,
    )
    yield _gauge(
        "actor_restarts_window",
        "Restarts within the node's period; above its intensity the node gives up.",
        column([float(row.restarts_window) for row in rows]),
        by,
    )
    yield _gauge(
        "actor_incarnation",
        "Number of this life.",
        column([float(r.incarnation) for r in rows]),
        by,
    )
    yield _gauge(
        "actor_uptime_seconds", "Age of this life.", column([row.uptime_s for row in rows]), by
    )
    yield _gauge(
        "actor_rss_bytes", "Resident memory.", column([float(row.rss_bytes) for row in rows]), by
    )
    yield _gauge(
        "actor_cpu_ratio",
        "Processor time used, in cores, over the supervisor's last interval.",
        column([row.cpu_percent / 100 for row in rows]),
        by,
    )
    yield _gauge(
        "actor_beat_age_seconds",
        "Since the last beat of the actor's work loop; absent before the first.",
        column([row.beat_age_s for row in rows]),
        by,
    )


def _snapshot_families(snapshots: Mapping[str, control.Snapshot]) -> Iterator[Metric]:
    families: dict[str, Metric] = {}
    refused = 0
    for actor, snapshot in snapshots.items():
        histograms = {key.partition(_BUCKET)[0] for key in snapshot if _BUCKET in key}
        for key, value in snapshot.items():
            family = _family_of(key, families, histograms)
            if family is None:
                refused += 1
                continue
            name, labels = split_key(key) or (key, {})
            family.add_sample(PREFIX + name, {**labels, "actor": actor}, value)
    yield from families.values()
    yield _gauge(
        "refused_keys", "Snapshot keys that are no metric names, left out.", {(): float(refused)}
    )


def _family_of(key: str, families: dict[str, Metric], histograms: set[str]) -> Metric | None:
    """Return the family of a key, made on first sight; None when it cannot have one."""
    split = split_key(key)
    if split is None or key.startswith(_RESERVED):
        return None
    name = split[0]
    base, _, part = name.rpartition("_")
    if base in histograms and part in _PARTS:
        kind, said = "histogram", base
    else:
        kind, said = "counter" if name.endswith("_total") else "gauge", name
        base = name.removesuffix("_total")
    family = families.get(base)
    if family is None:
        family = Metric(PREFIX + base, HELP.get(said, f"Reported by its actor as {said}."), kind)
        families[base] = family
    # `x` and `x_total` share one family name in the exposition format: the first one has it.
    return family if family.type == kind else None
