"""A copy of a book that can be verified elsewhere, made while it is being written. An edge.

A backup named FILE is the database, and beside it ``FILE.pub``, the public key that its head must
be signed with. The signing key goes into ``FILE.key`` only where it was asked for: who holds it can
rewrite the history, so it belongs where fewer people come than to backups. ``FILE.archive`` holds
the files of the archive, where the book has any. FILE itself gets its name last: where it is, the
rest is. An earlier backup that is replaced keeps its archive files until then.

Nothing is ever overwritten unless asked, no half backup ever has the name of a whole one, and what
a killed run left behind is cleared by the next one to the same FILE, or by
``hourbook.book.copies.parts.clear_remains``.

A damaged archive file does not stop a backup: its other details, and all entries, are worth having.
It is reported.
"""

import contextlib
import os
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from hourbook.book.archive.attachments import copy_archive, named_files
from hourbook.book.archive.shelf import sparing
from hourbook.book.copies.book_file import (
    KEY_SUFFIX,
    PUBLIC_SUFFIX,
    head_of,
    open_book,
    verify_file,
)
from hourbook.book.copies.parts import (
    ARCHIVE_SUFFIX,
    backup_files,
    beside,
    remove,
    temporary_of,
)
from hourbook.book.durable import disk_full_as_error, place, sync_directory, write_new
from hourbook.book.proof.key_chain import next_key
from hourbook.book.proof.keys import KEY_FILE_NAME, SiteKey, read_public
from hourbook.book.proof.verify import StageProgress
from hourbook.book.reader import BookReader
from hourbook.home import Home
from protocols import errors
from protocols.entry import Commit

__all__ = ["BackupReport", "back_up"]

_NS: Final = 1e-9


class BackupReport(msgspec.Struct, frozen=True):
    """What was backed up; the JSON of ``hourbook backup``.

    Attributes:
        path: of the backup.
        size_bytes: of its database.
        seq: its last entry; 0 for an empty book.
        commit: its last commit.
        hash: of its last entry, hex; None for an empty book.
        key: the public key that its head is signed with, hex.
        has_key: the signing key is in it.
        archive_files: how many were copied with it.
        verified: it was verified where it lies.
        archive_problems: what is wrong with details in archive files, one line each.
        seconds: how long it took.
    """

    path: str
    size_bytes: int
    seq: int
    commit: int
    hash: str | None
    key: str | None
    has_key: bool
    archive_files: int
    verified: bool
    archive_problems: list[str]
    seconds: float


def back_up(
    home: Home,
    target: Path,
    *,
    replace: bool = False,
    with_key: bool = False,
    verify: bool = True,
    progress: StageProgress | None = None,
) -> BackupReport:
    """Copy the book of `home`, as it is at one instant, to the file `target`.

    Args:
        home: whose book.
        target: the file to make; those beside it are named after it.
        replace: take the place of an earlier backup of this name.
        with_key: put the signing key beside it.
        verify: verify the copy before it gets its name (3 us an entry).
        progress: told of "copying" (pages), "verifying" (entries) and "archive" (files).

    Raises:
        BookMissing, NeedsWriter, BookCorrupt: the book cannot be read, or its copy not verified.
        AlreadyPresent: there is a file of this name, or of one beside it.
        AlreadyRunning: another backup to this file is under way.
        DiskFull: no room for it; nothing of it is left.
        HomeUnusable: the signing key cannot be read.
    """
    started_ns = time.monotonic_ns()
    target = target.absolute()
    if not replace:
        _refuse_taken(target)
    else:
        _refuse_others(target)
    problems: list[str] = []
    with (
        BookReader(home) as reader,
        disk_full_as_error("a backup", target),
        temporary_of(target) as temporary,
        sparing(home.archive_dir),  # what the copy names must still be there to be copied
    ):
        reader.copy_to(
            temporary, progress=None if progress is None else partial(progress, "copying")
        )
        head, demanded, names = _contents_of(temporary)
        archive = beside(temporary, ARCHIVE_SUFFIX)
        archive_files = copy_archive(home.archive_dir, archive, names)
        public = read_public(home.keys_dir) or demanded
        if verify:
            problems = verify_file(temporary, public, progress, archive)
        seed = _signing_key(home, demanded) if with_key else None
        _stage_keys(temporary, public, seed)
        _place_all(temporary, target, replace=replace)
        if replace:
            _drop_others(beside(target, ARCHIVE_SUFFIX), names)
    return BackupReport(
        path=str(target),
        size_bytes=target.stat().st_size,
        seq=0 if head is None else head.last_seq,
        commit=0 if head is None else head.commit_no,
        hash=None if head is None else head.head_hash.hex(),
        key=None if public is None else public.hex(),
        has_key=seed is not None,
        archive_files=archive_files,
        verified=verify,
        archive_problems=problems,
        seconds=round((time.monotonic_ns() - started_ns) * _NS, 3),
    )


