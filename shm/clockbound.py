"""A segment of ClockBound's protocol, version 2, for clients that know that and nothing of us.

Source: docs/PROTOCOL.md of github.com/aws/clock-bound; 80 bytes in the byte order of the machine.
The path may be one where a real clockbound would write. It is never touched unless *we* made the
file that is there: beside it lies ``<path>.hourbook``, which is locked as long as we publish and
names the file that is ours. Should anybody else write into that, we stop, and it is ours no more.
"""

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from protocols import errors
from shm import _core
from shm.layout import Region
from shm.locks import RegionLock

__all__ = ["CLOCKBOUND_SIZE", "ClockBoundFile", "ClockBoundRecord"]

CLOCKBOUND_SIZE: Final = 80
_MAGIC: Final = (0x414D5A4E, 0x43420200)
_HEADER: Final = struct.Struct("=IIIHH")
_BODY: Final = struct.Struct("=qqqqqQIiB7x")
_OWNED: Final = Region("clockbound", 0, 1)
_NS: Final = 1_000_000_000
_READABLE_BY_ALL: Final = 0o644
_HINT: Final = "choose another clockbound_path, or remove that file if nobody needs it"


class ClockBoundRecord(NamedTuple):
    """What a ClockBound client is told.

    Attributes:
        as_of_ns: CLOCK_MONOTONIC_COARSE at which the bound holds.
        void_after_ns: CLOCK_MONOTONIC_COARSE from which nothing is promised.
        bound_ns: UTC is within CLOCK_REALTIME +- this, at as_of (>= 0).
        disruption_marker: of /dev/vmclock0, 0 where there is none.
        max_drift_ppb: by how much the bound grows with age (0..2^32 - 1).
        status: 0 unknown, 1 synchronized, 2 free-running, 3 disrupted.
        has_disruption_support: there is a /dev/vmclock0.
    """

    as_of_ns: int
    void_after_ns: int
    bound_ns: int
    disruption_marker: int
    max_drift_ppb: int
    status: int
    has_disruption_support: bool

    def pack(self) -> bytes:
        """Return the 64 bytes that follow the header."""
        return _BODY.pack(
            *divmod(self.as_of_ns, _NS),
            *divmod(self.void_after_ns, _NS),
            self.bound_ns,
            self.disruption_marker,
            self.max_drift_ppb,
            self.status,
            self.has_disruption_support,
        )


class ClockBoundFile:
    """The right to publish at one path, and the map of the file there."""

    def __init__(self, path: Path) -> None:
        """Take the path, and create the file or go on with the one that we once made.

        Raises:
            HomeUnusable: somebody else's file is there, or none can be made.
            AlreadyRunning: another Hourbook publishes there.
        """
        self._path = path
        self._claim = path.with_name(f"{path.name}.hourbook")
        self._generation = 0
        with self._errors_in_words():
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._lock = RegionLock(os.open(self._claim, flags, 0o600), self._claim, _OWNED)
            try:
                self._open()
            except OSError:
                self._lock.close()
                raise

    def publish(self, record: ClockBoundRecord) -> None:
        """Publish a record.

        Raises:
            HomeUnusable: somebody else has written here, or put another file here.
        """
        with self._errors_in_words():
            if self._writer.generation != self._generation or not self._is_ours():
                self._claim.write_text("")
                raise self._unusable("another program writes there, too")
            self._generation = self._writer.publish(record.pack())

    def close(self) -> None:
        """Give the path up; clients keep the last record until it is void."""
        self._lock.close()

    def _open(self) -> None:
        if not self._path.exists() and not self._path.is_symlink():
            self._create()
        elif not self._is_ours():
            raise self._unusable("a file of somebody else")
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._writer = _core.ClockBoundWriter(mmap.mmap(descriptor, CLOCKBOUND_SIZE))
        finally:
            os.close(descriptor)
        self._generation = self._writer.generation

    def _create(self) -> None:
        """Make the file beside its place and link it there, so that nothing is ever replaced."""
        new = self._path.with_name(f"{self._path.name}.hourbook.new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Version and generation 0: not usable until the first publication.
            os.write(descriptor, _HEADER.pack(*_MAGIC, CLOCKBOUND_SIZE, 0, 0) + bytes(_BODY.size))
            os.fchmod(descriptor, _READABLE_BY_ALL)
            self._claim.write_text(_identity(os.fstat(descriptor)))
            self._path.hardlink_to(new)
        finally:
            os.close(descriptor)
            new.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        """Say whether the file at the path is the one that we made, and whole."""
        with contextlib.suppress(FileNotFoundError):
            file = self._path.lstat()
            return file.st_size == CLOCKBOUND_SIZE and self._claim.read_text() == _identity(file)
        return False

    @contextlib.contextmanager
    def _errors_in_words(self) -> Iterator[None]:
        try:
            yield
        except errors.HourbookError:
            raise
        except OSError as error:
            raise self._unusable(f"{error.strerror}") from None

    def _unusable(self, got: str) -> errors.HomeUnusable:
        return errors.HomeUnusable(
            f"Expected to publish a ClockBound segment, got: {got}, at {self._path}",
            field="clockbound_path",
            hint=_HINT,
        )


def _identity(file: os.stat_result) -> str:
    return f"{file.st_dev} {file.st_ino}\n"
