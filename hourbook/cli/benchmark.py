"""`hourbook benchmark`: what a read of the clock costs on this machine, beside its peers.

A figure is the best of several rounds, each a loop in C over the call: what the code costs when the
machine does nothing else. The overhead of the empty loop is in every figure, also in the peers'.
"""

import time
from collections import deque
from collections.abc import Callable
from itertools import repeat, starmap
from typing import Annotated, Any, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from hourbook.cli.exit_codes import OK
from hourbook.cli.options import HomeOption, JsonOption
from hourbook.cli.out import emit, emit_json
from hourbook.faces.clock import Clock
from hourbook.home import find_home

__all__ = ["benchmark"]

ROUNDS: Final = 7
BASELINE: Final = "time.time_ns()"


def benchmark(
    *,
    iterations: Annotated[int, Parameter(validator=Number(gte=100, lte=100_000_000))] = 200_000,
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Measure reads of the clock, and Python's own clock in the same run.

    Example: `hourbook benchmark --iterations 1000000`

    Parameters
    ----------
    iterations:
        Calls in each of 7 rounds (100 to 10^8).
    """
    clock = Clock(find_home(home))
    calls: dict[str, Callable[[], Any]] = {
        BASELINE: time.time_ns,
        "Clock.time_ns()": clock.time_ns,
        "Clock.now()": clock.now,
        "Clock.snapshot()": clock.snapshot,
    }
    best = {name: _best_ns(call, iterations) for name, call in calls.items()}
    rows = [
        {"call": name, "ns": round(ns, 1), "ratio": round(ns / best[BASELINE], 2)}
        for name, ns in best.items()
    ]
    if json:
        emit_json({"iterations": iterations, "rounds": ROUNDS, "calls": rows})
        return OK
    emit(f"{'call':<20} {'ns':>8} {'ratio':>7}")
    for row in rows:
        emit(f"{row['call']:<20} {row['ns']:>8} {row['ratio']:>6}x")
    emit(f"best of {ROUNDS} rounds of {iterations} calls each")
    return OK


def _best_ns(call: Callable[[], Any], iterations: int) -> float:
    return min(_round_ns(call, iterations) for _ in range(ROUNDS)) / iterations


def _round_ns(call: Callable[[], Any], iterations: int) -> int:
    calls = starmap(call, repeat((), iterations))
    started_ns = time.perf_counter_ns()
    deque(calls, maxlen=0)
    return time.perf_counter_ns() - started_ns
