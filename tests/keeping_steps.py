"""Archive, redact, drop and sweep with an end after each single change of the disk.

Run by test_keeping_crashes.py in a process with ``fateful_disk.c`` under it; every life is a fork.
``keeping_steps.py DIRECTORY kill|full SEED LIVES``: LIVES random ends (0: after each change).
Prints how many there were.
"""

import ctypes
import os
import random
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from books import STAMP, append, open_writer

from hourbook.book.archive.frames import build
from hourbook.book.archive.shelf import put_file
from hourbook.book.journal import Stamp
from hourbook.book.reader import BookReader
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols import entry, errors
from protocols.change import Change
from protocols.keep_messages import Redact, Retain, SealArchive

KILL, FULL = 1, 2
COUNT = 24
ARCHIVED = range(3, 20)
REDACTED = (5, 22)
DROPPED = (8, 21)
LATER = Stamp(STAMP.time_ns + 100 * 86_400 * 10**9, STAMP.bound_ns)
disk = ctypes.CDLL(os.environ["LD_PRELOAD"])


def details_of(seq: int) -> dict[str, object]:
    """Return what an entry says."""
    return {"n": seq, "text": f"words of {seq} " * 100}


def nonce(number: int) -> bytes:
    """Return a nonce of the keeper."""
    return entry.make_nonce(11, number << 17)


def make_template(home: Home) -> None:
    """Write the book that every life begins with."""
    writer = open_writer(home)
    for seq in range(1, COUNT + 1):
        writer.commit([append(seq, details=details_of(seq))], STAMP)
    writer.close()


def changes(writer: BookWriter, home: Home) -> list[Change]:
    """Return what is done in one life, in its order; the archive file is written here."""
    sql = "SELECT seq, salt, details FROM entry WHERE details IS NOT NULL AND seq BETWEEN ? AND ?"
    rows = writer.query(lambda c: c.execute(sql, (ARCHIVED[0], ARCHIVED[-1])).fetchall())
    wanted: list[Change] = []
    if len(rows) == len(ARCHIVED):
        name, digest = put_file(home.archive_dir, build(rows), rows[0][0], rows[-1][0])
        wanted = [SealArchive(writer="keeper", nonce=nonce(1), file=name, sha256=digest)]
    ranges = [(seq, seq) for seq in DROPPED]
    return [
        *wanted,
        *(Redact(writer="keeper", nonce=nonce(10 + s), seq=s, why="wrong") for s in REDACTED),
        Retain(writer="keeper", nonce=nonce(2), rule="drop after 1 d", ranges=ranges),
    ]


def live(home: Home, calls: int, mode: int) -> int:
    """Do everything, with an end after so many changes of the disk; return how many were left."""
    writer = open_writer(home)
    disk.arm(calls, mode)
    refused = False
    for attempt in range(2 if mode == FULL else 1):
        if attempt:
            disk.arm(0, 0)
        try:
            for change in changes(writer, home):
                if writer.admission.is_new(change, (), LATER.time_ns):
                    outcome = writer.write([change], LATER).outcomes[0]
                    if isinstance(outcome.error, errors.DiskFull):
                        raise outcome.error
        except errors.DiskFull:
            refused = True
            check(home)
            continue
        writer.sweep_archive()
        writer.checkpoint(truncate=True)
        break
    left = disk.left() if not refused else 0
    disk.arm(0, 0)
    return int(left)


def check(home: Home, *, is_complete: bool = False) -> None:
    """Check that the book holds what it should, whatever step was the last."""
    with BookReader(home) as reader:
        verdict = reader.verify(all_signatures=True)
        assert verdict.ok, verdict.problem
        for found in reader.since(0, until_seq=COUNT):
            may_be_gone = found.seq in (*REDACTED, *DROPPED)
            if found.missing is None:
                assert found.details == details_of(found.seq)
                assert not (may_be_gone and is_complete), found.seq
            else:
                assert may_be_gone, (found.seq, found.missing)
                assert found.missing.cause in ("redacted", "retained"), found.missing


def finish(home: Home) -> None:
    """Go on after a death: do the rest, and find nothing left over."""
    writer = open_writer(home)
    writer.sweep_archive(force=True)
    named = writer.query(lambda c: {f for (f,) in c.execute("SELECT file FROM archive")})
    assert {path.name for path in home.archive_dir.glob("[!.]*")} == named
    for change in changes(writer, home):
        if writer.admission.is_new(change, (), LATER.time_ns):
            outcome = writer.write([change], LATER).outcomes[0]
            assert outcome.error is None, outcome.error
    writer.sweep_archive()
    writer.close()
    check(home, is_complete=True)
    for path in [*home.path.glob("book.db*"), *home.archive_dir.glob("*")]:
        for seq in (REDACTED[1], DROPPED[1]):
            if path.name == "book.db":
                assert f"words of {seq} ".encode() not in path.read_bytes()


def lives(count: int, steps: int, seed: int) -> Sequence[int]:
    """Return after which changes of the disk to end: `count` of them, at random; of 0, all."""
    every = range(1, steps + 1)
    return random.Random(seed).sample(every, min(count, steps)) if count else every


def main() -> None:
    """Run every life."""
    base, mode = Path(sys.argv[1]), {"kill": KILL, "full": FULL}[sys.argv[2]]
    template = base / "template"
    template.mkdir(mode=0o700)
    make_template(Home(template, base / "run"))
    steps = 100_000 - run_life(base, 100_000, KILL)[1]
    chosen = lives(int(sys.argv[4]), steps, int(sys.argv[3]))
    for calls in chosen:
        status, _ = run_life(base, calls, mode)
        assert status == (-signal.SIGKILL if mode == KILL else 0), (calls, status)
        home = Home(base / f"life-{calls}", base / "run")
        check(home)
        finish(home)
        shutil.rmtree(home.path)
    print(len(chosen))


def run_life(base: Path, calls: int, mode: int) -> tuple[int, int]:
    """Live once in a process of its own; return how it ended, and how many changes were left."""
    home = Home(base / f"life-{calls}", base / "run")
    shutil.copytree(base / "template", home.path)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            left = live(home, calls, mode)
            os.write(writing, str(left).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as said:
        left = int(said.read() or 0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), left


if __name__ == "__main__":
    main()
