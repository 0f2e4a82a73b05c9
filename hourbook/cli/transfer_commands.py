"""`export` and `import`: the book as lines of JSON that chain, to and from other tools."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from cyclopts import Parameter

from hourbook.cli import exit_codes
from hourbook.cli.options import HomeOption, JsonOption
from hourbook.cli.out import emit, emit_json
from hourbook.cli.progress import ProgressLine
from hourbook.home import find_home
from hourbook.words import counted, size_text, visible
from protocols import errors

if TYPE_CHECKING:
    from hourbook.book.lines.importing import ImportReport
    from hourbook.book.moment import Moment

__all__ = ["export", "import_"]

SHOWN_MAX: Final = 20
"""Problems on a terminal; `--json` has more of them, and each imported line has its own."""
Switch = Parameter(negative="", show_default=False)


def export(
    *,
    out: Path | None = None,
    format_: Annotated[Literal["jsonl"], Parameter(name="--format")] = "jsonl",
    since: str | None = None,
    until: str | None = None,
    force: Annotated[bool, Switch] = False,
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Print the book, one JSON document a line, chained by SHA-256 (docs/EXPORT.md).

    Example: `hourbook export --since 2026-11-01T00:00:00Z --out november.jsonl`

    Parameters
    ----------
    out:
        Write to this file instead, and report. One that exists is refused.
    format_:
        The only one so far.
    since:
        A seq: what comes after it. A time: what was written then or later.
    until:
        A seq or a time: up to that, with it.
    force:
        Replace a file that exists.
    json:
        With --out: report in JSON. The lines are JSON in any case.
    """
    del format_
    from hourbook.book.lines.export import (  # noqa: PLC0415 - completion needs no database
        export_book,
        export_to_file,
    )
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - as above

    first, last = _bound(since, "since"), _bound(until, "until")
    is_seen = out is None and sys.stdout.isatty()
    with (
        BookReader(find_home(home)) as reader,
        ProgressLine(quiet=json or is_seen) as line,
    ):
        show = partial(line.show, "exporting")
        if out is None:
            stream = sys.stdout.buffer
            export_book(reader, stream, since=first, until=last, progress=show)
            return exit_codes.OK
        report = export_to_file(reader, out, replace=force, since=first, until=last, progress=show)
    if json:
        emit_json(msgspec.structs.asdict(report))
    else:
        entries = counted(report.entries, "entry", "entries")
        emit(f"exported {entries}, {size_text(report.size_bytes)}, to {visible(report.path)}")
    return exit_codes.OK


def import_(
    file: Path,
    /,
    *,
    dry_run: Annotated[bool, Switch] = False,
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Bring the lines of a journal into the book, each once, and all that is wrong with them.

    Run again, it goes on where it ended. Exits 1 when a line was too long to be kept whole.
    Example: `hourbook import master-journal.jsonl --dry-run`

    Parameters
    ----------
    file:
        Lines of JSON with timestamp, action, entity, details, sha256, parent_hash, nonce.
    dry_run:
        Only say what would become of them.
    """
    from hourbook.book.lines.importing import import_file  # noqa: PLC0415 - completion needs no database
    from hourbook.tree_status import check_running  # noqa: PLC0415 - as above

    found = find_home(home)
    if not dry_run:
        check_running(found)
    with ProgressLine(quiet=json) as line:
        report = import_file(
            found,
            file,
            dry_run=dry_run,
            progress=partial(line.show, "importing"),
        )
    if json:
        emit_json(msgspec.to_builtins(report))
    else:
        for text in _import_lines(report):
            emit(text)
    return exit_codes.FOUND_WRONG if report.truncated else exit_codes.OK


def _bound(text: str | None, field: str) -> "Moment | None":
    """Return an end of an export: entries are told apart by seq and time, not by hash."""
    if text is None:
        return None
    from hourbook.book.moment import parse_moment  # noqa: PLC0415 - completion needs none

    moment = parse_moment(text, field)
    if moment.hash_digits is not None:
        raise errors.BadRequest(
            f"Expected a seq or a time, got a hash, {visible(text, 40)}, in {field}", field=field
        )
    return moment


def _import_lines(report: "ImportReport") -> list[str]:
    were = "would be" if report.dry_run else "were"
    rows = [
        ("imported", report.imported, "nothing wrong with them"),
        ("flawed", report.flawed, f"{were} imported, with what is wrong in their details"),
        ("damaged", report.damaged, f"no record in them; their bytes {were} imported"),
        ("duplicates", report.duplicates, "in the book already, or the same as a line before"),
        ("blank", report.blank, ""),
    ]
    title = f"{visible(report.path)}: {counted(report.lines, 'line', 'lines')}"
    lines = [f"{title}, DRY RUN: nothing was written" if report.dry_run else title]
    lines += [f"  {name:<10} {n:>9}  {text}".rstrip() for name, n, text in rows if n]
    for problem in report.reported[:SHOWN_MAX]:
        what = f"expected {problem.expected}, found {problem.found}"
        lines.append(f"  line {problem.line}: {problem.what}: {visible(what)}")
    more = sum(report.problems.values()) - min(len(report.reported), SHOWN_MAX)
    if more > 0:
        kinds = ", ".join(f"{name} {n}" for name, n in report.problems.items())
        lines.append(f"  and {more} more (in all: {kinds}); each stands in its entry")
    return lines
