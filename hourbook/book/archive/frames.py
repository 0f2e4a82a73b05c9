"""The bytes of an archive file: details with their salts, compressed. Pure.

A sequence of zstd frames (RFC 8878). Decompressed they are MessagePack arrays ``[seq, salt,
details]``, one after the other in the order of seq, so ``zstd -dc FILE`` and any MessagePack
reader read it. The last frame is a *skippable* one, which decompressors pass over: the index.

| where | bytes | what |
|---|---|---|
| begin | ... | zstd frames, each about 256 KiB before compression; large details have one alone |
| then | 4 | 50 2A 4D 18: a skippable frame |
| | 4 | its size, u32 little endian: index + 12 |
| | ... | index: MessagePack array of ``[offset, size, raw size, [seqs]]``, one for each frame |
| end | 8 | magic ``HBKARC01`` |
| end - 12 | 4 | size of the index, u32 little endian |

What a frame says is believed only where it has the hash that stands in the book for it.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from protocols import errors

__all__ = ["Detail", "FrameSpan", "build", "read_frame", "read_index", "without"]

FRAME_BYTES: Final = 256 << 10
"""Before compression; what is read to get at one detail of it."""
LARGE_BYTES: Final = 64 << 10
"""Details from here on have a frame of their own, so that their neighbours are found quickly."""
LEVEL: Final = 3
_MAGIC: Final = b"HBKARC01"
_SKIPPABLE: Final = 0x184D2A50
_TAIL: Final = struct.Struct("<I8s")
_HEAD: Final = struct.Struct("<II")
_RAW_MAX: Final = 20 << 20
"""One frame, decompressed: the largest entry, and room for its neighbours."""
_INDEX_MAX: Final = 8 << 20

Detail = tuple[int, bytes, bytes]
"""(seq, salt, details as MessagePack)."""
_encode = msgspec.msgpack.Encoder().encode


class FrameSpan(msgspec.Struct, frozen=True, array_like=True):
    """Where a frame is: offset, size, size before compression (bytes); and the seqs it holds."""

    offset: int
    size: int
    raw_size: int
    seqs: tuple[int, ...]

    def cut(self, file: bytes) -> bytes:
        """Return the frame, cut out of its file."""
        return file[self.offset : self.offset + self.size]


_decode_index = msgspec.msgpack.Decoder(list[FrameSpan]).decode


def build(details: Iterable[Detail]) -> bytes:
    """Return the file that holds these details, in the order of their seqs."""
    return _assemble(_compress(group) for group in _groups(details))


def without(file: bytes, seqs: frozenset[int]) -> bytes | None:
    """Return a file that holds what `file` does, but for `seqs`; None where that is nothing.

    Only frames that hold one of them are made anew.

    Raises:
        ArchiveDamaged: it cannot be read.
    """
    frames: list[tuple[tuple[int, ...], int, bytes]] = []
    for span in read_index(file):
        if seqs.isdisjoint(span.seqs):
            frames.append((span.seqs, span.raw_size, span.cut(file)))
        elif rest := [item for item in read_frame(span.cut(file), span) if item[0] not in seqs]:
            frames.append(_compress(rest))
    return _assemble(frames) if frames else None


def read_index(file: bytes) -> list[FrameSpan]:
    """Return the frames of a file, or of the part of a file that ends with it.

    Raises:
        ArchiveDamaged: it is cut off, or none.
    """
    if len(file) < _TAIL.size:
        raise _damaged("the end of an archive file", f"{len(file)} bytes")
    size, magic = _TAIL.unpack(file[-_TAIL.size :])
    if magic != _MAGIC:
        raise _damaged("the end of an archive file", magic.hex())
    if size > min(_INDEX_MAX, len(file) - _TAIL.size):
        raise _damaged(f"an index of at most {_INDEX_MAX} bytes", f"{size} bytes")
    try:
        return _decode_index(file[-_TAIL.size - size : -_TAIL.size])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damaged("an index", str(error)) from None


def read_frame(compressed: bytes, span: FrameSpan) -> list[Detail]:
    """Return what one frame holds.

    Args:
        compressed: the frame.
        span: what the index says of it.

    Raises:
        ArchiveDamaged: it cannot be read.
    """
    import zstandard  # noqa: PLC0415 - 10 ms, only where archived details are read

    if span.raw_size > _RAW_MAX:
        raise _damaged(f"a frame of at most {_RAW_MAX} bytes", f"{span.raw_size} bytes")
    try:
        raw = zstandard.ZstdDecompressor().decompress(compressed, max_output_size=span.raw_size)
        found = list(_unpack(raw))
    except (zstandard.ZstdError, msgspec.MsgspecError, ValueError) as error:
        raise _damaged(f"a whole frame at byte {span.offset}", str(error)) from None
    if tuple(seq for seq, _, _ in found) != span.seqs:
        raise _damaged(f"the entries of the index in the frame at byte {span.offset}", "others")
    return found


def _groups(details: Iterable[Detail]) -> Iterator[list[Detail]]:
    """Cut details into frames."""
    pending: list[Detail] = []
    size = 0
    for detail in details:
        is_large = len(detail[2]) >= LARGE_BYTES
        if pending and (is_large or size >= FRAME_BYTES):
            yield pending
            pending, size = [], 0
        pending.append(detail)
        size += len(detail[2])
        if is_large:
            yield pending
            pending, size = [], 0
    if pending:
        yield pending


def _compress(group: Sequence[Detail]) -> tuple[tuple[int, ...], int, bytes]:
    import zstandard  # noqa: PLC0415 - as above

    raw = b"".join(map(_encode, group))
    compressed = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(raw)
    return tuple(seq for seq, _, _ in group), len(raw), compressed


def _assemble(frames: Iterable[tuple[tuple[int, ...], int, bytes]]) -> bytes:
    parts: list[bytes] = []
    spans: list[FrameSpan] = []
    offset = 0
    for seqs, raw_size, compressed in frames:
        spans.append(FrameSpan(offset, len(compressed), raw_size, seqs))
        parts.append(compressed)
        offset += len(compressed)
    index = _encode(spans)
    head = _HEAD.pack(_SKIPPABLE, len(index) + _TAIL.size)
    return b"".join((*parts, head, index, _TAIL.pack(len(index), _MAGIC)))


def _unpack(raw: bytes) -> Iterator[Detail]:
    """Read one MessagePack array after the other."""
    import msgpack  # noqa: PLC0415 - only where archived details are read

    unpacker = msgpack.Unpacker(raw=False, max_buffer_size=_RAW_MAX, strict_map_key=False)
    unpacker.feed(raw)
    try:
        for item in unpacker:
            yield msgspec.convert(item, Detail)
    except msgpack.UnpackException as error:
        raise ValueError(str(error)) from None


def _damaged(expected: str, got: str) -> errors.ArchiveDamaged:
    return errors.ArchiveDamaged(f"Expected {expected}, got {got}")
