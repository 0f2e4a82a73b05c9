"""``make sim``: many seeded runs of every scenario, over all processors, and a table of what came.

Run k of a scenario has the seed SEED + k, so that every failure is replayed alone by the command
that is printed with it. The exit code is 1 if a promise was broken in any run, or the interval was
too wide over all of them, where they are enough to tell.
"""

import argparse
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from shm.layout import Status
from sim.run import Outcome, Simulation
from sim.scenarios import HOURS, SCENARIOS, build

__all__ = ["RATIO_MAX", "RUNS_JUDGED", "Tally", "is_too_wide", "main", "run_one"]

RATIO_MAX: Final = 1.5
"""Median over all runs of the half-width at update to the best survivor's root distance."""
RUNS_JUDGED: Final = 10 * len(SCENARIOS)
"""Of fewer runs that median says more of the networks that they drew (1.2 to 2.8) than of us."""
_SHOWN: Final = (Status.SYNCHRONIZED, Status.FREE_RUNNING, Status.UNKNOWN, Status.DISRUPTED)


@dataclass
class Tally:
    """What all runs of one scenario showed together."""

    runs: int = 0
    failed: int = 0
    reads: int = 0
    misses: int = 0
    unpromised: int = 0
    ratios: list[float] = field(default_factory=list)
    statuses: Counter[Status] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count one more run."""
        self.runs += 1
        self.failed += outcome.has_failed
        self.reads += outcome.reads
        self.misses += outcome.misses
        self.unpromised += outcome.unpromised
        self.ratios.append(outcome.ratio)
        self.statuses += outcome.statuses

    def row(self, name: str) -> str:
        """Return the line of the table."""
        shown = max(self.statuses.total(), 1)
        shares = (100 * self.statuses[status] / shown for status in _SHOWN)
        return (
            f"{name:17} {self.runs:5} {self.reads:9} {self.misses:6} {self.unpromised:9}"
            f" {median(self.ratios):6.2f} " + " ".join(f"{share:6.2f}" for share in shares)
        )


HEADING: Final = (
    f"{'scenario':17} {'runs':>5} {'reads':>9} {'misses':>6} {'unpromis.':>9} {'width':>6} "
    + " ".join(f"{status.name[:5] + '%':>6}" for status in _SHOWN)
)


def run_one(job: tuple[str, int, float]) -> tuple[str, int, Outcome]:
    """Run one scenario from one seed; called in a process of the pool."""
    name, seed, hours = job
    return name, seed, Simulation(build(name, seed, hours)).run()


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for and return the exit code."""
    options = _parse(arguments)
    names = list(SCENARIOS) if options.scenario is None else [options.scenario]
    seed = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    each = -(-options.runs // len(names))
    jobs = [(name, seed + number, options.hours) for number in range(each) for name in names]
    print(f"seed {seed}: {len(jobs)} runs of {options.hours:g} simulated hours each")
    tallies = {name: Tally() for name in names}
    widths: dict[str, list[float]] = defaultdict(list)
    begun_s = time.monotonic()
    for done, (name, run_seed, outcome) in enumerate(_outcomes(jobs, options.processes), start=1):
        tallies[name].add(outcome)
        widths[outcome.network].append(outcome.ratio)
        if outcome.has_failed:
            print(f"FAILED {name}: {outcome.failure}")
            hours = "" if options.hours == HOURS else f" HOURS={options.hours:g}"
            print(f"  replay: make sim SCENARIO={name} SEED={run_seed} RUNS=1{hours}", flush=True)
        if done % max(len(jobs) // 20, 1) == 0:
            print(f"{done} runs in {time.monotonic() - begun_s:.0f} s", flush=True)
    return _report(tallies, widths)


def _outcomes(
    jobs: Sequence[tuple[str, int, float]], processes: int
) -> Iterator[tuple[str, int, Outcome]]:
    if processes == 1:
        yield from map(run_one, jobs)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(run_one, jobs, chunksize=4)


def _report(tallies: dict[str, Tally], widths: dict[str, list[float]]) -> int:
    print(HEADING)
    for name, tally in tallies.items():
        print(tally.row(name))
    misses = sum(tally.misses for tally in tallies.values())
    failed = sum(tally.failed for tally in tallies.values())
    runs = sum(tally.runs for tally in tallies.values())
    reads = sum(tally.reads for tally in tallies.values())
    every = [ratio for ratios in widths.values() for ratio in ratios]
    by_network = ", ".join(f"{kind} {median(ratios):.2f}" for kind, ratios in widths.items())
    print(f"{failed} of {runs} runs broke a promise; {misses} of {reads} reads missed the truth;")
    print(
        f"median half-width at update {median(every):.2f} of the best survivor's root distance"
        f" (<= {RATIO_MAX}, judged from {RUNS_JUDGED} runs on); {by_network}"
    )
    return 1 if failed or is_too_wide(every) else 0


def is_too_wide(ratios: Sequence[float]) -> bool:
    """Return whether the interval is too wide, judged by RUNS_JUDGED runs of one ratio or more."""
    return len(ratios) >= RUNS_JUDGED and median(ratios) > RATIO_MAX


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--scenario", choices=SCENARIOS, default=None)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--runs", type=int, default=1040, help="of all scenarios together")
    parser.add_argument("--hours", type=float, default=HOURS, help="of simulated time, each")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
