"""How fast the store is read and written, against Redis and a plain SQLite script.

All reads are of another process than the writer's. *Redis* is asked over a Unix socket by the
least of clients, with ``appendfsync always`` (``bench/_redis.py``): a SET answers after the fsync,
as ours does. The *plain script* is what an agent's author would write: one table, one row a key,
WAL and ``synchronous=FULL``; it keeps no history, chains nothing and tells nobody.
"""

import itertools
import sqlite3
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from bench._measure import Row, disk, percentile, rate, rate_row, running_writer, time_row, timed
from bench._redis import HINT, RedisKeys, running_redis
from hourbook.faces.book import Book, connect
from hourbook.faces.store import Store
from hourbook.home import Home

__all__ = ["run"]

NS: Final = "bench"
DICT: Final = {"status": "running", "step": 12, "progress": 0.25, "owner": "planner", "ok": True}
HOT: Final = {"an int": 12_345, "40 characters": "x" * 40, "40 bytes": b"x" * 40}
IN_FLIGHT: Final = 8
BATCH: Final = 100
KEYS: Final = 1000
FEW, MANY, SOME = 1_000, 1_000_000, 100_000
_TABLE: Final = "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB)"
_SELECT: Final = "SELECT value FROM kv WHERE key = ?"
_SET: Final = "INSERT INTO kv VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_RAW: Final = msgspec.msgpack.encode(DICT)


def run(*, quick: bool) -> list[Row]:
    """Measure everything; return one row for each figure."""
    scale = 1 if quick else 4
    with tempfile.TemporaryDirectory(prefix="hourbook-bench-", dir=disk()) as directory:
        path = Path(directory)
        redis = _redis_figures(path, scale)
        plain = _plain_figures(path / "plain.db", scale)
        with running_writer(path) as home:
            rows = _read_rows(home, redis, plain, scale)
            rows += _write_rows(home, redis, plain, scale)
            rows += _growth_rows(home, SOME if quick else MANY, 300 * scale)
    return rows


# -- ours ---------------------------------------------------------------------------------------


def _read_rows(
    home: Home, redis: dict[str, float], plain: dict[str, float], scale: int
) -> list[Row]:
    with connect("reader", home) as book:
        store = book.store(NS)
        for number in range(KEYS):
            store.set_nowait(f"cold-{number}", DICT)
        for key, value in {**HOT, "a small dict": DICT}.items():
            store.set(key, value)
        hot = {key: _call_ns(store, key, 100_000 * scale) for key in HOT}
        fresh = _call_ns(store, "a small dict", 100_000 * scale)
        cold = min(_cold_ns(store) for _ in range(5 * scale))
    asked, selected = redis.get("get_ns"), plain["get_ns"]
    rows = [_ns_row(f"hot get of {key} (Redis)", ns, asked, "<= 150 ns") for key, ns in hot.items()]
    rows.append(_ns_row("hot get of a small dict, its own copy (Redis)", fresh, asked, "<= 400 ns"))
    rows.append(_ns_row("cold get of a small dict (plain)", cold, selected, "<= 6000 ns"))
    if asked:
        worst = max(hot.values())
        rows.append(("Redis GET / hot get", f"{asked / worst:.0f}x", "-", "-", ">= 100x"))
    return rows


def _write_rows(
    home: Home, redis: dict[str, float], plain: dict[str, float], scale: int
) -> list[Row]:
    with connect("single", home) as book:
        store = book.store(NS)
        single = timed(lambda: store.set("k", DICT), 500 * scale)
    one = rate(_open_book, _set_one_by_one, home.path, scale)
    eight = rate(_open_book, _set_eight_in_flight, home.path, scale)
    batches = rate(_open_book, _set_batches, home.path, scale)
    p50 = percentile(single, 50)
    return [
        time_row("set durable, 1 writer, p50 (Redis)", p50, redis.get("set_ms"), "<= 0.6 ms"),
        time_row("set durable, 1 writer, p50 (plain)", p50, plain["set_ms"], "<= 0.6 ms"),
        rate_row("8 processes, 1 in flight each (Redis)", one, redis.get("one"), ">= 6500/s"),
        rate_row("8 processes, 1 in flight each (plain)", one, plain["one"], "-"),
        rate_row("8 processes, 8 in flight each (Redis)", eight, redis.get("eight"), ">= 17000/s"),
        rate_row("8 processes, transactions of 100 (Redis)", batches, redis.get("batches"),
                 ">= 40000/s"),
    ]  # fmt: skip


