"""A small share of ``make sim``, and whether the simulator notices that a promise is broken."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from fakes.time_pages import page_now, raw_ns, reader_of, segment_bytes, state, suspended_ns

from hourbook.clock import hull, leaping, publication, voting
from hourbook.clock.awaited import Awaited
from hourbook.clock.bounds import Drift, Interval
from protocols import ntp
from protocols.ntp import HalfWidth
from shm.layout import Status, TimePage
from sim import page as pages
from sim.__main__ import RATIO_MAX, RUNS_JUDGED, is_too_wide
from sim.run import Outcome, Simulation
from sim.scenarios import SCENARIOS, build

S_NS = 1_000_000_000
SEEDS_MAX = 4
"""One of some hundred seeds is such a one."""
ROOT = Path(__file__).parents[2]


def run(name: str, seed: int, hours: float) -> Outcome:
    """Run one scenario and say how it is replayed."""
    print(f"make sim SCENARIO={name} SEED={seed} RUNS=1 HOURS={hours:g}")
    return Simulation(build(name, seed, hours)).run()


@pytest.mark.parametrize("name", SCENARIOS)
def test_truth_is_inside_and_time_runs_forwards(name: str, seed: int) -> None:
    """In every scenario, in every reading that the premise covers.

    Where a seed leaves no honest majority for most of the time, it says little: the next one does.
    """
    reads = 0
    for another in range(SEEDS_MAX):
        outcome = run(name, (seed + another) % 10**9, hours=1.5)

        assert outcome.failure == ""
        assert outcome.answers > 20
        reads += outcome.reads
        if reads > 500:
            break
    assert reads > 500


def test_equal_seeds_give_equal_runs() -> None:
    """Every reading is the same, in another process with another order of hashes too."""
    code = (
        "from sim.run import Simulation; from sim.scenarios import build;"
        "print(Simulation(build('everything', 7, hours=1)).run().digest)"
    )

    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONHASHSEED": hashes},
            capture_output=True, text=True, check=True, cwd=ROOT,
        ).stdout
        for hashes in ("1", "2")
    }  # fmt: skip

    assert len(digests) == 1


# -- teeth: a broken rule shows ------------------------------------------------------------------


def caught(name: str, runs: int, hours: float = 0.5) -> float:
    """Return the share of runs in which the simulator saw that something is wrong."""
    return sum(run(name, seed, hours).has_failed for seed in range(runs)) / runs


def test_intersection_of_the_survivors_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """What NTP's selection yields misses the truth in about half of the runs with subtle liars."""

    def survivors(intervals: list[Interval], out: int = 0) -> Interval | None:
        agreed = hull.clique(intervals, out)
        return agreed.core if agreed else None

    monkeypatch.setattr(hull, "hull", survivors)

    assert caught("subtle_liars", 12) >= 0.3


def test_interval_that_does_not_grow_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """An oscillator that jumps about leaves an interval that only moves."""
    monkeypatch.setattr(Drift, "growth_ppb", lambda _drift, _rate_ppb: 0)

    assert caught("edge", 4, hours=1.5) == 1


def test_votes_of_a_crowd_behind_one_liar_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """If each follower voted by itself, a liar with four of them would be a majority."""
    monkeypatch.setattr(voting, "_depend", lambda _one, _other: False)

    assert caught("sync_loop", 12) > 0


def test_belief_in_who_answers_first_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """If nobody were waited for, a liar that answers before the others would be alone."""
    monkeypatch.setattr(Awaited, "votes_out", lambda _awaited, _cast, _raw_ns: 0)

    assert caught("falsetickers", 8) >= 0.3


def test_leap_second_that_nobody_minds_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the leap until a majority was asked again every interval would be wrong by a second."""
    monkeypatch.setattr(leaping, "ahead_of", lambda _leaps, _smear_kind: None)
    monkeypatch.setattr(publication, "across_leap", lambda _page, *ends: ends)

    assert caught("leap_second", 4) == 1


def test_forged_replies_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not look at the cookie hears a stranger from each, and no majority."""
    check = ntp.check
    monkeypatch.setattr(ntp, "check", lambda reply, _cookie: check(replace(reply, origin=0), 0))

    statuses = run("strangers", 0, hours=0.5).statuses
    assert statuses[Status.SYNCHRONIZED] < statuses.total() / 2


@pytest.mark.parametrize("term", ["delay_ns", "root_delay_ns", "root_dispersion_ns"])
def test_half_width_without_one_term_is_caught(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    """Each of the great terms of a measurement is needed where truth lies at the edge."""
    total = HalfWidth.total_ns.fget  # type: ignore[attr-defined]
    without = property(lambda self: total(self) - getattr(self, term))
    monkeypatch.setattr(HalfWidth, "total_ns", without)

    assert caught("edge", 4, hours=1.5) == 1


# -- the simulator itself ------------------------------------------------------------------------


def test_width_is_judged_by_many_runs_alone() -> None:
    """One run of each scenario may draw wide networks; ten of each do not by chance."""
    wide, narrow = [RATIO_MAX + 0.1], [RATIO_MAX]

    assert not is_too_wide(wide * len(SCENARIOS))
    assert is_too_wide(wide * RUNS_JUDGED)
    assert not is_too_wide(narrow * RUNS_JUDGED + wide)


def test_reader_of_the_simulation_is_the_readers_own(seed: int) -> None:
    """Time, interval and status of random pages are those that the C reader returns."""
    rng = Random(seed)
    now_ns, slept_ns = raw_ns(), suspended_ns()
    for _ in range(300):
        page = random_page(rng, now_ns, slept_ns)
        leap_s = page.utc_at_as_of_ns // S_NS + rng.randrange(-3000, 3000)
        page = page._replace(leap_utc_s=rng.choice((0, leap_s)))
        then_ns = now_ns + rng.randrange(-3000, 3000) * S_NS

        theirs = reader_of(segment_bytes(page)).at(then_ns)
        ours = pages.read(page, then_ns, now_ns, slept_ns)

        assert (ours.time_ns, ours.status) == (theirs.time_ns, theirs.status)
        assert (ours.earliest_ns, ours.latest_ns) == (theirs.earliest_ns, theirs.latest_ns)


def random_page(rng: Random, now_ns: int, slept_ns: int) -> TimePage:
    """Return a page whose ages lie seconds away from every threshold, so that no delay matters."""
    as_of_ns = now_ns - rng.randrange(2000) * S_NS
    return page_now(
        as_of_raw_ns=as_of_ns,
        rate=rng.randrange(-(1 << 36), 1 << 36),
        slew_ppb=rng.choice((0, 400_000, -77)),
        slew_end_raw_ns=as_of_ns + rng.randrange(20) * S_NS,
        state=state(rng.choice(list(Status))),
        void_after_raw_ns=now_ns + rng.choice((-500, 500)) * S_NS,
        earliest_off_ns=-rng.randrange(10**9),
        latest_off_ns=rng.randrange(10**9),
        growth_ppb=rng.randrange(10**6),
        published_raw_ns=now_ns - rng.choice((1, 10)) * S_NS,
        last_sample_raw_ns=now_ns - rng.choice((30, 90)) * S_NS,
        last_step_raw_ns=now_ns - rng.randrange(4000) * S_NS,
        boottime_minus_monotonic_ns=slept_ns + rng.choice((0, 0, 0, 10**9)),
        leap_tai_s=rng.choice((38 << 32 | 37, 36 << 32 | 37, 37 << 32 | 37, 0)),
        leap_smear=rng.choice((0, 0, 86_400 << 32 | 1)),
    )
