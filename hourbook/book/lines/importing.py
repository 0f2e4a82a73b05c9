"""Bringing a line journal into the book, once: batch by batch, through its writer. An edge.

The lines of a batch become one request, and so one transaction: an entry that holds the digests of
its lines, and one entry for each. Whoever imports first reads those digests back; a line that has
one of them is in the book and is passed over. So a run that was killed is taken up where it ended,
a file that has grown is imported from where it had ended, and nothing comes twice: see
:mod:`hourbook.book.lines.slots` for batches that a killed run had still under way.
"""

import contextlib
import fcntl
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from hourbook.book.lines.chain import LineChain
from hourbook.book.lines.entry import DAMAGED, to_entry
from hourbook.book.lines.reading import Reading, read_line
from hourbook.book.lines.slots import Batch, ImportSender, Slots
from hourbook.book.lines.source import LineSource
from hourbook.book.reader import BookReader
from hourbook.home import Home
from protocols import errors

__all__ = ["ImportReport", "LineProblem", "import_file"]

BATCH_LINES: Final = 1000
BATCH_BYTES: Final = 512 << 10
"""Of details; a larger line goes alone."""
REPORTED_MAX: Final = 1000
"""Problems in a report; each one stands in its entry too."""
_NS: Final = 1e-9

Progress = Callable[[int, int], None]
"""Called after each batch with (bytes read, bytes in the file)."""


class LineProblem(msgspec.Struct, frozen=True):
    """What is wrong with one line; see ``line_reading.Problem``."""

    line: int
    what: str
    expected: str
    found: str


class ImportReport(msgspec.Struct):
    """What became of the lines of a file; the JSON of ``hourbook import``.

    ``lines = imported + flawed + damaged + duplicates + blank``.

    Attributes:
        path: of the file.
        dry_run: nothing was written.
        lines: in the file.
        imported: with nothing wrong.
        flawed: imported, with what is wrong in their details.
        damaged: no record could be read; their bytes were imported.
        duplicates: in the book already, or the same bytes as a line before.
        blank: nothing but white space.
        truncated: of the damaged, those too long to be kept whole.
        problems: how many of each kind.
        reported: the first 1000 of them.
        seconds: how long it took.
    """

    path: str
    dry_run: bool = False
    lines: int = 0
    imported: int = 0
    flawed: int = 0
    damaged: int = 0
    duplicates: int = 0
    blank: int = 0
    truncated: int = 0
    problems: dict[str, int] = {}
    reported: list[LineProblem] = []
    seconds: float = 0.0


def import_file(
    home: Home, path: Path, *, dry_run: bool = False, progress: Progress | None = None
) -> ImportReport:
    """Import every line of a file that the book does not have yet.

    Args:
        home: whose book; its journal_writer must run, unless `dry_run`.
        path: of the file.
        dry_run: only say what would become of it.
        progress: told after each batch.

    Raises:
        BadRequest: no regular file, or none that holds a journal; nothing was imported.
        BookMissing: there is no book yet, and this is no dry run.
        AlreadyRunning: another import into this book is under way.
        DiskFull, BookCorrupt, OutcomeUnknown, ActorUnreachable: stopped; what was imported until
            then is in the book, and the next run goes on from there.
    """
    started_ns = time.monotonic_ns()
    report = ImportReport(str(path), dry_run)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(LineSource(path))
        chain = LineChain()
        stack.callback(chain.close)
        if dry_run:
            reader = _open_reader(home, stack)
        else:
            stack.enter_context(_only_one(home))
            reader = stack.enter_context(BookReader(home))
        slots = Slots(reader)
        chain.remember(slots.read_digests())
        file = path.name.encode("utf-8", "replace").decode()
        batches = _batches(source, chain, reader, file, report)
        if dry_run:
            for batch in batches:
                _count(batch, report)
                _tell(progress, source)
        else:
            sender = stack.enter_context(ImportSender(home, slots, file))
            for batch in batches:
                for settled in sender.send(batch):
                    _count(settled, report)
                _tell(progress, source)
            for settled in sender.finish():
                _count(settled, report)
    report.seconds = round((time.monotonic_ns() - started_ns) * _NS, 3)
    return report


def _batches(
    source: LineSource,
    chain: LineChain,
    reader: BookReader | None,
    file: str,
    report: ImportReport,
) -> Iterator[Batch]:
    """Yield the new lines of a file with their entries; what is wrong goes into the report."""
    problems: Counter[str] = Counter()
    batch, size = Batch([], []), 0
    for number, line in enumerate(source.lines(), 1):
        report.lines = number
        if isinstance(line, bytes) and not line.strip():
            report.blank += 1
            continue
        reading = read_line(number, line)
        is_known = chain.is_known(reading)
        if not is_known or not reading.problems:
            chain.link(reading)
        if is_known or _is_ours(reading, reader):
            report.duplicates += 1
            reading.problems = [p for p in reading.problems if p.what == "repeated"]
            _note(reading, problems, report)
            if not (batch.readings or number % BATCH_LINES):
                yield batch  # an empty one: nothing is new for long, and who waits wants to know
            continue
        new = to_entry(reading, file)
        _note(reading, problems, report)
        added = len(bytes(new.details))
        if batch.readings and (len(batch.readings) >= BATCH_LINES or size + added > BATCH_BYTES):
            yield batch
            batch, size = Batch([], []), 0
        batch.readings.append(reading)
        batch.news.append(new)
        size += added
    if batch.readings:
        yield batch


def _count(settled: Batch, report: ImportReport) -> None:
    """Count lines that are in the book now, and those that another run had brought there."""
    report.duplicates += settled.known
    for reading, new in zip(settled.readings, settled.news, strict=True):
        if new.kind == DAMAGED:
            report.damaged += 1
            report.truncated += any(problem.what == "size" for problem in reading.problems)
        elif reading.problems:
            report.flawed += 1
        else:
            report.imported += 1


def _note(reading: Reading, problems: Counter[str], report: ImportReport) -> None:
    for problem in reading.problems:
        problems[problem.what] += 1
        if len(report.reported) < REPORTED_MAX:
            fields = (problem.what, problem.expected, problem.found)
            report.reported.append(LineProblem(reading.number, *fields))
    if reading.problems:
        report.problems = dict(sorted(problems.items()))


def _is_ours(reading: Reading, reader: BookReader | None) -> bool:
    """Say whether a line is a copy of an entry of this very book."""
    if reading.copy is None or reader is None:
        return False
    own = reader.entry(reading.copy.seq)
    return own is not None and own.hash == reading.copy.hash


def _tell(progress: Progress | None, source: LineSource) -> None:
    if progress is not None:
        progress(source.position, source.size)


@contextlib.contextmanager
def _only_one(home: Home) -> Iterator[None]:
    """Let no second import into the same book begin: neither would see what the other writes."""
    descriptor = os.open(home.path / "import.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise errors.AlreadyRunning(
            f"Expected no other import, got one that is under way, into {home.path}"
        ) from None
    finally:
        os.close(descriptor)


def _open_reader(home: Home, stack: contextlib.ExitStack) -> BookReader | None:
    try:
        return stack.enter_context(BookReader(home))
    except errors.BookMissing:
        return None
