"""Where the batches of an import go, so that each line is written once. An edge.

All imports write under one name and one incarnation, whose counters are divided into slots of 4096:
a batch takes the first slot that is free, and its nonces begin with that slot's. A run that was
killed may have up to three batches under way that nobody waits for any more: in the first slots
that are free, which the next run takes too. The writer writes no nonce twice, so that one of the
two is refused; where that is ours, the other has come into the book, and what is in it is read and
passed over. That takes one batch at a time, until so many slots are taken that nothing of an
earlier run can be under way.
"""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Self

import msgspec

from hourbook.book.lines.entry import digest_of, origin_entry
from hourbook.book.lines.reading import DIGEST_SIZE, Reading
from hourbook.book.reader import BookReader
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from protocols import entry, errors
from protocols.book_messages import Append, NewEntry
from protocols.change import JOURNAL_WRITER
from protocols.entry import Entry

if TYPE_CHECKING:
    from hourbook.link.reply import Reply

__all__ = ["IMPORTER", "Batch", "ImportSender", "Slots"]

IMPORTER: Final = "import"
"""Who writes imported entries; who wrote the originals stands in the details."""
INCARNATION: Final = 1
SLOT_COUNTERS: Final = entry.BATCH_ENTRIES_MAX
UNDER_WAY_MAX: Final = 2
"""Batches that the writer has while the next is read: one to write, and one to find waiting."""
TIMEOUT_S: Final = 30.0
ATTEMPTS_MAX: Final = 10_000
"""At one slot that is refused and not yet in the book; a commit takes some milliseconds."""


class Batch(msgspec.Struct):
    """Lines that are written together.

    Attributes:
        readings: of them.
        news: their entries.
        known: how many lines were taken out again, since the book had them by then.
    """

    readings: list[Reading]
    news: list[NewEntry]
    known: int = 0


class Slots:
    """Which slots are taken, as the book says, and which we take."""

    def __init__(self, reader: BookReader | None) -> None:
        self._reader = reader
        self._taken: set[int] = set()
        self._read: set[int] = set()
        self._next = 0

    def read_digests(self) -> Iterator[bytes]:
        """Yield the digests of the lines in slots that were not read before, and note the slots."""
        for slot, origin in self._unread():
            if origin.details_raw is None:
                yield from self._digests_told(origin.seq, slot)
                continue
            digests = origin.details.get("digests") if isinstance(origin.details, dict) else None
            if isinstance(digests, bytes):
                for start in range(0, len(digests), DIGEST_SIZE):
                    yield digests[start : start + DIGEST_SIZE]

    def _unread(self) -> Iterator[tuple[int, Entry]]:
        """Yield each slot that was not read before with its first entry, the origin; note it."""
        slot = 0
        while self._reader is not None:
            while slot in self._read:
                slot += 1
            nonce = entry.make_nonce(INCARNATION, slot * SLOT_COUNTERS)
            first = self._reader.at_nonce(IMPORTER, nonce)
            found = None if first is None else _slot_of(first.nonce)
            if first is None or found is None:
                return
            slot = found
            if slot not in self._read:
                self._read.add(slot)
                self._taken.add(slot)
                yield slot, first

    def _digests_told(self, origin_seq: int, slot: int) -> Iterator[bytes]:
        """Yield the digests that an origin has lost, as far as the entries of its slot tell."""
        assert self._reader is not None
        for kept in self._reader.since(origin_seq):
            if kept.writer != IMPORTER or _slot_of(kept.nonce) != slot:
                return
            if (digest := digest_of(kept)) is not None:
                yield digest

    def is_read(self, slot: int) -> bool:
        """Say whether the lines in a slot are known."""
        return slot in self._read

    def take(self) -> int:
        """Return the first slot that is free, and take it."""
        while self._next in self._taken:
            self._next += 1
        self._taken.add(self._next)
        return self._next


