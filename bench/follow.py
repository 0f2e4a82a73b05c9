"""What followers cost: one that idles, a hundred while somebody writes, and a context kept fresh.

The followers are processes of their own, forked from this one. The writer's throughput is taken
before, with and after them, several times, since the machine's own mood changes more than a few of
them cost; how much of the processors they took says it apart from that mood. There is no peer: who
polls a file has no followers.
"""

import contextlib
import os
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import msgspec

from bench._measure import disk, running_writer
from bench.append import _write_eight_in_flight, _write_one_by_one
from hourbook.book.digest import DigestLimits, digest_of
from hourbook.book.entry_filter import EntryFilter, make_filter
from hourbook.book.journal import Stamp
from hourbook.book.reader import BookReader
from hourbook.book.writer import BookWriter
from hourbook.context_text import render_digest
from hourbook.faces.book import Book, connect
from hourbook.faces.feed import EVERYTHING, Follower
from hourbook.home import Home, find_home, prepare_home
from protocols.book_messages import Append, NewEntry
from protocols.entry import encode_value, make_nonce

__all__ = ["run"]

Row = tuple[str, str, str, str, str]
FOLLOWERS = 100
ROUNDS = 7
_ROUND_NS = 10**9
_OTHERS = make_filter(entity="of-somebody-else")


def run(*, quick: bool) -> list[Row]:
    """Measure everything; return one row for each figure."""
    rounds = 1 if quick else ROUNDS
    one, eight = _write_one_by_one, _write_eight_in_flight
    with tempfile.TemporaryDirectory(prefix="hourbook-bench-", dir=disk()) as directory:
        with running_writer(Path(directory)) as home:
            idle = _idle_share(home, 3)
            rows = [
                ("idle follower, share of a core", f"{idle:.3%}", "-", "-", "< 0.5 %"),
                _cost_row("1 in flight, all entries", home, one, EVERYTHING, rounds),
                _cost_row("1 in flight, filtered", home, one, _OTHERS, rounds),
                _cost_row("8 in flight, all entries", home, eight, EVERYTHING, rounds),
                _cost_row("8 in flight, filtered", home, eight, _OTHERS, rounds),
            ]
        refresh_ms = _refresh_ms(Path(directory))
    refresh = f"{refresh_ms:.2f} ms"
    return [*rows, ("context refresh at 10^5 entries, p50", refresh, "-", "-", "<= 10 ms")]


def _idle_share(home: Home, seconds: float) -> float:
    """Return the share of a core that one follower uses while nothing happens."""
    follower = Follower(home)
    before = resource.getrusage(resource.RUSAGE_THREAD)
    follower.poll(seconds)
    after = resource.getrusage(resource.RUSAGE_THREAD)
    follower.close()
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / seconds


def _cost_row(
    what: str, home: Home, job: Callable[[Book, int], int], wanted: EntryFilter, rounds: int
) -> Row:
    rates = [_rate(home, job)]
    used, processors = [], len(os.sched_getaffinity(0))
    for _ in range(rounds):
        with _followers(home, wanted) as pids:
            before_ns = _processor_ns(pids)
            rates.append(_rate(home, job))
            used.append((_processor_ns(pids) - before_ns) / (_ROUND_NS * processors))
        rates.append(_rate(home, job))
    alone = [(before + after) / 2 for before, after in zip(rates[:-1:2], rates[2::2], strict=True)]
    during = rates[1::2]
    lost = median(1 - rate / other for rate, other in zip(during, alone, strict=True))
    return (
        f"writer beside {FOLLOWERS} followers, {what}",
        f"{median(during):.0f}/s",
        f"{median(alone):.0f}/s alone",
        f"{lost:.0%} lost, {median(used):.0%} of the processors",
        "< 20 %",
    )


@contextlib.contextmanager
def _followers(home: Home, wanted: EntryFilter) -> Iterator[list[int]]:
    """Run followers that read whatever comes."""
    ready, said = os.pipe()
    pids = [_fork_follower(home, wanted, said) for _ in range(FOLLOWERS)]
    try:
        for _ in pids:
            os.read(ready, 1)
        yield pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)
        os.close(ready)
        os.close(said)


def _processor_ns(pids: list[int]) -> int:
    """Return how long processes have run so far."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0]) for pid in pids)


def _rate(home: Home, job: Callable[[Book, int], int]) -> float:
    with connect("writer", home, shared=True) as book:
        started_ns = time.monotonic_ns()
        count = job(book, started_ns + _ROUND_NS)
        return count / ((time.monotonic_ns() - started_ns) / 1e9)


def _fork_follower(home: Home, wanted: EntryFilter, said: int) -> int:
    pid = os.fork()
    if pid == 0:
        follower = Follower(home, None, wanted)
        os.write(said, b"r")
        for _ in follower:
            pass
    return pid


def _refresh_ms(directory: Path) -> float:
    home = find_home(directory / "long")
    prepare_home(home)
    book = BookWriter.open(home.book_db, home.keys_dir)
    details = encode_value({"version": "1.2", "ok": True}, "details")
    for first in range(1, 100_001, 1000):
        news = [
            NewEntry("deployed", f"api.{number % 500}", msgspec.Raw(details))
            for number in range(first, first + 1000)
        ]
        book.commit([Append("agent", make_nonce(1, first), news)], Stamp(time.time_ns(), 0))
    book.close()
    took = []
    with BookReader(home) as reader:
        for _ in range(50):
            started_ns = time.perf_counter_ns()
            digest = reader.query(lambda c: digest_of(c, None, DigestLimits(), time.time_ns()))
            render_digest(digest, "markdown")
            took.append(time.perf_counter_ns() - started_ns)
    shutil.rmtree(home.run_dir, ignore_errors=True)
    return sorted(took)[len(took) // 2] / 1e6
