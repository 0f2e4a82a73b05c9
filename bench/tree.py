"""The whole tree: how fast it starts, recovers and stops, and what it costs while nothing happens.

The peer of a start is the same number of bare interpreters started one after another, of a recovery
one interpreter that imports what the actor's sockets need; idle costs stand for themselves.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from hourbook.home import find_home
from protocols.control import Event, Status
from supervisor.client import Client

__all__ = ["run"]

Row = tuple[str, str, str, str, str]
SUPERVISOR = str(Path(sys.executable).with_name("supervisor"))
QUIET = ("--set", "actor.mcp_server.config.listen='127.0.0.1:0'",
         "--set", "actor.metrics.config.listen='127.0.0.1:0'")  # fmt: skip


class Tree:
    """One running tree in a home of its own."""

    def __init__(self, path: Path) -> None:
        self.home = find_home(path)
        begin_s = time.perf_counter()
        command = [SUPERVISOR, "start", "--wait", "30", "--home", str(path), *QUIET]
        subprocess.run(command, check=True, capture_output=True)
        self.start_s = time.perf_counter() - begin_s
        self.process = psutil.Process(self.status().supervisor.pid)

    def status(self) -> Status:
        with Client(self.home) as client:
            return client.status()

    def processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def recover(self, name: str) -> tuple[float, float]:
        """Kill an actor; return seconds until its end was seen and until it was READY again."""
        with Client(self.home) as client:
            row = next(a for a in client.status().actors if a.name == name)
            assert row.pid is not None
            seen = client.events(0)[-1].seq
            begin_ns = time.monotonic_ns()
            os.kill(row.pid, signal.SIGKILL)
            found: dict[str, Event] = {}
            while "ready" not in found:
                for event in client.events(seen):
                    seen = event.seq
                    if event.name == name:
                        found[event.event] = event
        return tuple((found[e].mono_ns - begin_ns) / 1e9 for e in ("exited", "ready"))  # type: ignore[return-value]  # exactly two

    def stop(self) -> float:
        """Stop in order; return the seconds it took."""
        begin_s = time.perf_counter()
        subprocess.run(
            [SUPERVISOR, "stop", "--home", str(self.home.path)], check=True, capture_output=True
        )
        shutil.rmtree(self.home.run_dir, ignore_errors=True)
        return time.perf_counter() - begin_s


def run(*, quick: bool) -> list[Row]:
    """Measure starts, stops, recoveries and the idle tree."""
    rounds, idle_s = (1, 5.0) if quick else (3, 20.0)
    starts, stops, rows = [], [], []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as path:
            tree = Tree(Path(path))
            starts.append(tree.start_s)
            if number == 0:
                rows = [*_idle(tree, idle_s), *_recoveries(tree)]
            stops.append(tree.stop())
    bare_s = _interpreter_s("pass")
    count = 8
    start_s, stop_s = statistics.median(starts), statistics.median(stops)
    return [
        ("cold start --wait, whole tree", f"{start_s:.2f} s",
         f"{count} bare interpreters {count * bare_s:.2f} s",
         f"{start_s / (count * bare_s):.1f}x", "<= 2.5 s"),
        ("stop, whole tree", f"{stop_s:.2f} s", f"a bare interpreter {bare_s:.2f} s",
         f"{stop_s / bare_s:.1f}x", "<= 1.5 s"),
        *rows,
    ]  # fmt: skip


def _idle(tree: Tree, duration_s: float) -> list[Row]:
    time.sleep(3)  # start-up work is over
    before = {p: sum(p.cpu_times()[:2]) for p in tree.processes()}
    begin_s = time.perf_counter()
    time.sleep(duration_s)
    elapsed_s = time.perf_counter() - begin_s
    used = {p: sum(p.cpu_times()[:2]) - s for p, s in before.items()}
    publisher = next(a.pid for a in tree.status().actors if a.name == "shm_publisher")
    percent = 100 * sum(used.values()) / elapsed_s
    publisher_percent = 100 * next(s for p, s in used.items() if p.pid == publisher) / elapsed_s
    pss_mb = sum(p.memory_full_info().pss for p in before) / 1e6
    return [
        ("idle tree, share of a core", f"{percent:.2f} %", "-", "-", "<= 2 %"),
        ("publisher at 100 Hz", f"{publisher_percent:.2f} %", "-", "-", "<= 1 %"),
        ("idle tree, PSS", f"{pss_mb:.0f} MB", "-", "-", "<= 250 MB"),
    ]


def _recoveries(tree: Tree) -> list[Row]:
    rows: list[Row] = []
    for actor in tree.status().actors:
        detected_s, ready_s = tree.recover(actor.name)
        module = "mcp.server" if actor.name == "mcp_server" else "zmq, msgspec"
        peer_s = _interpreter_s(f"import {module}")
        target = "<= 5 ms, <= 2 s" if actor.name == "mcp_server" else "<= 5 ms, <= 500 ms"
        ours = f"{detected_s * 1e3:.1f}, {ready_s * 1e3:.0f} ms"
        peer = f"python -c 'import {module}' {peer_s * 1e3:.0f} ms"
        what = f"kill -9 {actor.name}: seen, READY"
        rows.append((what, ours, peer, f"{ready_s / peer_s:.1f}x", target))
    return rows


def _interpreter_s(code: str) -> float:
    def once() -> float:
        begin_s = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - begin_s

    return statistics.median(once() for _ in range(5))
