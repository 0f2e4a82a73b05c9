"""What the C reader and writer of the time page promise, one page at a time."""

import copy
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest
from fakes.time_pages import page_now, raw_ns, reader_of, segment_bytes, state

from hourbook.home import Home
from shm import _core, layout, segment, writer
from shm.layout import UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS, Status

S = 1_000_000_000


def test_first_publication_begins_an_epoch(home: Home) -> None:
    """The output is the proposal's line; seq is even; the step is dated inside the update."""
    publisher = writer.TimeWriter(home.segment)
    before_ns = raw_ns()

    page = publisher.publish(page_now(), is_step=True)

    assert publisher.condition == "empty"
    assert page.seq == 2
    assert before_ns <= page.last_step_raw_ns == page.as_of_raw_ns <= raw_ns()
    assert 0 <= page.utc_at_as_of_ns - 1_800_000_000_000_000_000 < S
    publisher.close()


def test_first_publication_cannot_continue(home: Home) -> None:
    """There is no line to go on from."""
    publisher = writer.TimeWriter(home.segment)

    with pytest.raises(ValueError, match="must be a step"):
        publisher.publish(page_now(), is_step=False)
    publisher.close()


def test_publication_continues_the_output_and_keeps_the_interval(home: Home) -> None:
    """A proposal 1 ms ahead moves the interval, not the output; the interval still holds both."""
    publisher = writer.TimeWriter(home.segment)
    first = publisher.publish(page_now(), is_step=True)
    ahead = page_now(
        as_of_raw_ns=first.as_of_raw_ns, utc_at_as_of_ns=first.utc_at_as_of_ns + 3_000_000
    )

    page = publisher.publish(ahead, is_step=False)

    elapsed_ns = page.as_of_raw_ns - first.as_of_raw_ns
    assert page.utc_at_as_of_ns == first.utc_at_as_of_ns + elapsed_ns
    assert page.earliest_off_ns == pytest.approx(2_000_000, abs=elapsed_ns // 10_000 + 2)
    assert page.latest_off_ns == pytest.approx(4_000_000, abs=elapsed_ns // 10_000 + 2)
    reading = reader_of(segment.open_reader(home.segment).map).at(page.as_of_raw_ns)
    assert reading.earliest_ns == reading.time_ns == page.utc_at_as_of_ns
    assert reading.latest_ns == page.utc_at_as_of_ns + page.latest_off_ns
    publisher.close()


def test_reader_of_an_empty_page_gives_the_kernels_time_unbounded() -> None:
    """UNKNOWN, as data: starting before the publisher is no error."""
    reader = reader_of(segment_bytes(layout.TimePage()))

    reading = reader.now()

    assert reading.status is Status.UNKNOWN
    assert abs(reading.time_ns - time.time_ns()) < S
    assert abs(reader.time_ns() - time.time_ns()) < S
    assert (reading.earliest_ns, reading.latest_ns) == (UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS)
    assert reader.uncertainty_ns() is None
    assert reader.snapshot().age_ns == -1


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, Status.SYNCHRONIZED),
        ({"state": state(Status.FREE_RUNNING)}, Status.FREE_RUNNING),
        ({"state": state(Status.UNKNOWN)}, Status.UNKNOWN),
        ({"state": state(Status.DISRUPTED)}, Status.DISRUPTED),
        ({"state": state(9)}, Status.UNKNOWN),
        ({"published_raw_ns": -4 * S}, Status.SYNCHRONIZED),
        ({"published_raw_ns": -6 * S}, Status.FREE_RUNNING),
        ({"last_sample_raw_ns": -63 * S}, Status.SYNCHRONIZED),
        ({"last_sample_raw_ns": -65 * S}, Status.FREE_RUNNING),
        ({"void_after_raw_ns": -1}, Status.UNKNOWN),
        ({"last_step_raw_ns": S}, Status.UNKNOWN),
        ({"boottime_minus_monotonic_ns": -S}, Status.DISRUPTED),
        ({"boottime_minus_monotonic_ns": S}, Status.DISRUPTED),
        ({"boottime_minus_monotonic_ns": 1_000_000}, Status.SYNCHRONIZED),
    ],
    ids=str,
)
def test_status_is_recomputed_from_age(changes: dict[str, int], status: Status) -> None:
    """Each row of the table in SEGMENT.md; RAW times are relative to now."""
    page = page_now()
    absolute: dict[str, Any] = {
        name: value if name == "state" else getattr(page, name) + value
        if name == "boottime_minus_monotonic_ns" else page.as_of_raw_ns + value
        for name, value in changes.items()
    }  # fmt: skip

    reading = reader_of(segment_bytes(page._replace(**absolute))).now()

    assert reading.status is status


