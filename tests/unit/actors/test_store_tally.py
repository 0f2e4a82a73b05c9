"""Sums of what is done with the store: they rise, whoever comes, goes, or says a thing twice."""

import random

import msgspec
import pytest
from kv_writes import kv_write, put

from actors import store_tally
from actors.store_tally import OTHERS, StoreTally
from protocols import errors
from protocols.kv_figures import NamespaceFigures, ReadReport, Reads


def report(life: int, *, is_first: bool = False, **namespaces: tuple[int, int, int]) -> ReadReport:
    """Return what a connection has read: hits, misses and open watches of each namespace."""
    return ReadReport(life, {ns: Reads(*counts) for ns, counts in namespaces.items()}, is_first)


def counted(tally: StoreTally, ns: str = "notes") -> tuple[int, int, int]:
    """Return hits, misses and watches of a namespace."""
    figures = tally.figures(ns)[ns]
    return figures.hits, figures.misses, figures.watches


def test_totals_of_many_connections_add_up_and_never_fall() -> None:
    """Each tells its own total; what is told again counts once; who goes takes watches along."""
    tally = StoreTally()

    tally.take("a", report(1, is_first=True, notes=(10, 2, 1)))
    tally.take("a", report(1, is_first=True, notes=(10, 2, 1)))
    tally.take("a", report(1, notes=(15, 2, 1)))
    tally.take("a", report(2, is_first=True, notes=(100, 0, 2)))
    tally.take("b", report(3, is_first=True, notes=(1, 1, 0), other=(5, 5, 5)))
    before = counted(tally)
    tally.forget("a")

    assert before == (116, 3, 3)
    assert counted(tally) == (116, 3, 0)
    assert tally.snapshot()["store_reads_total"] == 116 + 3 + 10
    assert tally.snapshot()["store_hit_ratio"] == pytest.approx(121 / 129)
    assert tally.snapshot()["store_watches"] == 5


def test_what_was_told_to_a_predecessor_is_not_told_again() -> None:
    """A new writer counts from the next report on, and knows at once who watches."""
    tally = StoreTally()

    tally.take("a", report(1, notes=(1000, 50, 1)))
    first = counted(tally)
    tally.take("a", report(1, notes=(1007, 50, 1)))

    assert first == (0, 0, 1)
    assert counted(tally) == (7, 0, 1)


def test_no_report_makes_a_sum_fall() -> None:
    """Lost, repeated, late and foolish ones, in any order."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    tally = StoreTally()
    last = (0, 0)
    for _ in range(2000):
        counts = rng.randrange(100), rng.randrange(100), rng.randrange(3)
        life, is_first = rng.randrange(200), rng.random() < 0.3
        tally.take(rng.choice("abc"), report(life, is_first=is_first, notes=counts))
        if rng.random() < 0.05:
            tally.forget(rng.choice("abc"))
        now = counted(tally)[:2]
        assert now >= last
        assert min(now[0] - last[0], now[1] - last[1]) >= 0
        last = now


def test_writes_are_counted_by_what_became_of_them() -> None:
    """Steps, refusals and conflicts of each namespace, and how long their groups took."""
    tally = StoreTally()
    conflict = errors.VersionConflict("Expected version 1, got 2")

    tally.count(kv_write(put("a"), put("b")), None)
    tally.count(kv_write(put("a", if_version=1)), conflict)
    tally.count(kv_write(put("a")), errors.DiskFull("Expected room"))
    tally.commits.add(3_000_000)

    assert tally.figures() == {"notes": NamespaceFigures(3, 4, 2, 1)}
    assert tally.commits.histogram() == {1 << 22: 1}
    assert tally.snapshot()['store_commit_seconds_bucket{le="0.004194304"}'] == 1.0
    assert tally.snapshot()['store_commit_seconds_bucket{le="0.002097152"}'] == 0.0


def test_namespaces_and_connections_beyond_measure_cost_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are counted together."""
    monkeypatch.setattr(store_tally, "NAMESPACES_MAX", 3)
    tally = StoreTally()

    for number in range(10):
        tally.take("a", report(number, is_first=True, **{f"n{number}": (1, 0, 0)}))

    assert set(tally.figures()) == {"n0", "n1", "n2", OTHERS}
    assert tally.snapshot()["store_hits_total"] == 10


@pytest.mark.parametrize(
    "raw",
    [
        {"life": -1, "namespaces": {}},
        {"life": 1, "namespaces": {"n": [-1]}},
        {"life": 1, "namespaces": {"n" * 65: [1]}},
        {"life": 1, "namespaces": {f"n{number}": [1] for number in range(1001)}},
    ],
)
def test_a_report_that_cannot_be_is_refused(raw: object) -> None:
    """Before anything of it is counted."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(raw), type=ReadReport)
