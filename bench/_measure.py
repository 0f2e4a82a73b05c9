"""What several benchmarks measure with: a writer to ask, many processes at once, a table's rows."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import multiprocess
import zmq

from actors.base import ActorContext
from actors.journal_writer import JournalWriter
from bench._machine import MACHINE
from hourbook.faces.book import connect
from hourbook.home import Home, find_home, prepare_home
from protocols.control import SUPERVISOR_NAME

__all__ = [
    "Job",
    "Row",
    "disk",
    "heard",
    "percentile",
    "rate",
    "rate_row",
    "running_writer",
    "time_row",
    "timed",
]

Row = tuple[str, str, str, str, str]
"""Name, ours, the peer's, ratio, target."""
Job = Callable[[Any, int], int]
"""Writes until CLOCK_MONOTONIC has come, and returns how many entries."""

PROCESSES = 8
_spawn = multiprocess.get_context("spawn")


@contextlib.contextmanager
def heard(home: Home) -> Iterator[None]:
    """Hear the beats of actors as a supervisor does; else their reconnecting is measured, too."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.socket(zmq.ROUTER).bind(home.mailbox_uri(SUPERVISOR_NAME))
    try:
        yield
    finally:
        context.destroy(linger=0)


@contextlib.contextmanager
def running_writer(directory: Path) -> Iterator[Home]:
    home = find_home(directory / "home")
    prepare_home(home)
    context = ActorContext("journal_writer", 1, str(home.path), str(home.run_dir))
    writer = _spawn.Process(target=JournalWriter.main, args=(context,), daemon=True)
    writer.start()
    try:
        with heard(home):
            with connect("warm-up", home) as book:
                book.log("began", "writer")
            yield home
    finally:
        writer.terminate()
        writer.join(10)
        shutil.rmtree(home.run_dir, ignore_errors=True)


def timed(job: Callable[[], object], count: int) -> list[int]:
    MACHINE.look()
    durations = []
    for _ in range(count):
        started_ns = time.perf_counter_ns()
        job()
        durations.append(time.perf_counter_ns() - started_ns)
    return durations


def rate(open_: Callable[[Path, str], Any], job: Job, path: Path, seconds: int) -> float:
    """Run `job` in PROCESSES processes for a while; return entries a second, all together."""
    pipes, workers = [], []
    for number in range(PROCESSES):
        parent, child = _spawn.Pipe()
        name = f"{job.__name__.strip('_').replace('_', '-')}-{number}"
        arguments = (open_, job, path, name, child)
        worker = _spawn.Process(target=_work, args=arguments, daemon=True)
        worker.start()
        workers.append(worker)
        pipes.append(parent)
        parent.recv()  # one after the other: two cannot create a database at once
    MACHINE.look()
    started_ns = time.monotonic_ns()
    for pipe in pipes:
        pipe.send(started_ns + seconds * 10**9)
    count: int = sum(pipe.recv() for pipe in pipes)
    took_s = (time.monotonic_ns() - started_ns) / 1e9
    for worker in workers:
        worker.join(10)
    return count / took_s


def _work(
    open_: Callable[[Path, str], Any],
    job: Job,
    path: Path,
    name: str,
    pipe: Any,  # noqa: ANN401 - untyped
) -> None:
    target = open_(path, name)
    pipe.send("ready")
    pipe.send(job(target, pipe.recv()))
    target.close()


def percentile(durations_ns: list[int], percent: int) -> float:
    return sorted(durations_ns)[len(durations_ns) * percent // 100] / 1e6


def time_row(name: str, ours_ms: float, peer_ms: float | None, target: str) -> Row:
    if peer_ms is None:
        return (name, f"{ours_ms:.3f} ms", "-", "-", target)
    return (name, f"{ours_ms:.3f} ms", f"{peer_ms:.3f} ms", f"{ours_ms / peer_ms:.2f}x", target)


def rate_row(name: str, ours: float, peer: float | None, target: str) -> Row:
    if peer is None:
        return (name, f"{ours:.0f}/s", "-", "-", target)
    return (name, f"{ours:.0f}/s", f"{peer:.0f}/s", f"{ours / peer:.2f}x", target)


def disk() -> Path | None:
    """Return a directory on a disk: on tmpfs an fsync costs nothing, and proves nothing."""
    here = Path(__file__).resolve().parent.parent
    return here if os.access(here, os.W_OK) else None