def test_interval_is_unbounded_after_a_suspend() -> None:
    """RAW stood still: no interval can be right."""
    page = page_now()
    slept = page._replace(boottime_minus_monotonic_ns=page.boottime_minus_monotonic_ns - S)

    reading = reader_of(segment_bytes(slept)).now()

    assert reading.latest_ns == UNBOUNDED_LATEST_NS
    assert reader_of(segment_bytes(slept)).snapshot().is_suspended


def test_interval_grows_into_past_and_future() -> None:
    """Growth is by distance from as_of, on both sides; sigma grows too."""
    page = page_now(last_step_raw_ns=0, sigma_offset_ns=5, sigma_rate_ppb=10)
    reader = reader_of(segment_bytes(page))

    later, earlier = (reader.at(page.as_of_raw_ns + d) for d in (100 * S, -100 * S))

    assert later.latest_ns - later.time_ns == 1_000_000 + 5_000_000 + 1
    assert earlier.time_ns - earlier.earliest_ns == 1_000_000 + 5_000_000 + 1
    assert later.sigma_ns == earlier.sigma_ns == 5 + 1000


def test_instant_before_the_last_step_is_unknown() -> None:
    """What RAW meant then was another epoch's business."""
    page = page_now()
    reader = reader_of(segment_bytes(page._replace(last_step_raw_ns=page.as_of_raw_ns)))

    reading = reader.at(page.as_of_raw_ns - 1)

    assert reading.status is Status.UNKNOWN
    assert reading.earliest_ns == UNBOUNDED_EARLIEST_NS


