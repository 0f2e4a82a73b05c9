"""How long processes wait for each other: a lock, its hand-over, and word of a key that was set.

A lock and its release are two durable entries. *Redis* takes one by ``SET key token NX PX`` and
lets it go by ``DEL``, with ``appendfsync always`` and by the least of clients: that is two fsyncs,
too, but no queue, no token that rises, no renewal and nobody who notices that the holder has died.
Whoever waits there has to poll, so of the hand-over and the watch there is no peer.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import multiprocess

from bench._measure import Row, disk, percentile, running_writer, time_row, timed
from bench._redis import HINT, RedisKeys, running_redis
from hourbook.book.journal import Stamp
from hourbook.book.writer import BookWriter
from hourbook.faces.book import connect
from hourbook.home import Home, find_home, prepare_home
from protocols.change import CHANGE_NONCES
from protocols.entry import make_nonce
from protocols.kv_messages import KvWrite, Set
from shm.writer import RingWriter

__all__ = ["run"]

NS: Final = "bench"
KEY: Final = "k"
PAUSE_S: Final = 0.002
"""Who waits is asleep by then: it must be woken."""
_spawn = multiprocess.get_context("spawn")


def run(*, quick: bool) -> list[Row]:
    """Measure everything; return one row for each figure."""
    count = 200 if quick else 1000
    with tempfile.TemporaryDirectory(prefix="hourbook-bench-", dir=disk()) as directory:
        path = Path(directory)
        peer = _redis_lock_ns(path, count)
        with running_writer(path) as home:
            alone = _lock_ns(home, count)
            handed = _hand_over_ns(home, count)
        seen = _watch_ns(path, count)
    return [
        *_rows("lock + unlock (Redis SET NX PX, DEL)", alone, peer, "<= 1.5 ms"),
        *_rows("release -> next holder, another process", handed, [], "<= 2 ms"),
        *_rows("set committed -> watcher, another process", seen, [], "<= 0.2 ms"),
    ]


def _rows(name: str, ours_ns: list[int], peer_ns: list[int], target: str) -> list[Row]:
    return [
        time_row(
            f"{name}, p{percent}",
            percentile(ours_ns, percent),
            percentile(peer_ns, percent) if peer_ns else None,
            target if percent == 50 else "-",
        )
        for percent in (50, 99)
    ]


# -- a lock that nobody else wants --------------------------------------------------------------


def _lock_ns(home: Home, count: int) -> list[int]:
    """Return what it takes to lock and to unlock, together."""
    with connect("locker", home) as book:
        store = book.store(NS)

        def once() -> None:
            with store.lock(KEY):
                pass

        once()
        return timed(once, count)


def _redis_lock_ns(directory: Path, count: int) -> list[int]:
    """Return what it takes Redis; nothing without one."""
    (directory / "redis").mkdir()
    with running_redis(directory / "redis") as path:
        if path is None:
            print(HINT, file=sys.stderr)
            return []
        keys = RedisKeys(path)

        def once() -> None:
            keys.lock(KEY, b"token", 30_000)
            keys.unlock(KEY)

        once()
        durations = timed(once, count)
        keys.close()
        return durations


# -- a lock that somebody waits for -------------------------------------------------------------


def _hand_over_ns(home: Home, count: int) -> list[int]:
    """Return the time from each call of ``release`` to the end of ``acquire`` elsewhere."""
    took = []
    with connect("holder", home) as book, _other(_take_over, home, count) as pipe:
        store = book.store(NS)
        for _ in range(count):
            lock = store.lock(KEY).acquire()
            pipe.send("wait for it")
            while not any(held.waiting for held in store.locks()):
                time.sleep(0)
            time.sleep(PAUSE_S)
            released_ns = time.monotonic_ns()
            lock.release()
            took.append(pipe.recv() - released_ns)
    return took


def _take_over(home: Home, count: int, pipe: Any) -> None:  # noqa: ANN401 - untyped pipe
    with connect("waiter", home) as book:
        pipe.send("ready")
        for _ in range(count):
            pipe.recv()
            with book.store(NS).lock(KEY):
                taken_ns = time.monotonic_ns()
            pipe.send(taken_ns)


# -- a key that somebody watches ----------------------------------------------------------------


def _watch_ns(directory: Path, count: int) -> list[int]:
    """Return the time from the end of each commit to the watcher's having its event.

    This process plays the writer, so that the end of the commit is known.
    """
    home = find_home(directory / "watched")
    prepare_home(home)
    ring, book = RingWriter(home.segment), BookWriter.open(home.book_db, home.keys_dir)
    ring.rewind(0)
    committed = []
    with _other(_watch, home, count) as pipe:
        for number in range(1, count + 1):
            value = msgspec.Raw(msgspec.msgpack.encode({"step": number}))
            nonce = make_nonce(1, number * CHANGE_NONCES)
            write = KvWrite(writer="setter", nonce=nonce, ns=NS, ops=[Set(key=KEY, value=value)])
            written = book.write([write], Stamp(time.time_ns(), 0))
            committed.append(time.monotonic_ns())
            ring.publish(written.rows[0][0], written.records)
            time.sleep(PAUSE_S)
        seen: list[int] = pipe.recv()
    book.close()
    shutil.rmtree(home.run_dir, ignore_errors=True)
    return [end - start for start, end in zip(committed, seen, strict=True)]


def _watch(home: Home, count: int, pipe: Any) -> None:  # noqa: ANN401 - untyped pipe
    seen = []
    with connect("watcher", home, shared=True) as book, book.store(NS).watch(KEY) as watch:
        pipe.send("ready")
        for _ in range(count):
            next(watch)
            seen.append(time.monotonic_ns())
        pipe.send(seen)


@contextmanager
def _other(work: Any, home: Home, count: int) -> Iterator[Any]:  # noqa: ANN401 - untyped pipe
    """Run `work` in a process of its own; yield our end of its pipe once it is ready."""
    parent, child = _spawn.Pipe()
    process = _spawn.Process(target=work, args=(home, count, child), daemon=True)
    process.start()
    try:
        parent.recv()
        yield parent
        process.join(10)
    finally:
        process.kill()
