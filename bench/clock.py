"""What reading the clock costs, whether a read can be torn, and what publishing costs.

Peers: ``time.time_ns()`` for the calls, ``clock_gettime(CLOCK_MONOTONIC_RAW)`` for the C loop.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import msgspec
import zmq

from bench._measure import heard
from hourbook.faces.clock import Clock
from hourbook.home import Home
from protocols import wire
from protocols.clock_messages import ESTIMATE_KIND, ClockEstimate

__all__ = ["run"]

Row = tuple[str, str, str, str, str]
ROOT = Path(__file__).parents[1]
_NS = 1_000_000_000
_CALLS = 5_000
_RUN_ACTOR = """
import sys
from actors.contract import ActorContext
from actors.shm_publisher import ShmPublisher
sys.exit(ShmPublisher.main(ActorContext("shm_publisher", 1, sys.argv[1], sys.argv[1], {})))
"""


def run(quick: bool = False) -> list[Row]:  # noqa: FBT001, FBT002 - the benches share this face
    """Return the rows of the table."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        home = Home(path=Path(directory), run_dir=Path(directory))
        with publishing(home) as publisher:
            clock = Clock(home)
            rows = [*call_rows(clock, 40 if quick else 200)]
            rows.append(cpu_row(publisher, 2.0 if quick else 10.0))
        rows += c_rows(Path(directory), 1_000_000 if quick else 10_000_000)
    return rows


def call_rows(clock: Clock, rounds: int) -> Iterator[Row]:
    """Time the Python calls in turns, so that all meet the same weather."""
    calls = {"peer": time.time_ns, "time_ns": clock.time_ns, "now": clock.now}
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            best[name] = min(best[name], cost_ns(call))
    for name, target in (("time_ns", "<= 1.25"), ("now", "<= 3")):
        yield (
            f"Clock.{name}() / time.time_ns()",
            f"{best[name]:.1f} ns",
            f"{best['peer']:.1f} ns",
            f"{best[name] / best['peer']:.2f}",
            target,
        )


def cost_ns(call: Callable[[], object]) -> float:
    """Return the mean cost of a call, loop included for everybody."""
    started_ns = time.perf_counter_ns()
    for _ in repeat(None, _CALLS):
        call()
    return (time.perf_counter_ns() - started_ns) / _CALLS


def cpu_row(publisher: subprocess.Popen[bytes], duration_s: float) -> Row:
    """Measure what publishing 100 times a second takes of a core."""
    before_ns = running_ns(publisher.pid)
    started_ns = time.monotonic_ns()
    time.sleep(duration_s)
    used_ns = running_ns(publisher.pid) - before_ns
    percent = 100 * used_ns / (time.monotonic_ns() - started_ns)
    return ("publisher at 100 Hz", f"{percent:.2f} % of a core", "-", "-", "<= 1 %")


def running_ns(pid: int) -> int:
    """Return how long the threads of a process have run; CPU times count in ticks of 10 ms."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def c_rows(directory: Path, reads: int) -> Iterator[Row]:
    """Run the C programs: the loop, and the writer at full speed."""
    loop = compiled(ROOT / "bench" / "clock_loop.c", directory)
    read_ns, raw_ns = map(float, output_of(loop).split())
    yield (
        "C read / clock_gettime(RAW)",
        f"{read_ns:.1f} ns",
        f"{raw_ns:.1f} ns",
        f"{read_ns / raw_ns:.2f}",
        "<= 1.5",
    )
    tear = compiled(ROOT / "tests" / "faults" / "tear.c", directory)
    counts = json.loads(output_of(tear, str(reads)))
    yield (
        f"torn reads in {counts['reads']:.0e}, writer at full speed",
        f"{counts['torn']} torn, {counts['backward']} backward",
        "-",
        "-",
        "0",
    )


def compiled(source: Path, directory: Path) -> Path:
    """Compile a program against the product's own headers."""
    program = directory / source.stem
    flags = ["-std=gnu11", "-O2", "-pthread", f"-I{ROOT / 'shm'}"]
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, *flags, str(source), "-o", str(program)], check=True)
    return program


def output_of(program: Path, *arguments: str) -> str:
    """Return what a program prints."""
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def publishing(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """Run the real publisher as a process of its own, with one estimate to publish."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(home.mailbox_uri("shm_publisher"))
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN_ACTOR, str(home.path)], stderr=subprocess.DEVNULL, cwd=ROOT
    )
    raw_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    estimate = ClockEstimate(
        as_of_raw_ns=raw_ns, utc_ns=time.time_ns(), rate=1234567, bounded=True,
        earliest_off_ns=-1_000_000, latest_off_ns=1_000_000, growth_ppb=50_000, status=1,
        source="ntp", last_sample_raw_ns=raw_ns, poll_s=256,
    )  # fmt: skip
    body = msgspec.Raw(msgspec.msgpack.encode(estimate))
    dealer.send(wire.encode(wire.Envelope(kind=ESTIMATE_KIND, id=1, src="bench", body=body)))
    try:
        with heard(home):
            wait_for_page(home)
            yield process
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(10)
        context.destroy(linger=0)


def wait_for_page(home: Home) -> None:
    """Wait until there is something to read."""
    deadline_s = time.monotonic() + 10
    while not (home.segment.exists() and Clock(home).snapshot().publications):
        assert time.monotonic() < deadline_s, "the publisher published nothing within 10 s"
        time.sleep(0.01)
