"""Keeping a file in step with the book: replaced whole, and only when something has changed."""

import contextlib
import os
import stat
import time
from pathlib import Path
from typing import Final

from hourbook.book.digest import Digest, DigestLimits, read_digest
from hourbook.book.reader import BookReader
from hourbook.book.stamps import StampSource
from hourbook.context_text import ContextFormat, render_digest
from hourbook.faces.feed import Follower
from hourbook.home import Home
from hourbook.timebase import SystemTimebase
from protocols import errors

__all__ = ["EVERY_S_MIN", "keep_context", "read_context", "replace_file"]

EVERY_S_MIN: Final = 0.001
_WAIT_S: Final = 1.0
_NEW_MODE: Final = 0o600


def read_context(reader: BookReader, limits: DigestLimits, now_ns: int) -> Digest:
    """Return the digest of the book as it is now (UTC)."""
    return reader.query(lambda connection: read_digest(connection, limits, now_ns))


def keep_context(
    home: Home, path: Path, form: ContextFormat, every_s: float, *, refreshes_max: int = 0
) -> None:
    """Write the context to `path` whenever the book has grown, until interrupted.

    Woken by the feed, so nothing is read while nothing happens; a burst is shown `every_s` after
    the last time.

    Args:
        home: whose book.
        path: of the file.
        form: of the text.
        every_s: the least time between two refreshes (seconds, >= 0.001).
        refreshes_max: end after so many (0: never).

    Raises:
        BadRequest: `every_s` is out of its range.
        ActorUnreachable: there is no feed.
    """
    if not every_s >= EVERY_S_MIN:
        raise errors.BadRequest(
            f"Expected `every` of at least {EVERY_S_MIN} s, got {every_s}", field="every"
        )
    with contextlib.closing(Follower(home)) as follower, BookReader(home) as reader:
        shown, count = None, 0
        stamps = StampSource(home, SystemTimebase())
        while True:
            due_ns = time.monotonic_ns() + int(every_s * 1e9)
            text = render_digest(read_context(reader, DigestLimits(), stamps.time_ns()), form)
            if text != shown:
                replace_file(path, text)
                shown, count = text, count + 1
                if count == refreshes_max:
                    return
            while not follower.wait_news(_WAIT_S):
                pass
            time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
            follower.skip_to_head()


def replace_file(path: Path, text: str) -> None:
    """Put `text` in the place of the file `path` in one step: readers see the old or the new.

    A symbolic link stays one, and what it points to is replaced. A file keeps its mode; a new one
    is for its owner alone, as the book is.

    Raises:
        BadRequest: it is something else than a file: a directory, a device, a pipe.
        OSError: as the system says it; what was there still is.
    """
    target = Path(os.path.realpath(path))
    mode = _mode_of(target, path)
    temporary = target.with_name(f".hourbook-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise


def _mode_of(target: Path, path: Path) -> int:
    """Return the mode that a file will have; refuse to replace what is none."""
    try:
        found = target.stat().st_mode
    except FileNotFoundError:
        return _NEW_MODE
    if not stat.S_ISREG(found):
        raise errors.BadRequest(
            f"Expected a file to write, got something else, at {path}", field="out"
        )
    return stat.S_IMODE(found)
