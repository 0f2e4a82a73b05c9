"""From a status to Prometheus text, read back by Prometheus's own parser."""

import msgspec
from fakes.supervisor_socket import actor_row, tree_status
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from actors.metrics_exposition import families_of, split_key
from hourbook.latency_bins import LatencyBins
from protocols import control

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class _Fixed:
    """A collector of one prepared status."""

    def __init__(self, status: control.Status | None) -> None:
        self.status = status

    def collect(self) -> object:
        """Return the families of the status."""
        return families_of(self.status)


def scrape(status: control.Status | None) -> Samples:
    """Render a status as text and parse it again."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(status))  # type: ignore[arg-type]  # a collector by its shape
    text = generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """Return the one sample of this name and these labels."""
    return samples[name, frozenset(labels.items())]


def test_exposition_says_that_the_supervisor_is_down() -> None:
    """Without an answer there is one number, and it is 0."""
    assert scrape(None) == {("hourbook_supervisor_up", frozenset()): 0.0}


def test_exposition_shows_every_actor_with_its_figures() -> None:
    """Up, restarts, memory, processor time and beat age carry actor and node."""
    down = control.ActorRow(
        **{
            **{
                f: getattr(actor_row("metrics", "edge"), f)
                for f in actor_row("m").__struct_fields__
            },
            "state": "BACKOFF",
            "beat_age_s": None,
        }
    )
    samples = scrape(tree_status(actor_row("clock_model"), down))

    who = {"actor": "clock_model", "node": "time"}
    assert value(samples, "hourbook_supervisor_up") == 1
    assert value(samples, "hourbook_build_info", version="0.1.0") == 1
    assert value(samples, "hourbook_actor_up", **who) == 1
    assert value(samples, "hourbook_actor_up", actor="metrics", node="edge") == 0
    assert value(samples, "hourbook_actor_state", **who, state="READY") == 1
    assert value(samples, "hourbook_actor_restarts_total", **who) == 1
    assert value(samples, "hourbook_actor_rss_bytes", **who) == 31_457_280
    assert value(samples, "hourbook_actor_cpu_ratio", **who) == 0.015
    assert value(samples, "hourbook_actor_beat_age_seconds", **who) == 0.25
    assert (
        "hourbook_actor_beat_age_seconds",
        frozenset({("actor", "metrics"), ("node", "edge")}),
    ) not in samples


def test_exposition_shows_every_snapshot_key_with_its_labels() -> None:
    """A key ending in _total is a counter, any other a gauge; labels in the key are kept."""
    snapshots = {
        "a": {"mailbox_accepted_total": 5.0, "depth": 2.0},
        "b": {"mailbox_accepted_total": 7.0, 'refused_total{code="x",why="a\\"b,c"}': 1.0},
    }
    samples = scrape(tree_status(snapshots=snapshots))

    assert value(samples, "hourbook_mailbox_accepted_total", actor="a") == 5
    assert value(samples, "hourbook_mailbox_accepted_total", actor="b") == 7
    assert value(samples, "hourbook_depth", actor="a") == 2
    assert value(samples, "hourbook_refused_total", actor="b", code="x", why='a"b,c') == 1


def test_exposition_leaves_out_and_counts_keys_that_are_no_names() -> None:
    """One bad key must not cost the whole scrape."""
    snapshots = {"a": {"good": 1.0, "bad key": 1.0, "x{y=1}": 1.0, "": 1.0, "actor_up": 9.0}}
    samples = scrape(tree_status(snapshots=snapshots))

    assert value(samples, "hourbook_good", actor="a") == 1
    assert value(samples, "hourbook_refused_keys") == 4


def test_split_key_reads_labels_or_says_no() -> None:
    """Names, labels and escapes as in the exposition format."""
    assert split_key("x") == ("x", {})
    assert split_key('x{a="b",c="d"}') == ("x", {"a": "b", "c": "d"})
    assert split_key('x{a="b') is None
    assert split_key("1x") is None


def test_exposition_makes_a_histogram_of_keys_that_begin_alike() -> None:
    """Its buckets, their count and sum; a sum without buckets stays a number of its own."""
    bins = LatencyBins()
    for took_ns in (0, 90_000, 100_000, 3_000_000, 1 << 50):
        bins.add(took_ns)
    snapshot = bins.snapshot("store_commit_seconds", 16, 22) | {"book_commit_seconds_sum": 2.0}
    status = tree_status(actor_row("journal_writer"))
    status = msgspec.structs.replace(status, snapshots={"journal_writer": snapshot})

    samples = scrape(status)

    name, actor = "hourbook_store_commit_seconds", "journal_writer"
    bounds = ("6.5536e-05", "0.000131072", "0.002097152", "0.004194304", "+Inf")
    counts = [value(samples, f"{name}_bucket", actor=actor, le=bound) for bound in bounds]
    assert counts == [1, 3, 3, 4, 5]
    assert value(samples, f"{name}_count", actor=actor) == 5
    assert value(samples, "hourbook_book_commit_seconds_sum", actor=actor) == 2.0
    families = {family.name: family.type for family in families_of(status)}
    assert families[name] == "histogram"
    assert families["hourbook_book_commit_seconds_sum"] == "gauge"
    assert value(samples, "hourbook_refused_keys") == 0