class ImportSender:
    """Hands batches to journal_writer, a few ahead of its answers; a context manager."""

    def __init__(self, home: Home, slots: Slots, file: str) -> None:
        """Connect.

        Args:
            home: whose writer.
            slots: of its book, with the digests read.
            file: the name of the file, for people.
        """
        self._client = MailboxClient(home, JOURNAL_WRITER, IMPORTER, timeout_s=TIMEOUT_S)
        self._slots, self._file = slots, file
        self._under_way: deque[tuple[Reply, Batch]] = deque()
        self._last_line = 0
        self._contended = UNDER_WAY_MAX + 1
        self._late: set[bytes] = set()  # digests that came in after we had read them

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(self, batch: Batch) -> Iterator[Batch]:
        """Send a batch; yield earlier ones that are durable now.

        Raises:
            HourbookError: as the writer refused one; what was yielded is in the book.
        """
        batch = _without(batch, self._late)
        if self._contended or not batch.readings:
            yield self._send_alone(batch) if batch.readings else batch
            return
        self._under_way.append((self._send(batch, self._slots.take()), batch))
        while len(self._under_way) > UNDER_WAY_MAX:
            yield self._settle()

    def finish(self) -> Iterator[Batch]:
        """Yield the batches under way, as they become durable; raises what :meth:`send` raises."""
        while self._under_way:
            yield self._settle()

    def _send(self, batch: Batch, slot: int) -> "Reply":
        nonce = entry.make_nonce(INCARNATION, slot * SLOT_COUNTERS)
        origin = origin_entry(batch.readings, self._file)
        return self._client.send("book.append", Append(IMPORTER, nonce, [origin, *batch.news]))

    def _settle(self) -> Batch:
        """Wait for the oldest batch under way."""
        reply, batch = self._under_way.popleft()
        try:
            reply.wait()
        except errors.HourbookError as error:
            raise self._stopped(error) from None
        self._last_line = batch.readings[-1].number
        return batch

    def _send_alone(self, batch: Batch) -> Batch:
        """Send a batch that one of an earlier run may contend with; return what came in of it."""
        slot, last_line = self._slots.take(), batch.readings[-1].number
        refusal: errors.HourbookError | None = None
        for _ in range(ATTEMPTS_MAX):
            try:
                self._send(batch, slot).wait()
            except errors.NonceExpired:  # nothing can come into this slot any more
                slot = self._slots.take()
                continue
            except errors.HourbookError as error:
                if not isinstance(error, errors.BadRequest) or error.field != "nonce":
                    raise self._stopped(error) from None
                refusal = error
            else:
                break
            self._late.update(self._slots.read_digests())
            if not self._slots.is_read(slot):
                continue  # it was accepted, and is not committed yet
            self._contended = max(0, self._contended - 1)
            batch = _without(batch, self._late)
            if not batch.readings:
                return batch
            slot = self._slots.take()
        else:
            assert refusal is not None
            raise self._stopped(refusal)
        self._contended = max(0, self._contended - 1)
        self._last_line = last_line
        return batch

    def _stopped(self, error: errors.HourbookError) -> errors.HourbookError:
        hint = f"imported up to line {self._last_line}; run it again to go on from there"
        return type(error)(error.message, field=error.field, value=error.value, hint=hint)


def _slot_of(nonce: bytes) -> int | None:
    """Return the slot that a nonce belongs to; None where no import has used it."""
    incarnation, counter = entry.nonce_parts(nonce)
    return counter // SLOT_COUNTERS if incarnation == INCARNATION else None


def _without(batch: Batch, known: set[bytes]) -> Batch:
    """Take out of a batch what another run has brought meanwhile."""
    kept = [
        (reading, new)
        for reading, new in zip(batch.readings, batch.news, strict=True)
        if reading.digest not in known
    ]
    if len(kept) == len(batch.readings):
        return batch
    left = Batch([reading for reading, _ in kept], [new for _, new in kept])
    left.known = batch.known + len(batch.readings) - len(kept)
    return left
