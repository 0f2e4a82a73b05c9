"""A book of a million entries: what appending, opening, asking and verifying cost by then.

The book is written here, by the writer's own code, by ten agents over a thousand entities, in
twenty sessions, a tenth of it on a branch. Groups of one entry and of 100 are timed by turns on it
and on a book of 10^3, so that both meet the same disk. Then a tree is started on it, and every
command that only reads is run as a user runs it, from a cold Python with its bytecode in place; its
peer is a Python that imports sqlite3 and nothing else.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from bench.tree import Tree
from hourbook.book.journal import Stamp
from hourbook.book.reader import BookReader
from hourbook.book.writer import BookWriter
from hourbook.cli.exit_codes import FOUND_WRONG
from hourbook.home import Home, find_home, prepare_home
from protocols.book_messages import Append, NewEntry
from protocols.branch_messages import CreateBranch
from protocols.change import CHANGE_NONCES
from protocols.entry import encode_value, make_nonce
from protocols.instance_messages import Holder, Register
from protocols.kv_messages import KvWrite, Set

__all__ = ["run"]

Row = tuple[str, str, str, str, str]
"""Name, ours, the peer's, ratio, target."""

SMALL, LARGE = 1_000, 1_000_000
BATCH: Final = 100
FILL: Final = 4000
"""Entries of a group where nothing is timed."""
AGENTS, ENTITIES, ACTIONS = 10, 1000, ("deployed", "read", "wrote", "tested", "decided")
SESSIONS: Final = 20
BRANCH: Final = "plan-b"
COMMANDS: Final = (
    ("now",),
    ("snapshot",),
    ("sources",),
    ("status",),
    ("doctor",),
    ("tail",),
    ("tail", "-n", "100"),
    ("tail", "--at", "500000"),
    ("tail", "--at", "TIME"),
    ("tail", "--at", "HASH"),
    ("tail", "--branch", BRANCH),
    ("tail", "--branch", BRANCH, "--at", "500000"),
    ("head",),
    ("keys",),
    ("verify", "--from", "LAST"),
    ("instances",),
    ("diff", "agent-1", "agent-2"),
    ("session", "list"),
    ("session", "summary"),
    ("summary",),
    ("context",),
    ("schema",),
    ("kv", "get", "config", "limits"),
    ("kv", "keys", "config"),
    ("kv", "history", "config", "limits"),
    ("kv", "stats"),
    ("kv", "stats", "config"),
    ("kv", "locks"),
    ("branch", "list"),
    ("branch", "log", BRANCH),
    ("branch", "diff", "plan-c", "plan-d"),
    ("query", "SELECT * FROM entries WHERE seq = 500000"),
    ("query", "SELECT * FROM entries ORDER BY seq DESC LIMIT 10"),
    ("query", "SELECT * FROM entries WHERE entity = 'api.7' ORDER BY seq DESC LIMIT 10"),
    ("query", "SELECT * FROM entries WHERE +writer = 'agent-1' ORDER BY seq DESC LIMIT 10"),
    ("query", "SELECT * FROM entries WHERE session = 's-1' AND session <> '' LIMIT 10"),
    ("query", "SELECT * FROM commits ORDER BY last_seq DESC LIMIT 10"),
    ("query", "SELECT * FROM instances"),
    ("query", "SELECT count(*) FROM entries"),
    ("query", "SELECT count(*) FROM entries", "--at", "500000"),
)
"""Every command that only reads, but those that read the whole book by their nature: verify without
--from, export, backup, and SQL that has no key to go by."""
COMMAND_TARGET: Final = "<= 250 ms"


def run(*, quick: bool) -> list[Row]:
    """Measure everything; return one row for each figure."""
    rounds = 3 if quick else 9
    with tempfile.TemporaryDirectory(prefix="hourbook-bench-", dir=_disk()) as directory:
        homes = [find_home(Path(directory) / name) for name in ("small", "large")]
        small, large = books = [_GrowingBook(home) for home in homes]
        small.grow_to(SMALL)
        large.grow_to(LARGE)
        for book in books:  # a log that grows costs more to sync than one that is written over
            book.writer.checkpoint(truncate=True)
        rows = [
            _growth_row("append one, p50 at 10^6 / at 10^3", books, 1, 100 * rounds, "<= 1.3x"),
            _growth_row("append 100, mean at 10^6 / at 10^3", books, BATCH, 30, "<= 4x"),
        ]
        for book in books:
            book.writer.close()
        rows += _open_and_verify(homes[1], rounds)
        tree = Tree(homes[1].path)
        try:
            rows += _commands(homes[1], rounds)
        finally:
            tree.stop()
        for home in homes:
            shutil.rmtree(home.run_dir, ignore_errors=True)
    return rows


