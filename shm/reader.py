"""The reading faces of the segment. They never write to the map and never wait for a writer.

Hot methods are the C ones, bound without a layer between. What agents see of the clock,
``hourbook.faces.clock.Clock``, stands on the TimeReader.
"""

from mmap import mmap
from pathlib import Path
from typing import Final

from protocols import errors
from shm import _core
from shm._core import Lapped
from shm.layout import Status
from shm.segment import Segment, open_reader

__all__ = ["GenerationReader", "Lapped", "RingReader", "TimeReader"]

_STATUSES: Final = (
    Status.UNKNOWN, Status.SYNCHRONIZED, Status.FREE_RUNNING, Status.DISRUPTED
)  # fmt: skip
"""In the order of their numbers on the page."""


class TimeReader:
    """The time page; threads may share it, and a forked child may go on using it.

    Attributes:
        path: of the segment. One that takes its place is read from then on.
        now, time_ns, at, uncertainty_ns, snapshot: methods of C; what they return is said where
            agents see them, at ``hourbook.faces.clock.Clock``.
    """

    __slots__ = (
        "__weakref__", "_segment", "at", "now", "path", "snapshot", "time_ns", "uncertainty_ns",
    )  # fmt: skip

    def __init__(self, path: Path) -> None:
        """Open a segment.

        Raises:
            ClockUnavailable: no tree has run here since boot, or it was stopped.
            UnsupportedVersion: the tree runs another version of Hourbook.
        """
        self.path: Final = path
        self._segment = open_reader(path)
        reader = _core.TimeReader(self._segment.map, _STATUSES, self._reopened)
        self.now: Final = reader.now
        self.time_ns: Final = reader.time_ns
        self.at: Final = reader.at
        self.uncertainty_ns: Final = reader.uncertainty_ns
        self.snapshot: Final = reader.snapshot

    def _reopened(self) -> mmap | None:
        """Return another segment that took this one's place, if there is one.

        Called by the C reader at most once a second, when the page is old, empty or closed.
        """
        try:
            if self.path.stat().st_ino == self._segment.inode:
                return None
            self._segment = open_reader(self.path)
        except (OSError, errors.HourbookError):
            return None  # an old page with an honest age is better than none
        return self._segment.map


class GenerationReader:
    """The counters that tell whether a cached value still holds.

    Attributes:
        load: ``load(bucket) -> int``, the counter of a bucket (0..4095), loaded with acquire.
        segment_id: a value cached under another segment's counters must be dropped.
    """

    __slots__ = ("load", "segment_id")

    def __init__(self, segment: Segment) -> None:
        self.load: Final = _core.GenerationReader(segment.map).load
        self.segment_id: Final = segment.segment_id


class RingReader:
    """The feed of committed entries.

    Attributes:
        head: ``head() -> (position, seq)``, where the next record will go, and the last one's seq.
        tail: ``tail() -> position`` of the oldest record that is still whole.
        read: ``read(position, seen_seq, limit, needles=(), timeout_s=0) -> (payloads, seen_seq,
            next_position, position_seq)``: of at most `limit` records (>= 1) from `position` on,
            those after `seen_seq` whose payload holds one of each tuple of `needles`; how far that
            goes; and where to read on, with the seq of the record before. Asleep, and looking on,
            while there are none. A record without its payload, after `seen_seq`, ends it:
            `position_seq` is then above `seen_seq`, and what lies between is to be read in the
            database. Raises Lapped where the position was overwritten.
        wait: ``wait(seen_seq, timeout_s) -> bool``, asleep until the head's seq is another.
    """

    __slots__ = ("head", "read", "segment", "tail", "wait")

    def __init__(self, segment: Segment) -> None:
        ring = _core.RingReader(segment.map)
        self.segment: Final = segment
        self.head: Final = ring.head
        self.tail: Final = ring.tail
        self.read: Final = ring.read
        self.wait: Final = ring.wait
