"""How fast entries become durable, against plain SQLite scripts and Redis that do the same job.

The peers are what an agent's author would write: every process opens the database and for each
entry reads the head, chains its hash and commits one row. *Plain* takes SQLite as it comes; *tuned*
sets WAL and ``synchronous=FULL``, as the book does. Neither signs, stamps with a bound or wakes
anybody; and whoever holds their lock gets it again, while another waits for most of a second.
*Redis* is a stream with ``appendfsync always`` (``bench/_redis.py``), one in flight, eight, or
batches as ours. All run on the same disk, one after the other, in the same run. Figures depend on
the disk's fsync; ratios less so.
"""

import hashlib
import json
import shutil
import sqlite3
import sys
import tempfile
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any

import multiprocess

from bench._measure import Row, disk, percentile, rate, rate_row, running_writer, time_row, timed
from bench._redis import HINT, RedisStream, running_redis
from hourbook.book.journal import Stamp
from hourbook.book.writer import BookWriter
from hourbook.faces.book import Book, connect
from hourbook.faces.feed import Follower
from hourbook.home import Home, find_home, prepare_home
from protocols.book_messages import Append, NewEntry
from protocols.entry import make_nonce
from shm.writer import RingWriter

__all__ = ["run"]

IN_FLIGHT = 8
BATCH = 100
ENTRY = ("deployed", "api.example", {"version": "1.2", "ok": True})
_PLAIN_TABLE = (
    "CREATE TABLE IF NOT EXISTS entry"
    " (seq INTEGER PRIMARY KEY, time_ns INT, writer TEXT, action TEXT, entity TEXT, details TEXT,"
    " nonce TEXT UNIQUE, parent_hash BLOB, hash BLOB)"
)
_PLAIN_HEAD = "SELECT hash FROM entry ORDER BY seq DESC LIMIT 1"
_PLAIN_INSERT = (
    "INSERT INTO entry (time_ns, writer, action, entity, details, nonce, parent_hash, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_spawn = multiprocess.get_context("spawn")


def run(*, quick: bool) -> list[Row]:
    """Measure everything; return one row for each figure."""
    scale = 1 if quick else 4
    with tempfile.TemporaryDirectory(prefix="hourbook-bench-", dir=disk()) as directory:
        with running_writer(Path(directory)) as home:
            single = _latencies(home, 500 * scale)
            one = rate(_open_book, _write_one_by_one, home.path, scale)
            eight = rate(_open_book, _write_eight_in_flight, home.path, scale)
            batches = rate(_open_book, _write_batches, home.path, scale)
        woken = _wake_latencies(Path(directory), 300 * scale)
        tuned_path, plain_path = Path(directory) / "tuned.db", Path(directory) / "plain.db"
        tuned_single = _tuned_latencies(tuned_path, 500 * scale)
        tuned = rate(_open_tuned, _insert_rows, tuned_path, scale)
        plain = rate(_open_plain, _insert_rows, plain_path, scale)
        redis = _redis_rates(Path(directory), scale)
    p50, p99 = percentile(single, 50), percentile(single, 99)
    tuned_p50, tuned_p99 = percentile(tuned_single, 50), percentile(tuned_single, 99)
    return [
        time_row("append durable, 1 writer, p50 (tuned)", p50, tuned_p50, "<= 0.6 ms"),
        time_row("append durable, 1 writer, p99 (tuned)", p99, tuned_p99, "<= 3 ms"),
        rate_row("8 processes, 1 in flight each", one, plain, ">= 7500/s, > 2x"),
        rate_row("8 processes, 1 in flight each (tuned)", one, tuned, "-"),
        rate_row("8 processes, 1 in flight each (Redis)", one, redis[0], "> 1x"),
        rate_row("8 processes, 8 in flight each", eight, plain, ">= 20000/s"),
        rate_row("8 processes, 8 in flight each (Redis)", eight, redis[1], "-"),
        rate_row("8 processes, batches of 100", batches, plain, ">= 40000/s"),
        rate_row("8 processes, batches of 100 (Redis)", batches, redis[2], "-"),
        time_row("committed -> follower woken, p50", percentile(woken, 50), None, "<= 0.1 ms"),
        time_row("committed -> follower woken, p99", percentile(woken, 99), None, "<= 2 ms"),
    ]


# -- ours ---------------------------------------------------------------------------------------


def _latencies(home: Home, count: int) -> list[int]:
    with connect("single", home) as book:
        return timed(lambda: book.log(*ENTRY), count)


def _open_book(home: Path, name: str) -> Book:
    book = connect(name, home)
    book.log(*ENTRY)
    return book


def _write_one_by_one(book: Book, until_ns: int) -> int:
    count = 0
    while time.monotonic_ns() < until_ns:
        book.log(*ENTRY)
        count += 1
    return count


def _write_eight_in_flight(book: Book, until_ns: int) -> int:
    flying: deque[Any] = deque(book.log_nowait(*ENTRY) for _ in range(IN_FLIGHT))
    count = 0
    while flying:
        flying.popleft().result()
        count += 1
        if time.monotonic_ns() < until_ns:
            flying.append(book.log_nowait(*ENTRY))
    return count


def _write_batches(book: Book, until_ns: int) -> int:
    batch = [ENTRY] * BATCH
    count = 0
    while time.monotonic_ns() < until_ns:
        count += len(book.log_many(batch))
    return count


def _wake_latencies(directory: Path, count: int) -> list[int]:
    """Return the time from the end of each commit to the follower in another process (ns).

    This process plays the writer, so that the instant before the publication is known.
    """
    home = find_home(directory / "woken")
    prepare_home(home)
    ring, book = RingWriter(home.segment), BookWriter.open(home.book_db, home.keys_dir)
    ring.rewind(0)
    parent, child = _spawn.Pipe()
    follower = _spawn.Process(target=_follow, args=(str(home.path), count, child), daemon=True)
    follower.start()
    parent.recv()
    published = []
    for number in range(1, count + 1):
        new = NewEntry(*ENTRY[:2])
        append = Append("waker", make_nonce(1, number), [new])
        written = book.write([append], Stamp(time.time_ns(), 0))
        published.append(time.monotonic_ns())
        ring.publish(written.rows[0][0], written.records)
        time.sleep(0.002)  # an idle follower is the case that counts: it must be woken
    seen: list[int] = parent.recv()
    follower.join(10)
    book.close()
    shutil.rmtree(home.run_dir, ignore_errors=True)
    return [end - start for start, end in zip(published, seen, strict=True)]


def _follow(home_path: str, count: int, pipe: Any) -> None:  # noqa: ANN401 - untyped pipe
    follower = Follower(find_home(home_path))
    pipe.send("ready")
    seen = []
    for _ in range(count):
        next(follower)
        seen.append(time.monotonic_ns())
    pipe.send(seen)


# -- the peers ----------------------------------------------------------------------------------


def _open_plain(path: Path, _name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute(_PLAIN_TABLE)
    return connection


def _open_tuned(path: Path, name: str) -> sqlite3.Connection:
    connection = _open_plain(path, name)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _insert_rows(connection: sqlite3.Connection, until_ns: int) -> int:
    count = 0
    while time.monotonic_ns() < until_ns:
        _insert_row(connection)
        count += 1
    return count


def _insert_row(connection: sqlite3.Connection) -> None:
    action, entity, details = ENTRY
    connection.execute("BEGIN IMMEDIATE")
    parent = (connection.execute(_PLAIN_HEAD).fetchone() or (b"",))[0]
    row = (time.time_ns(), "agent", action, entity, json.dumps(details), uuid.uuid4().hex)
    digest = hashlib.sha256(parent + json.dumps(row).encode()).digest()
    connection.execute(_PLAIN_INSERT, (*row, parent, digest))
    connection.execute("COMMIT")


def _tuned_latencies(path: Path, count: int) -> list[int]:
    connection = _open_tuned(path, "")
    return timed(lambda: _insert_row(connection), count)


def _redis_rates(directory: Path, seconds: int) -> tuple[float | None, ...]:
    """Return entries a second with one in flight, eight, and in batches; None without a Redis."""
    jobs = (_add_one_by_one, _add_eight_in_flight, _add_batches)
    (directory / "redis").mkdir()
    with running_redis(directory / "redis") as path:
        if path is None:
            print(HINT, file=sys.stderr)
            return (None,) * len(jobs)
        return tuple(rate(_open_redis, job, path, seconds) for job in jobs)


def _open_redis(path: Path, _name: str) -> RedisStream:
    return RedisStream(path)


def _redis_fields() -> tuple[str, ...]:
    action, entity, details = ENTRY
    said = ("action", action, "entity", entity, "details", json.dumps(details))
    return (*said, "writer", "agent", "nonce", uuid.uuid4().hex)


def _add_one_by_one(stream: RedisStream, until_ns: int) -> int:
    count = 0
    while time.monotonic_ns() < until_ns:
        stream.send(_redis_fields())
        stream.receive()
        count += 1
    return count


def _add_eight_in_flight(stream: RedisStream, until_ns: int) -> int:
    for _ in range(IN_FLIGHT):
        stream.send(_redis_fields())
    count = 0
    while time.monotonic_ns() < until_ns:
        stream.receive()
        count += 1
        stream.send(_redis_fields())
    stream.receive(IN_FLIGHT)
    return count + IN_FLIGHT


def _add_batches(stream: RedisStream, until_ns: int) -> int:
    count = 0
    while time.monotonic_ns() < until_ns:
        stream.send(_redis_fields(), BATCH)
        stream.receive(BATCH)
        count += BATCH
    return count