class _GrowingBook:
    """A book that is written by its writer's own code, without sockets."""

    def __init__(self, home: Home) -> None:
        prepare_home(home)
        self.writer = BookWriter.open(home.book_db, home.keys_dir)
        self._groups = 0
        self._counters = [CHANGE_NONCES] * AGENTS
        for number, name in enumerate((BRANCH, "plan-c", "plan-d")):
            nonce = make_nonce(1, number * CHANGE_NONCES)
            self.writer.write([CreateBranch(writer="cli", nonce=nonce, name=name)], _stamp())
        for number in range(AGENTS):
            holder = Holder(bytes(16), 1 + number, 1)
            name, nonce = f"agent-{number}", make_nonce(1, 0)
            self.writer.write([Register(writer=name, nonce=nonce, holder=holder)], _stamp())
        limits = Set(key="limits", value=msgspec.Raw(encode_value({"jobs": 4}, "value")))
        nonce = make_nonce(2, 0)
        self.writer.write([KvWrite(writer="cli", nonce=nonce, ns="config", ops=[limits])], _stamp())
        details = msgspec.Raw(encode_value({"version": "1.2", "ok": True}, "details"))
        self._entries = [
            NewEntry(ACTIONS[number % len(ACTIONS)], f"api.{number}", details)
            for number in range(ENTITIES)
        ]

    def grow_to(self, size: int) -> None:
        """Fill the book."""
        while (missing := size - self.writer.head.seq) > 0:
            self.commit(min(FILL, missing))

    def commit(self, count: int) -> None:
        """Write one group of `count` entries by one agent."""
        seq, number = self.writer.head.seq, self._groups
        self._groups += 1
        agent = number % AGENTS
        nonce = make_nonce(1, self._counters[agent] + 1)
        self._counters[agent] += count
        news = [self._entries[(seq + index) % ENTITIES] for index in range(count)]
        session, branch = f"s-{number % SESSIONS}", int(number % 11 == 0)
        append = Append(f"agent-{agent}", nonce, news, session=session, branch=branch)
        self.writer.commit([append], _stamp())


def _stamp() -> Stamp:
    return Stamp(time.time_ns(), 1000)


# -- figures ------------------------------------------------------------------------------------


def _growth_row(name: str, books: list[_GrowingBook], count: int, repeats: int, target: str) -> Row:
    """Time groups of `count` entries on both books by turns: the median of ones, else the mean."""
    times: list[list[float]] = [[], []]
    for repeat in range(repeats):
        for index in (0, 1) if repeat % 2 else (1, 0):  # neither is always the first
            times[index] += _timed_ms(partial(books[index].commit, count), 1)
    average = statistics.median if count == 1 else statistics.mean
    small_ms, large_ms = (average(durations) for durations in times)
    return (name, f"{large_ms:.3f} ms", f"{small_ms:.3f} ms", f"{large_ms / small_ms:.2f}x", target)


def _open_and_verify(home: Home, rounds: int) -> list[Row]:
    opened_ms = min(_timed_ms(partial(_open_and_close, home), rounds))
    with BookReader(home) as reader:
        head = reader.head()
        assert head is not None
        verdict = reader.verify()
        assert verdict.ok, verdict.problem
        last = partial(reader.verify, from_commit=head.commit_no)
        incremental_ms = statistics.median(_timed_ms(last, rounds))
    each_us = verdict.seconds * 1e6 / verdict.entries
    return [
        ("open a book of 10^6 for writing", f"{opened_ms:.0f} ms", "-", "-", "<= 1 s"),
        ("verify a book of 10^6, each entry", f"{each_us:.2f} us", "-", "-", "<= 4 us"),
        ("verify --from its last commit", f"{incremental_ms:.1f} ms", "-", "-", "<= 50 ms"),
    ]


def _open_and_close(home: Home) -> None:
    BookWriter.open(home.book_db, home.keys_dir).close()


def _commands(home: Home, rounds: int) -> list[Row]:
    with BookReader(home) as reader:
        head, middle = reader.head(), reader.entry(LARGE // 2)
    assert head is not None
    assert middle is not None
    words = {
        "LAST": str(head.commit_no),
        "HASH": middle.hash.hex()[:12],
        "TIME": str(middle.time_ns),
    }
    bare_ms = _command_ms([sys.executable, "-c", "import sqlite3"], rounds, home)
    assert bare_ms is not None
    rows: list[Row] = []
    for command in COMMANDS:
        arguments = [words.get(word, word) for word in command]
        ours_ms = _command_ms([sys.executable, "-m", "hourbook.command", *arguments], rounds, home)
        what = f"hourbook {' '.join(command)}"[:76]
        if ours_ms is None:
            rows.append((what, "-", "-", "-", COMMAND_TARGET))
            continue
        figures = (f"{ours_ms:.0f} ms", f"{bare_ms:.0f} ms", f"{ours_ms / bare_ms:.1f}x")
        rows.append((what, *figures, COMMAND_TARGET))
    return rows


def _command_ms(command: list[str], rounds: int, home: Home) -> float | None:
    """Return the median time of a command; None where it fails."""
    environment = {
        **os.environ,
        "HOURBOOK_HOME": str(home.path),
        "PYTHONPYCACHEPREFIX": str(home.path / "bytecode"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed, it has been compiled once

    def once() -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            command, capture_output=True, check=False, timeout=60, env=environment
        )

    done = once()
    if done.returncode not in (0, FOUND_WRONG):  # `doctor` may find something about this machine
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        print(f"{' '.join(command[3:])}: {''.join(said)}", file=sys.stderr)
        return None
    return statistics.median(_timed_ms(once, rounds))


# -- measuring ----------------------------------------------------------------------------------


def _timed_ms(job: Callable[[], object], count: int) -> list[float]:
    durations = []
    for _ in range(count):
        started_ns = time.perf_counter_ns()
        job()
        durations.append((time.perf_counter_ns() - started_ns) / 1e6)
    return durations


def _disk() -> Path | None:
    """Return a directory on a disk: on tmpfs an fsync costs nothing, and proves nothing."""
    here = Path(__file__).resolve().parent.parent
    return here if os.access(here, os.W_OK) else None
