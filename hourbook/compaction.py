"""Carrying out the rules of retention on a living book, and giving free pages back. An edge.

One compaction at a time and home. It reads the book as anybody does, a page at a time, and has
journal_writer do the rest in slices: each is one change, some 10 to 40 ms of the writer's time, and
after each it rests for as long as the slice took, so that appends of others have their turn.

A slice is one archive file (written, synced, named, and only then told of), entries whose details
one rule drops, or versions of keys. A crash at any point leaves at most a file that nothing names,
which the writer removes.
"""

import fcntl
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final, TypeVar

import msgspec

from hourbook.book.archive.frames import Detail, build
from hourbook.book.archive.plan import Batch, plan
from hourbook.book.archive.retention import Decider, Rule, spans
from hourbook.book.archive.shelf import put_file, sparing
from hourbook.book.durable import sync_directory
from hourbook.book.reader import BookReader
from hourbook.book.stamps import StampSource
from hourbook.book.store.spent import Horizon, find_first_seq, plan_spent
from hourbook.book.upkeep import JobResult
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from hourbook.link.nonce_source import new_nonces
from hourbook.timebase import SystemTimebase
from protocols import errors
from protocols.book_messages import Maintain, Maintained
from protocols.change import JOURNAL_WRITER, Change
from protocols.keep_messages import (
    BOOK_ARCHIVE,
    BOOK_RETAIN,
    Archived,
    Retain,
    Retained,
    SealArchive,
)
from protocols.kv_messages import CompactKeys, KeysCompacted

__all__ = ["VACUUM_PAGES", "CompactReport", "Rules", "compact", "compact_book"]

WRITER_NAME: Final = "compactor"
TIMEOUT_S: Final = 30.0
VACUUM_PAGES: Final = 500
"""Of 4 KiB, in one slice."""
_T = TypeVar("_T")

Progress = Callable[[str, int, int], None]
"""Called after each slice with (stage, done, of how many)."""


class Rules(msgspec.Struct, frozen=True):
    """The answer to ``compactor.rules``: what :func:`compact` is to go by."""

    retention: tuple[Rule, ...]
    horizon: Horizon | None = None


class CompactReport(msgspec.Struct):
    """What a compaction did, or would do; the JSON of ``hourbook compact``.

    Attributes:
        dry_run: nothing was changed.
        archived: entries whose details moved into archive files.
        archived_bytes: size of those details.
        files: archive files that were made.
        dropped: entries whose details were dropped for good.
        dropped_bytes: size of those that were in the database.
        rules: entries by rule.
        versions: of keys of the store that were forgotten.
        first_seq: from which on the past of those keys is known; 0: nothing was forgotten.
        freed_pages: of 4 KiB, given back to the file system.
        slices: changes and vacuums that the writer was asked for.
        longest_ms: of them, as the one who asked saw it.
        seconds: all in all.
    """

    dry_run: bool
    archived: int = 0
    archived_bytes: int = 0
    files: int = 0
    dropped: int = 0
    dropped_bytes: int = 0
    rules: dict[str, int] = {}
    versions: int = 0
    first_seq: int = 0
    freed_pages: int = 0
    slices: int = 0
    longest_ms: float = 0.0
    seconds: float = 0.0


