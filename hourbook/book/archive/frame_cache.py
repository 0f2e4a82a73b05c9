"""Reading archived details, one at a time, through a cache of frames. An edge: it only reads files.

What a file says is taken for true only where its hash is the one that the entry has kept, so a
damaged file can be read as far as it is whole, and a wrong one shows.
"""

import os
import re
from collections import OrderedDict
from pathlib import Path
from typing import Final

from hourbook.book.archive.frames import FrameSpan, read_frame, read_index
from protocols import errors
from protocols.entry import details_digest

__all__ = ["Archive", "file_name", "is_file_name", "open_archived"]

CACHE_BYTES: Final = 8 << 20
"""Of decompressed frames, beside the one that was read last."""
INDEXES_MAX: Final = 64
_INDEX_READ: Final = 64 << 10
"""Holds the index of any file that we write; of a larger one the whole file is read."""
_RANGE_LENGTH: Final = 25
_FILE_NAME: Final = re.compile(r"[0-9]{12,19}-[0-9]{12,19}-[0-9a-f]{16}\.zst", re.ASCII)

_Frame = tuple[int, dict[int, tuple[bytes, bytes]]]
"""Its size before compression (bytes); salt and details by seq."""


def file_name(first_seq: int, last_seq: int, sha256: bytes) -> str:
    """Return the name of an archive file: its range, and the beginning of its hash.

    A file that is rewritten keeps the range and gets another hash, so no name is used twice.
    """
    return f"{first_seq:012d}-{last_seq:012d}-{sha256.hex()[:16]}.zst"


def is_file_name(name: str) -> bool:
    """Return whether a file is called as one of the archive."""
    return _FILE_NAME.fullmatch(name) is not None


def open_archived(path: Path) -> bytes:
    """Return a whole archive file.

    Raises:
        ArchiveDamaged: it is not there, or the disk cannot read it.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None


class Archive:
    """The archive of one home, for one thread at a time."""

    def __init__(self, directory: Path) -> None:
        """Open nothing yet.

        Args:
            directory: of the files; it need not exist.
        """
        self._directory = directory
        self._indexes: OrderedDict[str, dict[int, FrameSpan]] = OrderedDict()
        self._frames: OrderedDict[tuple[str, int], _Frame] = OrderedDict()
        self._frame_bytes = 0

    def fetch(self, file: str, seq: int, details_hash: bytes) -> tuple[bytes, bytes]:
        """Return salt and details of one entry.

        Args:
            file: that the book names for it.
            seq: of the entry.
            details_hash: that the entry has kept.

        Raises:
            ArchiveDamaged: the file is missing, cut off or damaged, as far as these details go.
        """
        try:
            return self._fetch(file, seq, details_hash)
        except errors.ArchiveDamaged as error:
            # A redaction may have rewritten it since the book was read.
            for path in sorted(self._directory.glob(f"{file[:_RANGE_LENGTH]}-*.zst")):
                if path.name != file:
                    try:
                        return self._fetch(path.name, seq, details_hash)
                    except errors.ArchiveDamaged:
                        continue
            raise error from None

    def _fetch(self, file: str, seq: int, details_hash: bytes) -> tuple[bytes, bytes]:
        path = self._directory / file
        try:
            spans = self._indexes.get(file) or self._read_spans(path)
            span = spans.get(seq)
            if span is None:
                raise _unreadable(path, f"no details of seq {seq} in it")
            frame = self._frames.get((file, span.offset)) or self._read_frame(path, span)
        except OSError as error:
            if isinstance(error, errors.ArchiveDamaged):
                raise _placed(path, error) from None
            raise _unreadable(path, error.strerror or str(error)) from None
        self._frames.move_to_end((file, span.offset))
        salt, details = frame[1][seq]
        if details_digest(salt, details) != details_hash:
            raise _unreadable(path, f"other details than seq {seq} had")
        return salt, details

    def _read_spans(self, path: Path) -> dict[int, FrameSpan]:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _INDEX_READ))
            end = file.read()
            try:
                spans = read_index(end)
            except errors.ArchiveDamaged:
                if size <= _INDEX_READ:
                    raise
                file.seek(0)
                spans = read_index(file.read())
        found = {seq: span for span in spans for seq in span.seqs}
        self._indexes[path.name] = found
        if len(self._indexes) > INDEXES_MAX:
            self._indexes.popitem(last=False)
        return found

    def _read_frame(self, path: Path, span: FrameSpan) -> _Frame:
        with path.open("rb") as file:
            file.seek(span.offset)
            details = read_frame(file.read(span.size), span)
        frame = span.raw_size, {seq: (salt, raw) for seq, salt, raw in details}
        self._frames[path.name, span.offset] = frame
        self._frame_bytes += span.raw_size
        while self._frame_bytes > CACHE_BYTES and len(self._frames) > 1:
            _, (raw_size, _) = self._frames.popitem(last=False)
            self._frame_bytes -= raw_size
        return frame


def _placed(path: Path, error: errors.ArchiveDamaged) -> errors.ArchiveDamaged:
    return errors.ArchiveDamaged(
        f"{error.message}, at {path}", field=str(path), hint="restore it from a backup"
    )


def _unreadable(path: Path, what: str) -> errors.ArchiveDamaged:
    return errors.ArchiveDamaged(
        f"Expected an archive file, got: {what}, at {path}",
        field=str(path),
        hint="restore it from a backup",
    )
