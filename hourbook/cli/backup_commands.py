"""`backup` and `restore`: a copy of the book for another disk, and a home made of one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter

from hourbook.cli import exit_codes
from hourbook.cli.options import HomeOption, JsonOption
from hourbook.cli.out import emit, emit_json
from hourbook.cli.progress import ProgressLine
from hourbook.home import find_home
from hourbook.words import counted, size_text, visible

if TYPE_CHECKING:
    from hourbook.book.copies.backup import BackupReport
    from hourbook.book.copies.restore import RestoreReport

__all__ = ["backup", "restore"]

NO_KEY: Final = (
    "the signing key is not there: the book can be read and verified, not written."
    " Put the old home's keys/site.key (mode 0600) into keys/ before the tree starts"
)
Switch = Parameter(negative="", show_default=False)


def backup(
    file: Path,
    /,
    *,
    force: Annotated[bool, Switch] = False,
    with_key: Annotated[bool, Switch] = False,
    no_verify: Annotated[bool, Switch] = False,
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Copy the book as it is now to FILE, while it is being written, and verify the copy.

    `FILE.pub` beside it holds the public key; keep one of those where nobody can change it. Exits 1
    when the copy is made, and archive files in it are damaged.
    Example: `hourbook backup /mnt/disk/book-$(date +%F).db`

    Parameters
    ----------
    file:
        The file to make. One that exists is refused.
    force:
        Replace one that exists.
    with_key:
        Put the signing key beside it, as FILE.key. Who has it can rewrite the history.
    no_verify:
        Do not verify the copy.
    """
    from hourbook.book.copies.backup import back_up  # noqa: PLC0415 - completion needs no database

    with ProgressLine(quiet=json) as line:
        report = back_up(
            find_home(home),
            file,
            replace=force,
            with_key=with_key,
            verify=not no_verify,
            progress=line.show,
        )
    if json:
        emit_json(msgspec.structs.asdict(report))
    else:
        for text in _backup_lines(report):
            emit(text)
    return exit_codes.FOUND_WRONG if report.archive_problems else exit_codes.OK


def restore(
    file: Path,
    /,
    *,
    to: str | None = None,
    key: Path | None = None,
    accept_damage: Annotated[bool, Switch] = False,
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Make a home from the backup FILE. Only a new or empty one: nothing is ever overwritten.

    The book is verified first, against `FILE.pub` where it is there, and so is its archive.
    Example: `hourbook restore book.db --to 2026-11-21T01:35:00Z --home ~/earlier`

    Parameters
    ----------
    file:
        A backup, or any file with a whole book in it. It is only read.
    to:
        A seq or a time: restore up to the last commit that is not after it.
    key:
        The signing key (the `keys/site.key` of the old home); else FILE.key, where it is there.
    accept_damage:
        Restore although archive files are missing or damaged: the details in them are lost.
    """
    from hourbook.book.copies.restore import restore_book  # noqa: PLC0415 - as above
    from hourbook.book.moment import parse_moment  # noqa: PLC0415 - as above

    with ProgressLine(quiet=json) as line:
        report = restore_book(
            file,
            find_home(home),
            to=None if to is None else parse_moment(to, "to"),
            key_file=key,
            accept_damage=accept_damage,
            progress=line.show,
        )
    if json:
        emit_json(msgspec.structs.asdict(report))
    else:
        for text in _restore_lines(report):
            emit(text)
    return exit_codes.OK


def _backup_lines(report: "BackupReport") -> list[str]:
    verified = "verified" if report.verified else "NOT verified"
    rows = [
        ("backup", f"{visible(report.path)}  {size_text(report.size_bytes)}, {verified}"),
        ("head", f"seq {report.seq}, commit {report.commit}"),
        ("hash", report.hash or ""),
        ("key", report.key or ""),
    ]
    if report.archive_files:
        rows.append(("archive", counted(report.archive_files, "file", "files")))
    if report.has_key:
        rows.append(("secret", f"the signing key is in {visible(report.path)}.key"))
    rows += [("WRONG", visible(problem)) for problem in report.archive_problems]
    return [f"{name:<8} {text}" for name, text in rows if text]


def _restore_lines(report: "RestoreReport") -> list[str]:
    rows = [
        ("restored", f"{visible(report.home)}  verified"),
        ("head", f"seq {report.seq}, commit {report.commit}"),
        ("hash", report.hash or ""),
        ("key", report.key or ""),
    ]
    if report.archive_files:
        rows.append(("archive", counted(report.archive_files, "file", "files")))
    rows += [("LOST", visible(problem)) for problem in report.archive_problems]
    if report.dropped:
        rows.append(("left out", f"{counted(report.dropped, 'entry', 'entries')} after that"))
    if report.trusted == "itself":
        rows.append(("note", "no FILE.pub: compare this key with one that you kept elsewhere"))
    if report.seq and not report.can_write:
        rows.append(("note", NO_KEY))
    return [f"{name:<8} {text}" for name, text in rows if text]