def compact(
    home: Home,
    rules: Sequence[Rule],
    now_ns: int,
    *,
    horizon: Horizon | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> CompactReport:
    """Carry out the rules on the book of a home, and forget what its store need not know.

    Args:
        home: whose book; its journal_writer runs, unless it is a dry run.
        rules: in their order.
        now_ns: UTC, by Hourbook's clock.
        horizon: how much of the store's past is kept; None: all of it.
        dry_run: only count.
        progress: told after each slice.

    Raises:
        BookMissing: there is none yet.
        AlreadyRunning: another compaction is under way.
        DiskFull: no room for an archive file; what was done before stays done.
        ActorUnreachable, OutcomeUnknown: journal_writer does not answer; the same.
    """
    started_ns = time.monotonic_ns()
    report = CompactReport(dry_run)
    counts: Counter[str] = Counter()
    tell = progress or (lambda *_: None)
    with BookReader(home) as reader:
        batches = plan(
            reader, Decider(rules), now_ns, lambda done, all_: tell("moving", done, all_)
        )
        if dry_run:
            for batch in batches:
                _count(report, batch, len(batch.seqs), batch.size)
                counts[batch.rule.text] += len(batch.seqs)
            _forget(reader, None, horizon, now_ns, report)
        else:
            with _sole(home), closing(_Writer(home, report)) as writer:
                for batch in batches:
                    entries, size = _do(home, reader, writer, batch)
                    _count(report, batch, entries, size)
                    counts[batch.rule.text] += entries
                    writer.rest()
                    # Else 62 MiB of log would be moved at once, and appends wait for that.
                    writer.maintain(Maintain("checkpoint"))
                    writer.rest()
                _forget(reader, writer, horizon, now_ns, report)
                writer.maintain(Maintain("sweep"))
                _vacuum(writer, report, tell)
    report.rules = dict(counts)
    report.seconds = round((time.monotonic_ns() - started_ns) / 1e9, 3)
    return report


def compact_book(home: Home, rules: Sequence[Rule], horizon: Horizon | None = None) -> JobResult:
    """Carry out the rules as a job of the calendar; raises what :func:`compact` does.

    Where somebody compacts by hand at that moment there is nothing left to do.
    """
    now_ns = StampSource(home, SystemTimebase()).time_ns()
    try:
        report = compact(home, rules, now_ns, horizon=horizon)
    except errors.AlreadyRunning as error:
        return JobResult("compact", ok=True, summary=f"left to another: {error}", seconds=0.0)
    summary = (
        f"archived {report.archived} details in {report.files} files, dropped {report.dropped},"
        f" forgot {report.versions} versions of keys,"
        f" gave {report.freed_pages} pages back, in {report.slices} slices of at most"
        f" {report.longest_ms:.0f} ms"
    )
    return JobResult("compact", ok=True, summary=summary, seconds=report.seconds)


class _Writer:
    """Asks journal_writer for slices, and lets it rest between them."""

    def __init__(self, home: Home, report: CompactReport) -> None:
        self._client = MailboxClient(home, JOURNAL_WRITER, WRITER_NAME, timeout_s=TIMEOUT_S)
        self._nonces = new_nonces()
        self._rested, self._tired_s = threading.Event(), 0.0
        self._report = report

    def change(self, change: type[Change], kind: str, answer: type[_T], **fields: Any) -> _T:  # noqa: ANN401 - of the change
        nonce = next(self._nonces)
        return self._ask(kind, change(writer=WRITER_NAME, nonce=nonce, **fields), answer)

    def maintain(self, command: Maintain) -> Maintained:
        return self._ask("book.maintain", command, Maintained)

    def rest(self) -> None:
        """Leave it to others for as long as it was busy with us."""
        self._rested.wait(self._tired_s)
        self._tired_s = 0.0

    def close(self) -> None:
        self._client.close()

    def _ask(self, kind: str, body: object, answer: type[_T]) -> _T:
        begun_ns = time.monotonic_ns()
        envelope = self._client.request(kind, body)
        took_s = (time.monotonic_ns() - begun_ns) / 1e9
        self._report.slices += 1
        self._report.longest_ms = max(self._report.longest_ms, round(took_s * 1e3, 1))
        self._tired_s += took_s
        return msgspec.msgpack.decode(envelope.body, type=answer)


def _do(home: Home, reader: BookReader, writer: _Writer, batch: Batch) -> tuple[int, int]:
    """Do one slice; return how many details went, and their size (bytes)."""
    if batch.rule.do == "drop":
        dropped = writer.change(
            Retain, BOOK_RETAIN, Retained, rule=batch.rule.text, ranges=spans(batch.seqs)
        )
        return dropped.entries, dropped.size_bytes
    details = _read_details(reader, batch)
    while details:
        content = build(details)
        with sparing(home.archive_dir):  # a redaction of another's has the writer sweep
            name, sha256 = put_file(home.archive_dir, content, details[0][0], details[-1][0])
            try:
                done = writer.change(SealArchive, BOOK_ARCHIVE, Archived, file=name, sha256=sha256)
            except errors.BadRequest:
                before, details = details, _read_details(reader, batch)
                if details == before:
                    raise
                continue  # something in it was redacted meanwhile
        return done.entries, done.size_bytes
    return 0, 0


def _read_details(reader: BookReader, batch: Batch) -> list[Detail]:
    """Return what the entries of a slice hold; some may have been redacted since it was planned."""
    sql = "SELECT seq, salt, details FROM entry WHERE seq = ? AND details IS NOT NULL"
    rows = reader.query(
        lambda connection: [connection.execute(sql, (seq,)).fetchone() for seq in batch.seqs]
    )
    return [row for row in rows if row is not None]


def _count(report: CompactReport, batch: Batch, entries: int, size: int) -> None:
    if batch.rule.do == "archive":
        report.archived += entries
        report.archived_bytes += size
        report.files += 1
    else:
        report.dropped += entries
        report.dropped_bytes += size


def _forget(
    reader: BookReader,
    writer: _Writer | None,
    horizon: Horizon | None,
    now_ns: int,
    report: CompactReport,
) -> None:
    """Forget what the store no longer needs of the past; without a writer only count it."""
    first_seq = 0 if horizon is None else find_first_seq(reader, horizon, now_ns)
    if horizon is None or not first_seq:
        return
    for keys, versions in plan_spent(reader, horizon, first_seq):
        report.first_seq = first_seq
        if writer is None:
            report.versions += versions
            continue
        done = writer.change(
            CompactKeys, "kv.compact", KeysCompacted, first_seq=first_seq, keys=keys
        )
        report.versions += done.versions
        writer.rest()


def _vacuum(writer: _Writer, report: CompactReport, tell: Progress) -> None:
    """Give every free page back, a slice at a time."""
    total = left = writer.maintain(Maintain("vacuum", pages=1)).free_pages + 1
    while left > 1:
        before = left
        left = writer.maintain(Maintain("vacuum", pages=VACUUM_PAGES)).free_pages + 1
        writer.rest()
        tell("giving space back", total - left, total)
        if left >= before:
            break
    report.freed_pages = total - left
    writer.maintain(Maintain("checkpoint"))


@contextmanager
def _sole(home: Home) -> Iterator[None]:
    """Hold the lock that one compaction holds: that of the archive directory itself."""
    if not home.archive_dir.is_dir():
        home.archive_dir.mkdir(mode=0o700, exist_ok=True)
        sync_directory(home.path)
    descriptor = os.open(home.archive_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.AlreadyRunning(
                f"Expected no other compaction, got one under way, on {home.path}",
                hint="wait for it to end",
            ) from None
        yield
    finally:
        os.close(descriptor)
