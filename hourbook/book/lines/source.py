"""The lines of a file, whatever file that is: bounded in memory, and never waiting. An edge.

A line is what ends with a line feed, or what the file ends with. UTF-16 and UTF-32 are told by
their byte order mark, or by the zero bytes of a first brace, and read as UTF-8. What is no text at
all is refused before anything of it is imported.
"""

import codecs
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self

from hourbook.book.copies.book_file import check_file
from hourbook.book.lines.reading import DamagedLine, has_record
from protocols import errors

__all__ = ["LINE_BYTES_MAX", "LineSource"]

LINE_BYTES_MAX: Final = 128 << 20
"""The longest that an export writes is near 100 MiB: 16 MiB of text, each byte as an escape."""
_BLOCK_BYTES: Final = 1 << 20
_ENDS_BYTES: Final = 64 << 10
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Longer ones before those that they begin with."""
_FIRST_BRACES: Final = (
    (b"{\0\0\0", "utf-32-le"),
    (b"\0\0\0{", "utf-32-be"),
    (b"{\0", "utf-16-le"),
    (b"\0{", "utf-16-be"),
)
_PACKED: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"PK\x03\x04", "zip"),
)


class LineSource:
    """An open file of lines; a context manager, read once from the beginning to the end.

    Attributes:
        size: of the file (bytes).
        encoding: of its text.
        position: bytes read so far.
    """

    def __init__(self, path: Path) -> None:
        """Open a file and look at its beginning.

        Raises:
            BadRequest: no regular file, or none that holds a journal.
        """
        self.size = check_file(path, "a journal")
        self._file: BinaryIO = path.open("rb")
        self.position = 0
        try:
            head = self._file.read(_BLOCK_BYTES)
            self.encoding, mark_bytes = _encoding_of(head)
            self._check(head[mark_bytes:], path)
            self._file.seek(mark_bytes)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def lines(self) -> Iterator[bytes | DamagedLine]:
        """Yield every line without its line end; one that is too long as its two ends."""
        line = _Line()
        for block in self._blocks():
            first, *rest = block.split(b"\n")
            line.add(first)
            for piece in rest:
                yield line.end()
                line = _Line()
                line.add(piece)
        if line.size:
            yield line.end()

    def _blocks(self) -> Iterator[bytes]:
        if self.encoding == "utf-8":
            while block := self._file.read(_BLOCK_BYTES):
                self.position += len(block)
                yield block
            return
        decoder = codecs.getincrementaldecoder(self.encoding)("replace")
        while block := self._file.read(_BLOCK_BYTES):
            self.position += len(block)
            yield decoder.decode(block).encode()
        yield decoder.decode(b"", final=True).encode()

    def _check(self, head: bytes, path: Path) -> None:
        """Refuse what holds no journal, so that no garbage is kept for ever as damaged lines."""
        packed = next((name for magic, name in _PACKED if head.startswith(magic)), None)
        if packed is not None:
            raise errors.BadRequest(
                f"Expected a journal, got one that is packed with {packed}, at {path}",
                field=str(path),
                hint="unpack it first",
            )
        text = head.decode(self.encoding, "replace").encode() if self.encoding != "utf-8" else head
        lines = text.split(b"\n")
        if text.strip() and not any(has_record(line) for line in lines):
            raise errors.BadRequest(
                "Expected a journal, with a JSON object on each line, got no such line"
                f" in the first {min(len(head), self.size)} bytes, at {path}",
                field=str(path),
            )


class _Line:
    """A line that is being gathered: whole, or its two ends once it is too long."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._tail = b""
        self._hash = hashlib.sha256()
        self._is_long = False

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if not self._is_long:
            self._pieces.append(piece)
            if self.size <= LINE_BYTES_MAX:
                return
            piece = b"".join(self._pieces)
            self._pieces = [piece[:_ENDS_BYTES]]
            self._is_long = True
        self._hash.update(piece)
        self._tail = (self._tail + piece)[-_ENDS_BYTES:]

    def end(self) -> bytes | DamagedLine:
        if not self._is_long:
            return b"".join(self._pieces).removesuffix(b"\r")
        return DamagedLine(self.size, self._hash.digest(), self._pieces[0], self._tail)


def _encoding_of(head: bytes) -> tuple[str, int]:
    """Return the encoding of a file and the size of its byte order mark."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    for brace, encoding in _FIRST_BRACES:
        if head.startswith(brace):
            return encoding, 0
    return "utf-8", 0
