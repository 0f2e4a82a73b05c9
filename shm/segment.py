"""The segment as a file: build it, check it, map it.

The first writer builds it beside its place and renames it there, so that nobody ever sees half a
segment. It is never truncated and never unlinked: a reader that mapped it must not be killed by
SIGBUS, and its inode survives restarts of its writers. An ordered stop marks it closed; the next
start sets the same file back to live. Only a segment of another version or another boot is
replaced.
"""

import contextlib
import errno
import mmap
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from protocols import errors
from shm import layout, locks

__all__ = [
    "Segment",
    "create",
    "current_boot_id",
    "ensure",
    "is_of_another_boot",
    "mark_closed",
    "open_reader",
    "state_of",
]

_HEADER: Final = struct.Struct("=" + "".join(word.code for word in layout.HEADER))
_STATE_OFFSET: Final = next(word.offset for word in layout.HEADER if word.name == "state")
_REGION_TABLE_OFFSET: Final = 128
_REGION_ROW: Final = struct.Struct("=16sQQ")
START_HINT: Final = "start the tree with: supervisor start"


class Segment:
    """A mapped segment. The map lives as long as anything that was made from it."""

    __slots__ = ("_place", "inode", "map", "path", "segment_id")

    def __init__(self, path: Path, descriptor: int, *, writable: bool) -> None:
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self.path, self._place = path, str(path)
        self.map = mmap.mmap(descriptor, layout.SEGMENT_SIZE, access=access)
        self.inode = os.fstat(descriptor).st_ino
        self.segment_id: int = _HEADER.unpack_from(self.map)[6]

    @property
    def is_closed(self) -> bool:
        """An ordered stop has marked it: no writer is at work."""
        state: int = _HEADER.unpack_from(self.map)[7]
        return state != layout.LIVE

    def is_lost(self) -> bool:
        """Say whether somebody removed the file, so that new readers cannot find what is written.

        Not where the whole run directory is gone: then the tree is to end, not to go on.
        """
        try:
            return os.stat(self._place).st_ino != self.inode  # noqa: PTH116 - asked twice a group
        except FileNotFoundError:
            return self.path.parent.exists()


def open_reader(path: Path) -> Segment:
    """Map the segment read-only.

    Raises:
        ClockUnavailable: there is none, it is of another boot, or it was closed by a stop.
        UnsupportedVersion: it was built by a program that this one does not understand.
    """
    with _open(path, os.O_RDONLY) as descriptor:
        header = _read_header(path, descriptor)
        if header.boot_id != current_boot_id():
            raise errors.ClockUnavailable(
                f"Expected a segment of this boot, got one of an earlier boot, at {path}",
                hint=START_HINT,
            )
        if header.state != layout.LIVE:
            raise errors.ClockUnavailable(
                f"Expected a running tree, got a segment that was closed by a stop, at {path}",
                hint=START_HINT,
            )
        return Segment(path, descriptor, writable=False)


def open_writer(path: Path, region: layout.Region) -> tuple[Segment, locks.RegionLock]:
    """Map the segment for writing and take the lock of one region.

    Raises:
        AlreadyRunning: another writer holds the region.
    """
    while True:
        ensure(path)
        with _open(path, os.O_RDWR) as descriptor:
            # A description of its own for the lock: it must live and die with the writer alone.
            lock_descriptor = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)
            lock = locks.RegionLock(lock_descriptor, path, region)
            segment = Segment(path, descriptor, writable=True)
        if segment.inode == path.stat().st_ino:
            return segment, lock
        lock.close()  # replaced between ensure and open


def ensure(path: Path) -> None:
    """Make sure that a live segment of this version and boot is at `path`.

    Raises:
        DiskFull: no room for a new one.
        HomeUnusable: its directory cannot be written.
    """
    if _is_usable(path, layout.LIVE):
        return
    try:
        with locks.build_lock(path):
            if _is_usable(path, layout.LIVE):
                return
            if _is_usable(path, layout.CLOSED):
                _set_state(path, layout.LIVE)
            else:
                _build(path, current_boot_id())
    except PermissionError as error:
        raise errors.HomeUnusable(
            f"Expected to create the segment, got: {error.strerror}, at {path}", field=str(path)
        ) from None


def create(path: Path, boot_id: bytes) -> None:
    """Build a new segment for `boot_id` (16 bytes) in place of whatever is at `path`."""
    with locks.build_lock(path):
        _build(path, boot_id)


def mark_closed(path: Path) -> None:
    """Say that the whole tree has stopped; does nothing where there is no usable segment."""
    with contextlib.suppress(FileNotFoundError), locks.build_lock(path):
        if _is_usable(path, layout.LIVE):
            _set_state(path, layout.CLOSED)


def state_of(path: Path) -> Literal["live", "closed", "unusable"]:
    """Return what a reader would find: a live segment, one that a stop closed, or neither."""
    if _is_usable(path, layout.LIVE):
        return "live"
    return "closed" if _is_usable(path, layout.CLOSED) else "unusable"


