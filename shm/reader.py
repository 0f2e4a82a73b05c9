"""The reading faces of the segment. They never write to the map and never wait for a writer.

Hot methods are the C ones, bound without a layer between. The clock's face is
``hourbook.faces.clock.Clock``.
"""

from typing import Final

from shm import _core
from shm._core import Lapped
from shm.segment import Segment

__all__ = ["GenerationReader", "Lapped", "RingReader"]


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
