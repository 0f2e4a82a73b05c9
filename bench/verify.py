"""What verifying a book costs, against a plain script that checks a sha256 chain over SQLite.

The peer's chain is the simplest that deserves the name: a table of seq, payload and hash, each hash
over the one before and the payload. Ours has 17 columns, salted details, nonces and signed commits.
Both are built the same size (100 entries a commit) and read in the same process, warm.
"""

import hashlib
import sqlite3
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from nacl import bindings

from hourbook.book.journal import Stamp
from hourbook.book.reader import BookReader
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols.book_messages import Append, NewEntry
from protocols.entry import encode_value, make_nonce

__all__ = ["run"]

Row = tuple[str, str, str, str, str]
"""Name, ours, the peer's, ratio, target."""

SIZES: Final = (10_000, 100_000)
ENTRIES_A_COMMIT: Final = 100
ACTION, ENTITY, DETAILS = "deployed", "api.example", {"version": "1.2", "ok": True}


def run(*, quick: bool) -> list[Row]:
    """Measure both sizes; return one row for each figure."""
    rounds = 3 if quick else 9
    rows: list[Row] = []
    costs_us = []
    with tempfile.TemporaryDirectory(prefix="hourbook-bench-") as directory:
        for size in SIZES:
            book = _write_book(Path(directory) / f"book-{size}", size)
            plain = _write_plain(Path(directory) / f"plain-{size}.db", size)
            repeats = rounds * SIZES[-1] // size  # equally long, so equally likely undisturbed
            ours_us = _best_us(partial(_verify, book), repeats) / size
            peer_us = _best_us(partial(_verify_plain, plain), repeats) / size
            ratio = f"{ours_us / peer_us:.2f}x"
            name = f"verify {size} entries, each"
            rows.append((name, f"{ours_us:.2f} us", f"{peer_us:.2f} us", ratio, "<= 4 us"))
            costs_us.append(ours_us)
        growth = f"{costs_us[1] / costs_us[0]:.2f}x"
        signed_us = _more_us(partial(_verify, book, all_signatures=True), book, rounds)
        alone_us = _best_us(_signature_check(), 200 * rounds)
        last_us = _best_us(partial(_verify, book, from_commit=size // ENTRIES_A_COMMIT - 9), rounds)
        book.close()
        plain.close()
    each_us = signed_us * ENTRIES_A_COMMIT / size
    figures = (f"{each_us:.0f} us", f"{alone_us:.0f} us", f"{each_us / alone_us:.2f}x")
    return [
        *rows,
        ("verify, cost at 10^5 / at 10^4", growth, "-", "-", "<= 1.2x"),
        ("verify --all-signatures, more a commit (libsodium)", *figures, "<= 50 us"),
        (
            f"verify the last 10 of {size // ENTRIES_A_COMMIT} commits",
            f"{last_us / 1000:.1f} ms",
            "-",
            "-",
            "<= 50 ms",
        ),
    ]


# -- ours ---------------------------------------------------------------------------------------


def _write_book(path: Path, size: int) -> BookReader:
    path.mkdir()
    home = Home(path, path)
    writer = BookWriter.open(home.book_db, home.keys_dir)
    details = msgspec.Raw(encode_value(DETAILS, "details"))
    entries = [NewEntry(ACTION, ENTITY, details)] * ENTRIES_A_COMMIT
    for first in range(1, size, ENTRIES_A_COMMIT):
        request = Append("agent", make_nonce(1, first), entries)
        writer.commit([request], Stamp(time.time_ns(), 1_000_000))
    writer.close()
    return BookReader(home)


def _verify(book: BookReader, *, from_commit: int = 1, all_signatures: bool = False) -> None:
    verdict = book.verify(from_commit=from_commit, all_signatures=all_signatures)
    if not verdict.ok:
        raise RuntimeError(verdict.problem)


# -- the peer -----------------------------------------------------------------------------------


def _write_plain(path: Path, size: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, payload BLOB, hash BLOB)")
    connection.execute("BEGIN")
    parent = bytes(32)
    for seq in range(1, size + 1):
        fields = (seq, time.time_ns(), "agent", ACTION, ENTITY, DETAILS)
        payload = msgspec.msgpack.encode(fields)
        parent = hashlib.sha256(parent + payload).digest()
        connection.execute("INSERT INTO entry VALUES (?, ?, ?)", (seq, payload, parent))
    connection.execute("COMMIT")
    return connection


def _verify_plain(connection: sqlite3.Connection) -> None:
    parent, expected = bytes(32), 1
    for seq, payload, digest in connection.execute("SELECT * FROM entry ORDER BY seq"):
        parent = hashlib.sha256(parent + payload).digest()
        if seq != expected or parent != digest:
            raise RuntimeError(f"entry {expected} is wrong")
        expected += 1


# -- measuring ----------------------------------------------------------------------------------


def _more_us(job: Callable[[], None], book: BookReader, rounds: int) -> float:
    """Return what a job takes more than a plain verify (us), run by turns with it.

    A difference of two figures that were taken at different times is mostly that of the times.
    """
    plain = partial(_verify, book)
    both = [(_best_us(plain, 1), _best_us(job, 1)) for _ in range(rounds)]
    return min(job_us for _, job_us in both) - min(plain_us for plain_us, _ in both)


def _signature_check() -> Callable[[], None]:
    """Return a check of one signature, by the library alone."""
    public, secret = bindings.crypto_sign_seed_keypair(bytes(32))
    signed = bindings.crypto_sign(bytes(200), secret)

    def check() -> None:
        bindings.crypto_sign_open(signed, public)

    return check


def _best_us(job: Callable[[], None], rounds: int) -> float:
    """Return the fastest of several runs (us): what the work costs, without its neighbours."""
    durations = []
    for _ in range(rounds):
        started_ns = time.perf_counter_ns()
        job()
        durations.append(time.perf_counter_ns() - started_ns)
    return min(durations) / 1000