def is_of_another_boot(path: Path) -> bool:
    """Say whether a segment was left here before this machine was booted, or elsewhere."""
    try:
        with _open(path, os.O_RDONLY) as descriptor:
            return _read_header(path, descriptor).boot_id != current_boot_id()
    except (errors.ClockUnavailable, errors.UnsupportedVersion):
        return False


def current_boot_id() -> bytes:
    """Return the 16 bytes that name this boot of the machine (random(4))."""
    return bytes.fromhex(_BOOT_ID_FILE.read_text("ascii").replace("-", ""))


_BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")


class _Header:
    """The checked part of a header."""

    __slots__ = ("boot_id", "state")

    def __init__(self, boot_id: bytes, state: int) -> None:
        self.boot_id = boot_id
        self.state = state


def _read_header(path: Path, descriptor: int) -> _Header:
    """Check everything that a reader relies on; what passes may be mapped and believed."""
    data = os.pread(descriptor, _HEADER.size, 0)
    if len(data) < _HEADER.size or data[:8] != layout.MAGIC:
        raise errors.UnsupportedVersion(
            f"Expected a segment that begins with {layout.MAGIC!r}, got {data[:8]!r}, at {path}",
            field="magic",
            hint=START_HINT,
        )
    _, version, version_min, size, boot_first, boot_last, _, state = _HEADER.unpack(data)
    if not version_min <= layout.VERSION <= version:
        raise errors.UnsupportedVersion(
            f"Expected a segment for version {layout.VERSION},"
            f" got one for {version_min}..{version}, at {path}",
            field="version",
            value=str(version),
            hint="restart this program or the tree, whichever is older",
        )
    file_size = os.fstat(descriptor).st_size
    if size != layout.SEGMENT_SIZE or file_size != layout.SEGMENT_SIZE:
        raise errors.UnsupportedVersion(
            f"Expected a segment of {layout.SEGMENT_SIZE} bytes,"
            f" got {size} in a file of {file_size}, at {path}",
            field="size",
            value=str(size),
            hint=START_HINT,
        )
    return _Header(boot_first + boot_last, state)


def _is_usable(path: Path, state: int) -> bool:
    try:
        with _open(path, os.O_RDONLY) as descriptor:
            header = _read_header(path, descriptor)
    except (errors.ClockUnavailable, errors.UnsupportedVersion):
        return False
    return header.boot_id == current_boot_id() and header.state == state


@contextlib.contextmanager
def _open(path: Path, mode: int) -> Iterator[int]:
    try:
        descriptor = os.open(path, mode | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise errors.ClockUnavailable(
            f"Expected a segment, got none, at {path}", hint=START_HINT
        ) from None
    except PermissionError:
        raise errors.ClockUnavailable(
            f"Expected a segment that user {os.geteuid()} may open, got: permission denied,"
            f" at {path}",
            hint="run as the owner of the home, or let its group read the segment",
        ) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _set_state(path: Path, state: int) -> None:
    with _open(path, os.O_RDWR) as descriptor:
        os.pwrite(descriptor, state.to_bytes(8, sys.byteorder), _STATE_OFFSET)


def _build(path: Path, boot_id: bytes) -> None:
    with contextlib.suppress(errors.ClockUnavailable, errors.UnsupportedVersion):
        _set_state_of_predecessor(path)
    new_path = path.with_name(path.name + ".new")
    new_path.unlink(missing_ok=True)  # left by a builder that died; nobody ever mapped it
    descriptor = os.open(new_path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # Reserved now, a full tmpfs is an error here and not a SIGBUS at some later store.
        os.posix_fallocate(descriptor, 0, layout.SEGMENT_SIZE)
        os.pwrite(descriptor, _header_bytes(boot_id), 0)
        new_path.rename(path)
    except OSError as error:
        new_path.unlink(missing_ok=True)
        if error.errno != errno.ENOSPC:
            raise
        raise errors.DiskFull(
            f"Expected {layout.SEGMENT_SIZE} bytes for the segment, got: no space left, at {path}"
        ) from None
    finally:
        os.close(descriptor)


def _set_state_of_predecessor(path: Path) -> None:
    """Mark a segment that is about to be replaced, so that its readers look for the new one."""
    with _open(path, os.O_RDWR) as descriptor:
        _read_header(path, descriptor)
        os.pwrite(descriptor, layout.CLOSED.to_bytes(8, sys.byteorder), _STATE_OFFSET)


def _header_bytes(boot_id: bytes) -> bytes:
    segment_id = int.from_bytes(os.urandom(8), "big") | 1  # never 0, which means "none seen yet"
    header = _HEADER.pack(
        layout.MAGIC,
        layout.VERSION,
        layout.VERSION_MIN,
        layout.SEGMENT_SIZE,
        boot_id[:8],
        boot_id[8:],
        segment_id,
        layout.LIVE,
    )
    regions = b"".join(
        _REGION_ROW.pack(region.name.encode("ascii"), region.offset, region.size)
        for region in (layout.TIME, layout.GENERATIONS, layout.RING)
    )
    return header.ljust(_REGION_TABLE_OFFSET, b"\0") + regions
