"""The work of the calendar on a book: verify it, copy it, drop old copies. An edge.

The book is only read; what a verification found stands beside it (``hourbook.book.distrust``).

Each function does one job from start to end and returns what a person wants to know of it; whoever
calls decides on which thread, and what to do about a bad result.
"""

import time
from pathlib import Path
from typing import Final

import msgspec

from hourbook.book import distrust
from hourbook.book.copies.backup import back_up
from hourbook.book.copies.parts import clear_remains, remove_backup
from hourbook.book.reader import BookReader
from hourbook.home import Home
from hourbook.rfc3339 import format_utc_ns
from protocols import errors

__all__ = ["BACKUP_GLOB", "JobResult", "backup_book", "verify_book_now"]

BACKUP_GLOB: Final = "book-*.db"
_NS: Final = 1e-9


class JobResult(msgspec.Struct, frozen=True):
    """How a job ended.

    Attributes:
        job: its name.
        ok: it did what it is for, and found nothing wrong.
        summary: one line for the log.
        seconds: how long it took.
        first_bad_seq: what a verification found; None where nothing.
        problem: what is wrong there.
        is_clean: a whole book was verified, and nothing found.
    """

    job: str
    ok: bool
    summary: str
    seconds: float
    first_bad_seq: int | None = None
    problem: str = ""
    is_clean: bool = False


def verify_book_now(home: Home) -> JobResult:
    """Verify the whole book, and let the verdict stand, or take an earlier one back."""
    with BookReader(home) as reader:
        verdict = reader.verify()
    seconds, bad_seq = verdict.seconds, verdict.first_bad_seq
    figures = f"{verdict.entries} entries, {verdict.commits} commits in {seconds:.1f} s"
    if verdict.ok:
        again = ", trusted again" if distrust.clear(home) else ""
        summary = f"verified {figures}{again}"
        return JobResult("verify", ok=True, summary=summary, seconds=seconds, is_clean=True)
    if bad_seq is None:  # the chain holds, so writing goes on
        summary = f"{verdict.problem} (after {figures})"
        return JobResult("verify", ok=False, summary=summary, seconds=seconds)
    summary = f"bad seq {bad_seq}: {verdict.problem} (after {figures})"
    try:
        distrust.store(home, distrust.Distrust(bad_seq, verdict.problem))
    except OSError as error:
        summary += f"; a restart will not know it, since it could not be kept: {error}"
    return JobResult(
        "verify",
        ok=False,
        summary=summary,
        seconds=seconds,
        first_bad_seq=bad_seq,
        problem=verdict.problem,
    )


def backup_book(home: Home, backups_kept: int) -> JobResult:
    """Copy the book to ``<home>/backup/book-<UTC>.db`` and keep the newest `backups_kept` copies.

    Where archive files are damaged the old copies are all kept: they may hold the whole ones.

    Raises:
        DiskFull, HomeUnusable: there is no new copy; the old ones are kept.
    """
    started_ns = time.monotonic_ns()
    name = format_utc_ns(time.time_ns(), 0).replace("-", "").replace(":", "")
    target = home.backup_dir / f"book-{name}.db"
    try:
        home.backup_dir.mkdir(mode=0o700, exist_ok=True)
        clear_remains(home.backup_dir, BACKUP_GLOB)
        report = back_up(home, target, replace=True)
        if not report.archive_problems:
            _drop_old(home.backup_dir, backups_kept)
    except PermissionError as error:
        raise errors.HomeUnusable(
            f"Expected to write a backup, got: {error.strerror}, at {home.backup_dir}"
        ) from None
    seconds = (time.monotonic_ns() - started_ns) * _NS
    summary = f"copied {report.size_bytes} bytes to {target} in {seconds:.1f} s"
    if report.archive_problems:
        summary += f"; no old copy was dropped: {'; '.join(report.archive_problems)}"
    return JobResult("backup", ok=not report.archive_problems, summary=summary, seconds=seconds)


def _drop_old(backup_dir: Path, kept: int) -> None:
    # The name is the time, so the order of names is the order of copies.
    for path in sorted(backup_dir.glob(BACKUP_GLOB))[:-kept]:
        remove_backup(path)
