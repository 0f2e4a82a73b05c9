"""The writing faces of the segment: one object for each region, alone by lock.

A writer makes sure that the segment exists, takes its region's lock, and repairs what a predecessor
that died inside an update has left. Writers are not for sharing between threads.
"""

from collections.abc import Sequence
from pathlib import Path

from shm import _core, layout, segment

__all__ = ["GenerationWriter", "RingWriter", "TimeWriter"]


class TimeWriter:
    """Publishes the time page."""

    def __init__(self, path: Path) -> None:
        """Open the time region of the segment at `path`.

        Raises:
            AlreadyRunning: another process publishes here.
        """
        self.segment, self._lock = segment.open_writer(path, layout.TIME)
        self._page = _core.TimePageWriter(self.segment.map)

    @property
    def condition(self) -> str:
        """How the page was found: ``empty``, ``clean``, ``repaired``, or ``torn``.

        A torn page could not be repaired, and readers have none until the first publication.
        """
        return self._page.condition

    def page(self) -> layout.TimePage | None:
        """Return the page that readers have, None where there is none."""
        page = self._page.page()
        return None if page is None else layout.TimePage.unpack(page)

    def publish(self, proposal: layout.TimePage, *, is_step: bool) -> layout.TimePage:
        """Publish a proposal and return the page that it became.

        A proposal holds the line of UTC as estimated: `utc_at_as_of_ns` is the centre at its own
        `as_of_raw_ns`, with the interval about it. It is anchored at an as_of that is read inside
        the update. A step jumps to the proposal's line; otherwise the output goes on where it is,
        and the interval is taken about that.

        Raises:
            ValueError: the first publication of a segment is no step.
        """
        return layout.TimePage.unpack(self._page.publish(proposal.pack(), is_step))

    def close(self) -> None:
        """Give the region up; readers keep the last page."""
        self._lock.close()


class GenerationWriter:
    """Marks buckets of keys while a commit touches them."""

    def __init__(self, path: Path) -> None:
        """Open the generation table of the segment at `path`.

        Raises:
            AlreadyRunning: another process commits here.
        """
        self.segment, self._lock = segment.open_writer(path, layout.GENERATIONS)
        self._table = _core.GenerationWriter(self.segment.map)

    def is_unused(self) -> bool:
        """Say whether no writer has begun in this segment yet (:meth:`reset_all`)."""
        return self._table.load(0) == 0

    def begin(self, buckets: Sequence[int]) -> None:
        """Make the counters odd: before the COMMIT. Buckets (0..4095) may repeat."""
        self._table.begin(buckets)

    def end(self, buckets: Sequence[int]) -> None:
        """Make the counters even: after the COMMIT, or after its rollback."""
        self._table.end(buckets)

    def reset_all(self) -> None:
        """Raise every counter to a new even value: once, when the database is open."""
        self._table.reset_all()

    def close(self) -> None:
        """Give the region up."""
        self._lock.close()


class RingWriter:
    """Feeds committed entries to whoever follows."""

    def __init__(self, path: Path) -> None:
        """Open the feed ring of the segment at `path`.

        Raises:
            AlreadyRunning: another process feeds here.
        """
        self.segment, self._lock = segment.open_writer(path, layout.RING)
        self._ring = _core.RingWriter(self.segment.map)

    def rewind(self, head_seq: int) -> None:
        """Say which seq the database holds, before the first publication.

        Where the ring agrees nothing changes; otherwise every follower is lapped, once.
        """
        self._ring.rewind(head_seq)

    def forget(self, head_seq: int) -> None:
        """Overwrite every record: followers read on in the database, from where they are.

        Args:
            head_seq: the last seq that was published (>= 1).
        """
        self._ring.rewind(head_seq - 1)  # laps whoever reads now, before anything is overwritten
        begin = layout.RING.offset + layout.RING_DATA_OFFSET
        self.segment.map[begin : begin + layout.RING_DATA_SIZE] = bytes(layout.RING_DATA_SIZE)
        self._ring.rewind(head_seq)

    def publish(
        self, first_seq: int, payloads: Sequence[bytes | None], *, wake: bool = True
    ) -> None:
        """Append one record for each payload, numbered from `first_seq`, and wake all followers.

        None, and a payload above RING_PAYLOAD_BYTES_MAX, becomes a stub: "read the database".
        With `wake` off whoever sleeps stays asleep until :meth:`wake`; who looks finds it all.

        Raises:
            ValueError: `first_seq` does not follow the last one.
        """
        self._ring.publish(first_seq, payloads, wake)

    def wake(self) -> int:
        """Wake all who sleep; return how many those were."""
        return self._ring.wake()

    def close(self) -> None:
        """Give the region up."""
        self._lock.close()