def _refuse_taken(target: Path) -> None:
    taken = next((path for path in reversed(backup_files(target)) if os.path.lexists(path)), None)
    if taken is not None:
        raise errors.AlreadyPresent(
            f"Expected a name that is free, got one that is taken, at {taken}",
            field=str(taken),
            hint="choose another, or replace it with --force",
        )


def _refuse_others(target: Path) -> None:
    """Refuse to replace what is no backup."""
    archive = beside(target, ARCHIVE_SUFFIX)
    if target.exists() and not target.is_file():
        raise errors.BadRequest(f"Expected a file to replace, got another thing, at {target}")
    if archive.exists() and not archive.is_dir():
        raise errors.BadRequest(f"Expected a directory to replace, got a file, at {archive}")


def _stage_keys(temporary: Path, public: bytes | None, seed: bytes | None) -> None:
    """Write the keys beside a temporary file, and sync it: from here on there are only names."""
    if public is not None:
        write_new(beside(temporary, PUBLIC_SUFFIX), public.hex().encode() + b"\n")
    if seed is not None:
        write_new(beside(temporary, KEY_SUFFIX), seed)
    descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _place_all(temporary: Path, target: Path, *, replace: bool) -> None:
    """Give everything that was staged its name, the database last."""
    placed: list[Path] = []
    try:
        for staged, final in zip(backup_files(temporary), backup_files(target), strict=True):
            if staged.is_dir() and replace and final.is_dir():
                for path in staged.iterdir():
                    path.replace(final / path.name)
                sync_directory(final)
            elif staged.exists():
                place(staged, final, replace=replace)
                placed.append(final)
            elif replace and final.name.endswith(KEY_SUFFIX):
                final.unlink(missing_ok=True)  # of the backup before
    except BaseException:
        for path in placed if not replace else ():
            remove(path)
        raise


def _drop_others(archive: Path, names: Collection[str]) -> None:
    """Remove archive files that only the backup before has named."""
    for path in archive.iterdir() if archive.is_dir() else ():
        if path.name not in names:
            path.unlink()
    if not names and archive.is_dir():
        archive.rmdir()


def _contents_of(path: Path) -> tuple[Commit | None, bytes | None, list[str]]:
    """Return the head of a copy, the public key that must sign next, and its archive files."""
    with contextlib.closing(open_book(path)) as connection:
        return head_of(connection), next_key(connection), named_files(connection)


def _signing_key(home: Home, demanded: bytes | None) -> bytes | None:
    """Return the file of the key that goes on with the copy; None where there is none.

    Raises:
        HomeUnusable: it cannot be read, or is another: the key is being changed.
    """
    key = SiteKey.load(home.keys_dir)
    if key is None:
        return None
    if demanded is not None and key.public != demanded:
        raise errors.HomeUnusable(
            f"Expected the key that signs the book ({demanded.hex()[:16]}...), got another,"
            f" at {home.keys_dir}",
            field=str(home.keys_dir),
            hint="if it has just been changed, run it again",
        )
    return (home.keys_dir / KEY_FILE_NAME).read_bytes()
