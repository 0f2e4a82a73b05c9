"""What belongs to a book beside its database: the sealed files of its archive. An edge.

The one place that backup and restore share for it. Such a file is written once, under a name that
is never used again, and synced before a commit names it: so a copy of the database that is made
first never names a file that is not there. Files that nothing names (left by a crash) are harmless.
"""

import os
import shutil
from pathlib import Path
from typing import BinaryIO

from hourbook.book.durable import sync_directory

__all__ = ["copy_archive"]


def copy_archive(source: Path, target: Path) -> int:
    """Copy the archive files of `source` durably into the new directory `target`; return how many.

    Nothing is made where there is nothing to copy.

    Raises:
        OSError: as the system says it.
    """
    if not source.is_dir():
        return 0
    files = sorted(p for p in source.iterdir() if p.is_file() and not p.name.startswith("."))
    if not files:
        return 0
    target.mkdir(mode=0o700)
    for path in files:
        copy = target / path.name
        with path.open("rb") as reading, _create(copy) as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            os.fsync(writing.fileno())
    sync_directory(target)
    return len(files)


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
