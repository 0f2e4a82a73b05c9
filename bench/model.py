"""What the clock's model costs: one sample, a replay, and the memory of its process.

Peers: for the replay the standard library's own `statistics` doing two of the four baselines (a
line over 20, a median of 10) on the same rows; for the memory the same process before it imports
the model. `absorb` has no peer: what counts is that a sample comes every few seconds at most.
"""

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hourbook.clock import model, state
from hourbook.clock.replay import replay
from hourbook.clock.state import Limits
from hourbook.clock.trace import read_rows
from protocols.clock_messages import ClockSample

__all__ = ["run"]

Row = tuple[str, str, str, str, str]
_UTC_NS: Final = 1_800_000_000_000_000_000
_MEMORY_OF_AN_ACTOR: Final = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import actors.base, actors.config
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
import actors.clock_model
from bench.model import absorbed, samples
absorbed(samples(2000, sources=8))
print(idle, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run(quick: bool = False) -> list[Row]:  # noqa: FBT001, FBT002 - the benches share this face
    """Return the rows of the table."""
    count = 2_000 if quick else 20_000
    return [*absorb_rows(count // 4), replay_row(count), memory_row()]


def samples(count: int, sources: int) -> list[ClockSample]:
    """Return what so many sources say in turn: 1 ms of noise, queues, 20 ppm of drift."""
    rng = random.Random(1)  # noqa: S311 - made-up noise
    made = []
    for n in range(count):
        raw_ns = (n + 1) * 64_000_000_000 // sources
        queued_ns = round(rng.expovariate(1e-6))
        utc_ns = _UTC_NS + raw_ns + raw_ns // 50_000 + round(rng.gauss(0, 1e6))
        made.append(
            ClockSample(
                source=f"192.0.2.{n % sources}:123",
                raw_ns=raw_ns,
                utc_ns=utc_ns,
                half_width_ns=10_000_000 + queued_ns // 2,
                delay_ns=20_000_000 + queued_ns,
                realtime_offset_ns=utc_ns - _UTC_NS - raw_ns,
                origin="ntp",
                poll_s=64,
            )
        )
    return made


def absorbed(heard: Sequence[ClockSample]) -> float:
    """Return the mean cost of one sample in microseconds."""
    now = state.initial(Limits(), 1, _UTC_NS)
    started_ns = time.perf_counter_ns()
    for sample in heard:
        now = model.absorb(now, sample)
    return (time.perf_counter_ns() - started_ns) / len(heard) / 1e3


def absorb_rows(count: int) -> list[Row]:
    """Time one source, and eight; the best of three rounds each."""
    rows: list[Row] = []
    for sources in (1, 8):
        heard = samples(count, sources)
        cost_us = min(absorbed(heard) for _ in range(3))
        what = f"absorb a sample, {sources} source{'s' if sources > 1 else ''}"
        rows.append((what, f"{cost_us:.0f} us", "-", "-", "<= 500 us"))
    return rows


def replay_row(count: int) -> Row:
    """Replay rows of CSV, in turns with two baselines of the standard library."""
    rng = random.Random(2)  # noqa: S311 - made-up noise
    lines = ["t_s,offset_ms,delay_ms\n"]
    lines += [
        f"{64 * n},{rng.gauss(0, 2):.6f},{20 + rng.expovariate(1):.6f}\n" for n in range(count)
    ]
    ours, peer = [], []
    for _ in range(3):
        started_s = time.perf_counter()
        for _ in replay(read_rows(lines, "bench")):
            pass
        ours.append(time.perf_counter() - started_s)
        started_s = time.perf_counter()
        baselines(lines)
        peer.append(time.perf_counter() - started_s)
    rate, peer_rate = count / min(ours), count / min(peer)
    return (
        "replay / statistics.linear_regression + median",
        f"{rate:.0f} rows/s",
        f"{peer_rate:.0f} rows/s",
        f"{rate / peer_rate:.2f}",
        ">= 2000 rows/s",
    )


def baselines(lines: Sequence[str]) -> None:
    """Do two of the baselines as anybody would write them."""
    times: list[float] = []
    offsets: list[float] = []
    for line in lines[1:]:
        t_s, offset_ms, _ = line.split(",")
        if len(times) >= 2:
            statistics.linear_regression(times[-20:], offsets[-20:])
            statistics.median(offsets[-10:])
        times.append(float(t_s))
        offsets.append(float(offset_ms))


def memory_row() -> Row:
    """Measure what a process of the model takes after 2000 samples of 8 sources."""
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY_OF_AN_ACTOR, root],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
    )
    idle_kib, full_kib = map(int, done.stdout.split())
    return (
        "peak memory of clock_model / an idle actor",
        f"{full_kib / 1024:.0f} MiB",
        f"{idle_kib / 1024:.0f} MiB",
        f"{full_kib / idle_kib:.2f}",
        "< 60 MB",
    )
