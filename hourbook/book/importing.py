"""Bringing a line journal into the book, once: batch by batch, through its writer. An edge.

The lines of a batch become one request, and so one transaction: an entry that holds the digests of
its lines, and one entry for each. Whoever imports first reads those digests back; a line that has
one of them is in the book and is passed over. So a run that was killed is taken up where it ended,
a file that has grown is imported from where it had ended, and nothing comes twice. The nonce of a
batch follows from its digests: what a killed run had still under way is not written again either.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from hourbook.book.line_chain import LineChain
from hourbook.book.line_entry import DAMAGED, ORIGIN, origin_entry, to_entry
from hourbook.book.line_reading import DIGEST_SIZE, Reading, read_line
from hourbook.book.line_source import LineSource
from hourbook.book.reader import BookReader
from hourbook.client import MailboxClient
from hourbook.home import Home
from protocols import entry, errors
from protocols.book_messages import Append, NewEntry

if TYPE_CHECKING:
    from hourbook.reply import Reply

__all__ = ["IMPORTER", "ImportReport", "LineProblem", "import_file"]

IMPORTER: Final = "import"
"""Who writes imported entries; who wrote the originals stands in the details."""
BATCH_LINES: Final = 1000
BATCH_BYTES: Final = 512 << 10
"""Of details; a larger line goes alone."""
UNDER_WAY_MAX: Final = 2
"""Batches that the writer has while the next is read: one to write, and one to find waiting."""
REPORTED_MAX: Final = 1000
"""Problems in a report; each one stands in its entry too."""
TIMEOUT_S: Final = 30.0
_JOURNAL_WRITER: Final = "journal_writer"
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
        AlreadyRunning: another import into this book is under way.
        DiskFull, BookCorrupt, OutcomeUnknown, ActorUnreachable: stopped; what was imported until
            then is in the book, and the next run goes on from there.
    """
    started_ns = time.monotonic_ns()
    report = ImportReport(str(path), dry_run)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(LineSource(path))
        if not dry_run:
            stack.enter_context(_only_one(home))
        reader = _open_reader(home, stack)
        chain = LineChain()
        stack.callback(chain.close)
        if reader is not None:
            chain.remember(_known_digests(reader))
        batches = _batches(source, chain, reader, path.name, report)
        sender = None if dry_run else stack.enter_context(_Sender(home))
        for readings, news in batches:
            if sender is not None:
                sender.send(readings, [origin_entry(readings, _printable(path.name)), *news])
            if progress is not None:
                progress(source.position, source.size)
        if sender is not None:
            sender.finish()
    report.seconds = round((time.monotonic_ns() - started_ns) * _NS, 3)
    return report


def _batches(
    source: LineSource,
    chain: LineChain,
    reader: BookReader | None,
    file: str,
    report: ImportReport,
) -> Iterator[tuple[list[Reading], list[NewEntry]]]:
    """Yield the new lines of a file with their entries, and count everything into the report."""
    problems: Counter[str] = Counter()
    readings: list[Reading] = []
    news: list[NewEntry] = []
    size = 0
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
            continue
        new = to_entry(reading, _printable(file))
        _count(reading, new, report)
        _note(reading, problems, report)
        added = len(bytes(new.details))
        if readings and (len(readings) >= BATCH_LINES or size + added > BATCH_BYTES):
            yield readings, news
            readings, news, size = [], [], 0
        readings.append(reading)
        news.append(new)
        size += added
    if readings:
        yield readings, news


def _count(reading: Reading, new: NewEntry, report: ImportReport) -> None:
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


class _Sender:
    """Hands batches to journal_writer, a few ahead of its answers."""

    def __init__(self, home: Home) -> None:
        self._client = MailboxClient(home, _JOURNAL_WRITER, IMPORTER, timeout_s=TIMEOUT_S)
        self._under_way: deque[tuple[Reply, int]] = deque()
        self._last_line = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(self, readings: list[Reading], news: list[NewEntry]) -> None:
        digests = hashlib.sha256(b"".join(reading.digest for reading in readings)).digest()
        nonce = entry.make_nonce(int.from_bytes(digests[:8], "big"), 1)
        reply = self._client.send("book.append", Append(IMPORTER, nonce, news))
        self._under_way.append((reply, readings[-1].number))
        while len(self._under_way) > UNDER_WAY_MAX:
            self._wait()

    def finish(self) -> None:
        """Wait until everything that was sent is durable."""
        while self._under_way:
            self._wait()

    def _wait(self) -> None:
        reply, line = self._under_way.popleft()
        try:
            reply.wait()
        except errors.HourbookError as error:
            raise type(error)(
                error.message,
                field=error.field,
                value=error.value,
                hint=f"imported up to line {self._last_line}; run it again to go on from there",
            ) from None
        self._last_line = line


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


def _known_digests(reader: BookReader) -> Iterator[bytes]:
    for origin in reader.of_writer(IMPORTER, ORIGIN):
        details = origin.details
        digests = details.get("digests") if isinstance(details, dict) else None
        if isinstance(digests, bytes):
            for start in range(0, len(digests), DIGEST_SIZE):
                yield digests[start : start + DIGEST_SIZE]


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()
