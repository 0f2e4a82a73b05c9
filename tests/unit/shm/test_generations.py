"""The generation table: odd while a commit is under way, and never the same even value twice."""

import pytest

from hourbook.home import Home
from shm import segment
from shm.reader import GenerationReader
from shm.writer import GenerationWriter


def test_counters_are_odd_between_begin_and_end(home: Home) -> None:
    """Only the buckets that were named change, and they end two higher."""
    table = GenerationWriter(home.segment)
    reader = GenerationReader(segment.open_reader(home.segment))

    table.begin([7, 7, 4095])
    during = [reader.load(bucket) for bucket in (6, 7, 4095)]
    table.end([7, 4095])

    assert during == [0, 1, 1]
    assert [reader.load(bucket) for bucket in (6, 7, 4095)] == [0, 2, 2]
    table.close()


def test_reset_gives_every_counter_a_new_even_value(home: Home) -> None:
    """Also the ones that a dead writer left odd."""
    dead = GenerationWriter(home.segment)
    dead.begin([1])
    dead.close()
    table = GenerationWriter(home.segment)
    reader = GenerationReader(segment.open_reader(home.segment))

    table.reset_all()

    assert [reader.load(bucket) for bucket in (0, 1, 4095)] == [2, 2, 2]
    table.close()


@pytest.mark.parametrize("bucket", [-1, 4096, 1 << 70])
def test_bucket_out_of_range_is_refused_before_any_change(home: Home, bucket: int) -> None:
    """A batch is checked whole."""
    table = GenerationWriter(home.segment)
    reader = GenerationReader(segment.open_reader(home.segment))

    with pytest.raises((ValueError, OverflowError)):
        table.begin([3, bucket])
    with pytest.raises((ValueError, OverflowError)):
        reader.load(bucket)

    assert reader.load(3) == 0
    table.close()
