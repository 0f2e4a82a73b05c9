"""A writer killed after any of its stores leaves what readers and its successor can use."""

import signal
from pathlib import Path

import pytest
from fakes import c_programs
from fakes.time_pages import page_now, reader_of
from ring_records import records_from

from hourbook.home import Home
from shm import layout, segment
from shm.reader import RingReader
from shm.writer import RingWriter, TimeWriter

STORES = 2 * (1 + 31 + 1)
"""In one publication: odd, words, even; in the page, then in the shadow."""
EVERY_STORE = {
    "atomics.h": [
        (
            "atomic_store_explicit(word, value, memory_order_relaxed);",
            "atomic_store_explicit(word, value, memory_order_relaxed); after_store();",
        ),
        (
            "atomic_store_explicit(word, value, memory_order_release);",
            "atomic_store_explicit(word, value, memory_order_release); after_store();",
        ),
    ]
}


@pytest.fixture(scope="module")
def dying_writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program that is killed after its k-th store."""
    source = Path(__file__).with_name("dying_writer.c")
    return c_programs.build(tmp_path_factory.mktemp("dying"), source, EVERY_STORE)


def test_page_survives_a_kill_after_each_store(dying_writer: Path, home: Home) -> None:
    """Readers have the old page or the new one, whole; the successor repairs and goes on."""
    conditions = []
    for k in range(1, STORES + 1):
        first = TimeWriter(home.segment)
        old = first.publish(
            page_now(sigma_offset_ns=1, sigma_rate_ppb=1, q68_ns=1, q95_ns=1), is_step=True
        )
        first.close()
        died = c_programs.run(dying_writer, home.segment, "page", k)
        reader = reader_of(segment.open_reader(home.segment).map)
        seen, before = reader.snapshot(), reader.now()

        successor = TimeWriter(home.segment)

        assert died.returncode == -signal.SIGKILL
        assert {seen.sigma_offset_ns, seen.sigma_rate_ppb, seen.q68_ns, seen.q95_ns} in ({1}, {2})
        page = successor.page()
        assert page is not None
        assert page.epoch == old.epoch
        assert page.seq % 2 == 0
        assert page.sigma_offset_ns == page.q95_ns == seen.q95_ns
        after = reader.now()
        assert after.time_ns > before.time_ns
        assert after.earliest_ns <= before.earliest_ns + (after.time_ns - before.time_ns) + 2
        assert after.status is layout.Status.SYNCHRONIZED
        conditions.append(successor.condition)
        successor.close()
    assert conditions == ["repaired"] * 32 + ["clean"] * 34


def test_first_publication_killed_anywhere_leaves_no_half_page(
    dying_writer: Path, home: Home
) -> None:
    """Until it is whole there is nothing; a torn one must be followed by a new epoch."""
    for k in (1, 2, 17, 32, 33, 40, 66):
        segment.create(home.segment, segment.current_boot_id())
        c_programs.run(dying_writer, home.segment, "page", k)
        reader = reader_of(segment.open_reader(home.segment).map)
        seen = reader.snapshot()

        successor = TimeWriter(home.segment)

        assert successor.condition == ("torn" if k < 33 else "clean")
        assert seen.sigma_offset_ns == (0 if k < 33 else 2)
        successor.publish(page_now(), is_step=True)
        assert reader.now().status is layout.Status.SYNCHRONIZED
        successor.close()


def test_ring_survives_a_kill_after_each_kind_of_store(dying_writer: Path, home: Home) -> None:
    """An unfinished record was never published, and the successor writes over it."""
    stores = 1 + 2 + 125_000 + 2 + 1
    for k in (1, 2, 3, 60_000, stores - 3, stores - 2, stores - 1, stores):
        segment.create(home.segment, segment.current_boot_id())
        first = RingWriter(home.segment)
        first.rewind(0)
        first.publish(1, [bytes([seq]) * 1_000_000 for seq in (1, 2, 3, 4)])
        first.close()
        died = c_programs.run(dying_writer, home.segment, "ring", k)
        head_seq = 5 if k == stores else 4

        successor = RingWriter(home.segment)
        successor.rewind(head_seq)
        successor.publish(head_seq + 1, [b"next"])

        assert died.returncode == -signal.SIGKILL
        reader = RingReader(segment.open_reader(home.segment))
        records, _ = records_from(reader, reader.tail())
        assert [seq for seq, _ in records] == list(range(2, head_seq + 2))
        assert all(p == bytes([seq]) * 1_000_000 for seq, p in records[:-1])
        successor.close()
