"""What is counted of the store: by one process, by all of them, and what Prometheus is shown."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import urlopen

import pytest
from full_tree import FullTree
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_until

from hourbook.faces.book import connect
from hourbook.home import Home
from hourbook.link.actor_question import ask_actor
from protocols import errors
from protocols.kv_figures import FIGURES_KIND, AskFigures, StoreFigures

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullTree]:
    """Run the default tree."""
    with FullTree(tmp_path_factory.mktemp("figures")) as running:
        yield running


def scrape(tree: FullTree) -> dict[str, float]:
    """Return what Prometheus would read of journal_writer and compactor, by name and labels."""
    url = tree.row("metrics").endpoints["metrics"]
    with urlopen(url) as answer:  # noqa: S310 - our own
        families = list(text_string_to_metric_families(answer.read().decode()))
    kinds = {family.name: family.type for family in families}
    assert kinds["hourbook_store_commit_seconds"] == "histogram"
    assert kinds["hourbook_lock_wait_seconds"] == "histogram"
    found = {}
    for family in families:
        for sample in family.samples:
            rest = ",".join(v for k, v in sorted(sample.labels.items()) if k != "actor")
            found[sample.name.removeprefix("hourbook_") + (f"{{{rest}}}" if rest else "")] = (
                sample.value
            )
    return found


def scrape_once(tree: FullTree, holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """Return the first scrape of which something holds: beats carry what it shows."""

    def look() -> dict[str, float] | None:
        found = scrape(tree)
        return found if holds(found) else None

    found = wait_until(look, 20, "a scrape that has it")
    assert found is not None
    return found


def is_told(tree: FullTree, found: dict[str, float]) -> bool:
    """Return whether a scrape has all that journal_writer has counted."""
    figures = ask_actor(tree.home, "journal_writer", FIGURES_KIND, AskFigures(), StoreFigures)
    every = figures.namespaces.values()
    sums = sum(each.reads for each in every), sum(each.writes for each in every)
    return sums == (found["store_reads_total"], found["store_writes_total"])


def read_and_wait(home: Home, name: str, reads: int, ends: bool, events: Any) -> None:  # noqa: FBT001
    """Read a key of `figures` so often, watch once, and live until told, or killed."""
    with connect(name, home) as book:
        store = book.store("figures")
        watch = store.watch("*")
        for _ in range(reads):
            store.get("k")
        events.send("read")
        if not ends:
            signal.pause()
        events.recv()
        watch.close()


def of_all(tree: FullTree) -> StoreFigures:
    """Return what journal_writer has counted of the namespace, as any process is told."""
    with connect("asker", tree.home, shared=True) as book:
        found = book.store("figures").stats().of_all
    assert found is not None
    return found


def test_reads_of_all_processes_are_summed_and_no_sum_ever_falls(tree: FullTree) -> None:
    """Beats tell them; one that is killed takes its watches along, and nothing else."""
    with connect("setter", tree.home, shared=True) as book:
        store = book.store("figures")
        store.set("k", 1)
        with pytest.raises(errors.VersionConflict):
            store.set("k", 1, if_version=10**6)
        with store.lock("k"):
            store.set("k", 2)
    spawn = multiprocessing.get_context("spawn")
    pipes, agents = [], []
    for name, reads, ends in (("polite", 100, True), ("killed", 50, False)):
        ours, theirs = spawn.Pipe()
        agent = spawn.Process(target=read_and_wait, args=(tree.home, name, reads, ends, theirs))
        agent.start()
        pipes.append(ours)
        agents.append(agent)
    for pipe in pipes:
        assert pipe.poll(20)
        pipe.recv()

    wait_until(lambda: of_all(tree).namespaces["figures"].reads == 150, 15, "both beats")
    told = of_all(tree).namespaces["figures"]
    pid = agents[1].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: of_all(tree).namespaces["figures"].watches == 1, 15, "one to be missed")
    pipes[0].send("end")
    for agent in agents:
        agent.join(10)
    wait_until(lambda: of_all(tree).namespaces["figures"].watches == 0, 15, "the other to leave")
    after = of_all(tree)

    assert (told.hits, told.misses, told.hit_rate, told.watches) == (148, 2, 148 / 150, 2)
    assert after.namespaces["figures"].reads == 150
    assert (told.writes, told.steps, told.refusals, told.conflicts) == (3, 3, 1, 1)
    assert sum(after.commit_latency_ns.values()) == 3
    assert sum(after.lock_wait_ns.values()) == 1


def is_all(found: dict[str, float], before: dict[str, float]) -> bool:
    """Return whether a scrape has what the next test does."""
    rises = {"store_reads_total": 10, "store_writes_total": 3, "lock_wait_seconds_count": 1}
    return all(found[name] - before[name] >= rise for name, rise in rises.items())


def test_prometheus_is_shown_what_is_done_with_the_store(tree: FullTree) -> None:
    """Writes, refusals, reads, keys and bytes, evictions, expiries, histograms, watches, locks."""
    with connect("prometheus", tree.home) as book:
        store = book.store("shown")
        lock = store.lock("a")
        before = scrape_once(tree, lambda found: is_told(tree, found))
        watch = store.watch()
        with lock:
            store.set("a", "x" * 100)
            store.set("b", 1, ttl_s=0.01)
            store.set("c", 1, type="transient")
            for _ in range(10):
                store.get("a")
            wait_until(lambda: store.count() == 2, 5, "b to be over")

            after = scrape_once(tree, lambda found: is_all(found, before))
        watch.close()

    names = ("reads", "writes", "write_steps", "hits", "misses", "refusals", "conflicts", "expired")
    rise = {n: after[f"store_{n}_total"] - before[f"store_{n}_total"] for n in names}
    assert rise == {
        "reads": 10,
        "writes": 3,
        "write_steps": 3,
        "hits": 9,
        "misses": 1,
        "refusals": 0,
        "conflicts": 0,
        "expired": 1,
    }
    assert after["store_commit_seconds_count"] - before["store_commit_seconds_count"] == 3
    assert after["store_commit_seconds_bucket{+Inf}"] == after["store_commit_seconds_count"]
    assert after["store_commit_seconds_sum"] > before["store_commit_seconds_sum"]
    assert after["lock_wait_seconds_count"] - before["lock_wait_seconds_count"] == 1
    assert (after["store_watches"], after["locks_held"]) == (1, 1)
    assert after["store_hit_ratio"] > 0.5
    assert {"store_evictions_total", "store_sweeps_total", "store_compactions_total"} <= set(after)
    assert after["store_volatile_keys"] == 1


def test_bytes_are_those_that_are_kept(tree: FullTree) -> None:
    """Of keys, values and metadata, as UTF-8 and MessagePack; the compactor counts them all."""
    with connect("weigher", tree.home, shared=True) as book:
        store = book.store("weighed")
        store.set("\u00e4", "x" * 10, metadata={"a": 1}, type="versioned")
        for future in [store.set_nowait("\u00e4", "x" * 20, keep_ttl=True) for _ in range(1000)]:
            future.result()
        stats = store.stats()
    tree.kill("compactor")  # it counts when it starts
    counted = "store_keys{versioned}"
    after = scrape_once(tree, lambda found: counted in found)

    assert (stats.entries, stats.bytes) == ({"versioned": 1}, 2 + 21)
    assert (after[counted], after["store_bytes{versioned}"]) == (1, 23)
