"""1 000 power cuts under the real BookWriter: what was acknowledged is there, the rest is sound.

The disk keeps any of what was not synced (``fakes/tearing_disk.py``). A book lives through twenty
cuts: while it is made, opened, written, checkpointed or vacuumed, while keys of its store are
written, while its signing key changes, and while an earlier cut is being recovered from. (The key
files are on a real disk: each is synced before anything rests on it.)
"""

import contextlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from books import STAMP, append
from fakes.tearing_disk import Disk, PowerCut, TearingVfs
from kv_writes import increment, kv_write, put

from hourbook.book.proof.keys import SiteKey
from hourbook.book.proof.verify import verify_book
from hourbook.book.store.rebuild import find_fault
from hourbook.book.writer import BookWriter
from protocols.book_messages import Append
from protocols.entry import make_nonce
from protocols.key_messages import RotateKey
from protocols.kv_messages import Delete, KvWrite, Op

CUTS = 1000
CUTS_OF_ONE_BOOK = 20
GROUP_ENTRIES_MAX = 5
DETAILS_BYTES_MAX = 9000


class Counters:
    """Stands for the segment's counters.

    Attributes:
        odd: buckets that are.
    """

    def __init__(self) -> None:
        self.odd: set[int] = set()

    def begin(self, buckets: Sequence[int]) -> None:
        """Make counters odd."""
        self.odd.update(buckets)

    def end(self, buckets: Sequence[int]) -> None:
        """Make counters even."""
        self.odd.difference_update(buckets)


class Life:
    """One book on one disk, from cut to cut."""

    def __init__(self, vfs: TearingVfs, keys_dir: Path, rng: random.Random, level: str) -> None:
        self._vfs, self._keys_dir, self._rng = vfs, keys_dir, rng
        self._connect = vfs.connector(level)
        self._counter = 1
        self._counters = Counters()
        self.acknowledged: list[bytes] = []
        """Hashes, in the order of their seq."""
        self.pending = 0
        """Entries of the group that was being written when the power went."""

    def run_until_cut(self) -> None:
        """Open the book, check it, use it until the power goes, and sometimes once more at once."""
        rng = self._rng
        writer = self._open()
        self._check(writer)
        self._vfs.disk.cut_power_after(rng.randrange(40))
        with contextlib.suppress(PowerCut):
            while rng.random() > 0.02:
                self._act(writer)
        assert self._counters.odd == set(), "a counter stayed odd"
        self._cut()
        while rng.random() < 0.3:
            self._vfs.disk.cut_power_after(rng.randrange(12))
            with contextlib.suppress(PowerCut):
                self._open()
            self._cut()

    def _cut(self) -> None:
        self._vfs.cut_power(self._rng)

    def _check(self, writer: BookWriter) -> None:
        """What is left verifies, misses nothing, holds one group more at most, and can go on."""
        verdict = writer.query(lambda book: verify_book(book, all_signatures=True))
        assert verdict.ok, verdict.problem
        assert writer.query(find_fault) is None, "a table does not say what the entries do"
        found = [row[0] for row in self._rows(writer)]
        count = len(self.acknowledged)
        assert found[:count] == self.acknowledged, "an acknowledged entry is missing"
        assert len(found) - count in (0, self.pending), "part of a group is there"
        self.acknowledged, self.pending = found, 0
        self._commit(writer, 1)

    def _open(self) -> BookWriter:
        return BookWriter.open(
            Path("/book.db"), self._keys_dir, connect=self._connect, generations=self._counters
        )

    def _rows(self, writer: BookWriter) -> list[tuple[bytes]]:
        sql = "SELECT hash FROM entry ORDER BY seq"
        return writer.query(lambda book: book.execute(sql).fetchall())

    def _act(self, writer: BookWriter) -> None:
        match self._rng.randrange(30):
            case 0:
                self._rotate_key(writer)
            case 1 | 2 | 3:
                writer.checkpoint(truncate=self._rng.random() < 0.5)
            case 4 | 5 | 6:
                writer.vacuum(1)
            case number if number % 3 == 0:
                self._write_keys(writer)
            case _:
                self._commit(writer, self._rng.randint(1, GROUP_ENTRIES_MAX))

    def _commit(self, writer: BookWriter, count: int) -> None:
        details = self._rng.randbytes(self._rng.randrange(DETAILS_BYTES_MAX))
        self._write(writer, append(self._counter, count, details=details), count)

    def _write_keys(self, writer: BookWriter) -> None:
        """Write some of few keys, so that they are overwritten, deleted and written again."""
        rng = self._rng
        value = "x" * rng.randrange(3000)
        ops: list[Op] = []
        for key in rng.choices("abcd", k=rng.randint(1, GROUP_ENTRIES_MAX)):
            ops += [rng.choice((put(key, value), increment(f"n{key}")))]
            ops += [Delete(key=ops[-1].key)] * rng.randrange(2)
        self._write(writer, kv_write(*ops), len(ops))
        assert self._counters.odd == set(), "a counter stayed odd"

    def _rotate_key(self, writer: BookWriter) -> None:
        nonce = make_nonce(1, self._counter << 17)
        self._write(writer, RotateKey(writer="operator", nonce=nonce), 1)

    def _write(self, writer: BookWriter, request: Append | RotateKey | KvWrite, count: int) -> None:
        self._counter += count
        self.pending = count
        self.acknowledged += [row[-1] for row in writer.write([request], STAMP).rows]
        self.pending = 0


@pytest.fixture
def vfs(request: pytest.FixtureRequest) -> Iterator[TearingVfs]:
    """Return a disk to put under SQLite, for the length of a test."""
    made = TearingVfs(f"tearing-{request.node.name}")
    yield made
    made.close_connections()
    made.unregister()


def live_through(
    vfs: TearingVfs, keys_dir: Path, rng: random.Random, cuts: int, level: str = "FULL"
) -> None:
    """Cut the power so often, and check the book after each time."""
    SiteKey.create(keys_dir)
    for begin in range(0, cuts, CUTS_OF_ONE_BOOK):
        vfs.disk = Disk()
        life = Life(vfs, keys_dir, rng, level)
        for _ in range(min(CUTS_OF_ONE_BOOK, cuts - begin)):
            life.run_until_cut()


def test_every_acknowledged_entry_survives_1000_power_cuts(
    vfs: TearingVfs, tmp_path: Path, rng: random.Random
) -> None:
    """After each cut the book verifies, holds what was acknowledged, and takes the next entry."""
    live_through(vfs, tmp_path, rng, CUTS)


def test_power_cuts_find_a_book_that_syncs_too_little(
    vfs: TearingVfs, tmp_path: Path, rng: random.Random
) -> None:
    """With ``synchronous=NORMAL`` the same lives lose entries: the test above has teeth."""
    with pytest.raises(AssertionError, match="an acknowledged entry is missing"):
        live_through(vfs, tmp_path, rng, CUTS, "NORMAL")
