"""What archiving and dropping old details costs others: the longest that an append has to wait.

The peer is the same appends on the same book with nobody keeping it: what the disk does by itself.
Each slice is up to 512 entries or 1 MiB of details; the promise is 50 ms.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal

import msgspec

from bench._measure import running_writer
from hourbook.book.archive.retention import Rule
from hourbook.book.journal import Stamp
from hourbook.book.writer import BookWriter
from hourbook.compaction import compact
from hourbook.faces.book import connect
from hourbook.home import Home, find_home, prepare_home
from protocols.book_messages import Append, NewEntry
from protocols.entry import encode_value, make_nonce

__all__ = ["run"]

Row = tuple[str, str, str, str, str]
"""Name, ours, the peer's, ratio, target."""

DETAILS_BYTES: Final = 2000
DAY_NS: Final = 86_400 * 10**9
GROUP: Final = 500


def run(*, quick: bool) -> list[Row]:
    """Measure both ways of emptying a book; return one row for each."""
    count = 5_000 if quick else 20_000
    ways: tuple[tuple[Literal["archive", "drop"], str], ...]
    ways = ("archive", "archived"), ("drop", "dropped")
    rows = []
    for do, done in ways:
        with tempfile.TemporaryDirectory(prefix="hourbook-bench-") as directory:
            _write_old_book(find_home(Path(directory) / "home"), count)
            with running_writer(Path(directory)) as home:
                alone_ms = _longest_append_ms(home, lambda: time.sleep(1))
                ours_ms = _longest_append_ms(home, partial(_keep, home, do))
        name = f"longest append while {count} details are {done}"
        ratio = f"{ours_ms / alone_ms:.1f}x"
        rows.append((name, f"{ours_ms:.0f} ms", f"{alone_ms:.0f} ms idle", ratio, "<= 50 ms"))
    return rows


def _write_old_book(home: Home, count: int) -> None:
    prepare_home(home)
    stamp = Stamp(time.time_ns() - 10 * DAY_NS, -1)
    writer = BookWriter.open(home.book_db, home.keys_dir)
    details = msgspec.Raw(encode_value(os.urandom(DETAILS_BYTES), "details"))
    for first in range(1, count, GROUP):
        entries = [NewEntry("did", "work", details)] * GROUP
        writer.commit([Append("old", make_nonce(1, first), entries)], stamp)
    writer.close()


def _keep(home: Home, do: Literal["archive", "drop"]) -> None:
    done = compact(home, [Rule(do=do, after="2 d")], time.time_ns())
    if not done.archived + done.dropped:
        raise RuntimeError("nothing was old")


def _longest_append_ms(home: Home, job: Callable[[], None]) -> float:
    """Return how long the slowest of many appends took while a job was done."""
    worker = threading.Thread(target=job)
    longest_ns = 0
    with connect("busy", home, shared=True) as book:
        worker.start()
        while worker.is_alive():
            begun_ns = time.perf_counter_ns()
            book.log("while", "keeping")
            longest_ns = max(longest_ns, time.perf_counter_ns() - begun_ns)
            time.sleep(0.001)
    worker.join()
    return longest_ns / 1e6
