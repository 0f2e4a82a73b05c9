"""`redact`, `compact`: what may be done to details that stand in the book already."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter

from hourbook.cli import exit_codes
from hourbook.cli.open_book import open_book
from hourbook.cli.options import HomeOption, JsonOption, WriterOption
from hourbook.cli.out import emit, emit_json
from hourbook.cli.progress import ProgressLine
from hourbook.home import find_home
from hourbook.timebase import SystemTimebase
from hourbook.tree_status import check_running
from hourbook.words import counted, size_text, typed_text, visible

if TYPE_CHECKING:
    from hourbook.compaction import CompactReport

__all__ = ["compact", "redact"]

PAGE_BYTES: Final = 4096


def redact(
    seq: int,
    /,
    *,
    why: str,
    writer: WriterOption = "cli",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Drop the details of entry SEQ for good, and write down that it was done, why and by whom.

    The entry stays, and the book verifies as before. Backups that were made before still have its
    details: delete them, or redact in them too (docs/OPERATIONS.md).
    Example: `hourbook redact 4711 --why "held a password"`

    Parameters
    ----------
    seq:
        Of an entry that an instance wrote.
    why:
        The reason. It stays in the book for ever: do not repeat the secret.
    """
    with open_book(writer, home) as book:
        done = book.redact(seq, typed_text(why))
    if json:
        emit_json(msgspec.structs.asdict(done))
    elif done.is_new:
        emit(f"redacted entry {done.target}: its details are gone, entry {done.seq} says why")
    else:
        emit(f"the details of entry {done.target} were gone already, see entry {done.seq}")
    return exit_codes.OK


def compact(
    *,
    dry_run: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Archive and drop the details that are old enough, and give free space back, now.

    The rules are those of `[actor.compactor.config] retention`; `store_history_s` and
    `store_versions` say which versions of keys are forgotten. Others can write meanwhile.
    Example: `hourbook compact --dry-run`

    Parameters
    ----------
    dry_run:
        Only say what would be done.
    """
    from hourbook import compaction  # noqa: PLC0415 - completion needs no sockets
    from hourbook.book.stamps import StampSource  # noqa: PLC0415 - the same
    from hourbook.link.client import MailboxClient  # noqa: PLC0415 - the same

    found = find_home(home)
    check_running(found)
    with closing(MailboxClient(found, "compactor", "cli")) as client:
        answer = client.request("compactor.rules", {})
    asked = msgspec.msgpack.decode(answer.body, type=compaction.Rules)
    now_ns = StampSource(found, SystemTimebase()).time_ns()
    with ProgressLine(quiet=json) as line:
        report = compaction.compact(
            found,
            asked.retention,
            now_ns,
            horizon=asked.horizon,
            dry_run=dry_run,
            progress=line.show,
        )
    if json:
        emit_json(msgspec.structs.asdict(report))
    else:
        for text in _compact_lines(report):
            emit(text)
    return exit_codes.OK


def _compact_lines(report: "CompactReport") -> list[str]:
    archived, dropped = size_text(report.archived_bytes), size_text(report.dropped_bytes)
    files = counted(report.files, "file", "files")
    rows = [
        ("archive", f"{counted(report.archived, 'entry', 'entries')}, {archived}, into {files}"),
        ("drop", f"{counted(report.dropped, 'entry', 'entries')}, {dropped}"),
        *(("by rule", f"{visible(rule)}: {count}") for rule, count in sorted(report.rules.items())),
    ]
    if not report.rules:
        rows = []
    if report.versions:
        versions = counted(report.versions, "version of a key", "versions of keys")
        rows.append(("forget", f"{versions}, superseded before seq {report.first_seq}"))
    if not rows:
        rows = [("nothing", "is old enough for a rule (`retention` in hourbook.toml)")]
    if report.dry_run:
        return ["a dry run: nothing was done", *(f"{name:<8} {text}" for name, text in rows)]
    slices = counted(report.slices, "slice", "slices")
    freed, took = size_text(report.freed_pages * PAGE_BYTES), f"{report.seconds:.1f} s, {slices}"
    rows += [("freed", freed), ("took", f"{took} of at most {report.longest_ms:.0f} ms")]
    done = {"archive": "archived", "drop": "dropped", "forget": "forgot"}
    return [f"{done.get(name, name):<8} {text}" for name, text in rows]