def _growth_rows(home: Home, many: int, count: int) -> list[Row]:
    """Set random keys among few, and among many, of namespaces of their own."""
    p50 = {}
    with connect("grower", home) as book:
        for keys in (FEW, many):
            store = book.store(f"keys-{keys}")
            _fill(store, keys)
            numbers = itertools.cycle(range(0, keys, max(1, keys // count)))
            durations = timed(lambda: store.set(f"key-{next(numbers)}", DICT), count)  # noqa: B023
            p50[keys] = percentile(durations, 50)
    name = f"set among {many} keys / among {FEW}, p50"
    return [time_row(name, p50[many], p50[FEW], "<= 1.5x")]


def _fill(store: Store, keys: int) -> None:
    for first in range(0, keys, 1000):
        with store.transaction() as steps:
            for number in range(first, min(first + 1000, keys)):
                steps.set(f"key-{number}", number)


def _call_ns(store: Store, key: str, count: int) -> float:
    """Return what ``store.get(key)`` takes (ns), its loop included: the best of five rounds."""
    return min(_loop_ns(store, key, count) for _ in range(5))


def _loop_ns(store: Store, key: str, count: int) -> float:
    started_ns = time.perf_counter_ns()
    for _ in range(count):
        store.get(key)
    return (time.perf_counter_ns() - started_ns) / count


def _cold_ns(store: Store) -> float:
    """Return what a get takes that the cache cannot answer (ns), over all keys."""
    keys = [f"cold-{number}" for number in range(KEYS)]
    store.forget()
    get = store.get
    started_ns = time.perf_counter_ns()
    for key in keys:
        get(key)
    return (time.perf_counter_ns() - started_ns) / KEYS


def _open_book(home: Path, name: str) -> Book:
    book = connect(name, home)
    book.store(NS).set(name, 0)
    return book


def _names(prefix: str) -> Iterator[str]:
    return itertools.cycle([f"{prefix}-{number}" for number in range(KEYS)])


def _set_one_by_one(book: Book, until_ns: int) -> int:
    store, names, count = book.store(NS), _names(book.name), 0
    while time.monotonic_ns() < until_ns:
        store.set(next(names), DICT)
        count += 1
    return count


def _set_eight_in_flight(book: Book, until_ns: int) -> int:
    store, names, count = book.store(NS), _names(book.name), 0
    flying: deque[Any] = deque(store.set_nowait(next(names), DICT) for _ in range(IN_FLIGHT))
    while flying:
        flying.popleft().result()
        count += 1
        if time.monotonic_ns() < until_ns:
            flying.append(store.set_nowait(next(names), DICT))
    return count


def _set_batches(book: Book, until_ns: int) -> int:
    store, names, count = book.store(NS), _names(book.name), 0
    while time.monotonic_ns() < until_ns:
        with store.transaction() as steps:
            for _ in range(BATCH):
                steps.set(next(names), DICT)
        count += BATCH
    return count


# -- the peers ----------------------------------------------------------------------------------


def _redis_figures(directory: Path, seconds: int) -> dict[str, float]:
    """Return what Redis takes for the same; nothing without one."""
    (directory / "redis").mkdir()
    with running_redis(directory / "redis") as path:
        if path is None:
            print(HINT, file=sys.stderr)
            return {}
        keys = RedisKeys(path)
        _redis_set(keys, ["k"])
        get = timed(lambda: keys.get("k"), 5_000 * seconds)
        single = timed(lambda: _redis_set(keys, ["k"]), 500 * seconds)
        keys.close()
        return {
            "get_ns": percentile(get, 50) * 1e6,
            "set_ms": percentile(single, 50),
            "one": rate(_open_redis, _redis_one_by_one, path, seconds),
            "eight": rate(_open_redis, _redis_eight_in_flight, path, seconds),
            "batches": rate(_open_redis, _redis_batches, path, seconds),
        }


def _open_redis(path: Path, _name: str) -> RedisKeys:
    return RedisKeys(path)


def _redis_set(keys: RedisKeys, names: list[str]) -> None:
    keys.send_set(names, _RAW)
    keys.receive_set(len(names))


def _redis_one_by_one(keys: RedisKeys, until_ns: int) -> int:
    names, count = _names("redis"), 0
    while time.monotonic_ns() < until_ns:
        _redis_set(keys, [next(names)])
        count += 1
    return count


def _redis_eight_in_flight(keys: RedisKeys, until_ns: int) -> int:
    names, count = _names("redis"), 0
    for _ in range(IN_FLIGHT):
        keys.send_set([next(names)], _RAW)
    while time.monotonic_ns() < until_ns:
        keys.receive_set(1)
        count += 1
        keys.send_set([next(names)], _RAW)
    for _ in range(IN_FLIGHT):
        keys.receive_set(1)
    return count + IN_FLIGHT


def _redis_batches(keys: RedisKeys, until_ns: int) -> int:
    names, count = _names("redis"), 0
    while time.monotonic_ns() < until_ns:
        _redis_set(keys, [next(names) for _ in range(BATCH)])
        count += BATCH
    return count


def _plain_figures(path: Path, seconds: int) -> dict[str, float]:
    """Return what the plain script takes."""
    connection = _open_plain(path, "")
    numbers = itertools.count()
    single = timed(lambda: _plain_put(connection, "k", next(numbers)), 500 * seconds)
    get = timed(lambda: _plain_get(connection, "k"), 5_000 * seconds)
    connection.close()
    return {
        "get_ns": percentile(get, 50) * 1e6,
        "set_ms": percentile(single, 50),
        "one": rate(_open_plain, _plain_set, path, seconds),
    }


def _open_plain(path: Path, _name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(_TABLE)
    return connection


def _plain_put(connection: sqlite3.Connection, key: str, number: int) -> None:
    # Another value each time: SQLite writes no page that is as it was.
    connection.execute(_SET, (key, msgspec.msgpack.encode({**DICT, "step": number})))


def _plain_get(connection: sqlite3.Connection, key: str) -> object:
    return msgspec.msgpack.decode(connection.execute(_SELECT, (key,)).fetchone()[0])


def _plain_set(connection: sqlite3.Connection, until_ns: int) -> int:
    names, count = _names("plain"), 0
    while time.monotonic_ns() < until_ns:
        _plain_put(connection, next(names), count)
        count += 1
    return count


def _ns_row(name: str, ours_ns: float, peer_ns: float | None, target: str) -> Row:
    if peer_ns is None:
        return (name, f"{ours_ns:.0f} ns", "-", "-", target)
    return (name, f"{ours_ns:.0f} ns", f"{peer_ns:.0f} ns", f"{ours_ns / peer_ns:.4f}x", target)
