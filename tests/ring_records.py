"""What a feed ring holds, record by record: as tests compare it, not as one follows it."""

from shm import _core
from shm.reader import RingReader

__all__ = ["Record", "records_from"]

Record = tuple[int, bytes | None]
"""Seq and payload; None is a stub's."""


def records_from(
    ring: RingReader | _core.RingReader, position: int, count: int = 1 << 30
) -> tuple[list[Record], int]:
    """Return up to `count` records from `position` on, and the position after them."""
    records: list[Record] = []
    end = ring.head()[0]
    while position != end and len(records) < count:
        payloads, _, position, seq = ring.read(position, 0, 1)
        records.append((seq, payloads[0] if payloads else None))
    return records, position