def test_slew_ends_by_itself() -> None:
    """A publisher that died in the middle of a slew does not slew for ever."""
    page = page_now(slew_ppb=500_000)
    slewing = page._replace(slew_end_raw_ns=page.as_of_raw_ns + S)
    reader = reader_of(segment_bytes(slewing))

    gained_ns = [
        reader.at(slewing.as_of_raw_ns + dt).time_ns - slewing.utc_at_as_of_ns - dt
        for dt in (-S, 0, S // 2, S, 100 * S)
    ]

    assert gained_ns == [0, 0, 250_000, 500_000, 500_000]


def test_uncertainty_looks_ahead() -> None:
    """It is the larger distance to an end, and grows with the look."""
    reader = reader_of(segment_bytes(page_now(earliest_off_ns=-3_000_000)))

    now_ns, later_ns = reader.uncertainty_ns(), reader.uncertainty_ns(ahead_s=3600)

    assert now_ns is not None
    assert later_ns is not None
    assert 3_000_000 < now_ns < 3_100_000
    assert later_ns - now_ns == pytest.approx(180_000_000, abs=10_000)


@pytest.mark.parametrize("ahead_s", [-1, float("nan"), float("inf"), 2e9])
def test_uncertainty_refuses_no_future(ahead_s: float) -> None:
    """Only a finite distance ahead makes sense."""
    with pytest.raises(ValueError, match="ahead_s must be in"):
        reader_of(segment_bytes(page_now())).uncertainty_ns(ahead_s)


def test_stuck_writer_leaves_the_last_good_page() -> None:
    """Seq stays odd: the shadow is read, and the status says that something is wrong."""
    good = page_now(seq=8)
    torn = page_now(seq=9, utc_at_as_of_ns=0, rate=1 << 40)
    reader = reader_of(segment_bytes(torn, good))

    started_ns = time.monotonic_ns()
    reading = reader.now()
    first_ns = time.monotonic_ns() - started_ns

    assert reading.status is Status.FREE_RUNNING
    assert 0 <= reading.time_ns - good.utc_at_as_of_ns < 10 * S
    assert reader.snapshot().is_stale
    assert first_ns >= 100_000, "it was patient once"
    started_ns = time.monotonic_ns()
    for _ in range(1000):
        reader.time_ns()
    assert time.monotonic_ns() - started_ns < 1000 * 50_000, "and only once"


def test_stuck_first_publication_is_unknown() -> None:
    """A new reader without any complete page says so."""
    reader = reader_of(segment_bytes(page_now(seq=1), layout.TimePage()))

    assert reader.now().status is Status.UNKNOWN


def test_reader_moves_to_the_segment_that_replaced_its_own() -> None:
    """An old page makes the reader look, at most once a second, and switch where there is one."""
    old = page_now()
    old = old._replace(as_of_raw_ns=old.as_of_raw_ns - 6 * S)
    new = segment_bytes(page_now(utc_at_as_of_ns=42))
    calls: list[int] = []

    def refresh() -> bytearray | None:
        calls.append(1)
        return new if len(calls) == 2 else None

    reader = reader_of(segment_bytes(old), refresh)
    first_ns, again_ns = reader.time_ns(), reader.time_ns()
    assert min(first_ns, again_ns) > old.utc_at_as_of_ns
    assert len(calls) == 1
    time.sleep(1.05)  # the second between two looks is real time

    assert reader.time_ns() < 10 * S
    assert len(calls) == 2


def test_error_of_a_refresh_reaches_the_caller() -> None:
    """Nothing is swallowed."""

    def refresh() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        reader_of(segment_bytes(layout.TimePage()), refresh).now()


def test_reading_is_a_value() -> None:
    """It compares, hashes, copies, pickles, prints; it has no order, since intervals have none."""
    reading = _core.Reading(5, 4, 9, 1, Status.SYNCHRONIZED)

    assert reading == _core.Reading(5, 4, 9, 1, Status.SYNCHRONIZED)
    assert reading != _core.Reading(5, 4, 9, 2, Status.SYNCHRONIZED)
    assert len({reading, copy.copy(reading), pickle.loads(pickle.dumps(reading))}) == 1  # noqa: S301
    assert repr(reading).startswith("Reading(time_ns=5, earliest_ns=4, latest_ns=9, sigma_ns=1,")
    with pytest.raises(TypeError):
        sorted([reading, copy.copy(reading)])  # type: ignore[type-var]
    with pytest.raises(AttributeError):
        reading.time_ns = 1  # type: ignore[misc]
    with pytest.raises(ValueError, match=r"earliest_ns\.\.latest_ns"):
        _core.Reading(3, 4, 9, 1, Status.SYNCHRONIZED)


@pytest.mark.parametrize(
    "face",
    [reader_of, _core.TimePageWriter, _core.RingReader, _core.RingWriter, _core.GenerationReader],
)
def test_core_refuses_what_is_no_segment(face: Callable[[bytearray], object]) -> None:
    """Nothing smaller than a segment is ever read or written."""
    with pytest.raises(ValueError, match="Expected an aligned buffer"):
        face(bytearray(layout.SEGMENT_SIZE - 8))


def test_writers_refuse_a_read_only_buffer() -> None:
    """A writer on a reader's map is refused before the first store."""
    for face in (_core.TimePageWriter, _core.RingWriter, _core.GenerationWriter):
        with pytest.raises(BufferError):
            face(bytes(layout.SEGMENT_SIZE))
