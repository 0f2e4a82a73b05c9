"""The C arithmetic of a time page equals the same formulas in Python's unbounded integers."""

from typing import Any

from fakes.time_pages import reader_of, segment_bytes, state, suspended_ns
from hypothesis import given
from hypothesis import strategies as st

from hourbook.clock import publication
from shm.layout import UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS, Status, TimePage

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
RAW = st.integers(0, 1 << 62)
SEGMENT = segment_bytes(TimePage(seq=2))
READER = reader_of(SEGMENT)


def page_of(words: dict[str, Any]) -> TimePage:
    """Return a page with some words set."""
    return TimePage()._replace(**words)


pages = st.fixed_dictionaries(
    {
        "seq": st.just(2),
        "as_of_raw_ns": RAW,
        "utc_at_as_of_ns": st.integers(-(1 << 61), 1 << 61),
        "rate": st.integers(-(1 << 46), 1 << 46),
        "slew_ppb": st.integers(-1_000_000, 1_000_000),
        "slew_end_raw_ns": RAW,
        "state": st.just(state(Status.SYNCHRONIZED)),
        "void_after_raw_ns": st.just((1 << 63) - 1),
        "earliest_off_ns": st.integers(-(1 << 50), 1 << 50),
        "latest_off_ns": st.integers(-(1 << 50), 1 << 50),
        "growth_ppb": st.integers(0, 1 << 40),
        "sigma_offset_ns": st.integers(0, 1 << 50),
        "sigma_rate_ppb": st.integers(0, 1 << 40),
        "boottime_minus_monotonic_ns": st.just(suspended_ns()),
    }
).map(page_of)


def saturated(value: int) -> int:
    """Return `value` within 64 bits."""
    return max(min(value, UNBOUNDED_LATEST_NS), UNBOUNDED_EARLIEST_NS)


def load(page: TimePage) -> None:
    """Put a page where the reader looks."""
    SEGMENT[4096 : 4096 + 256] = page.pack()


@given(pages, RAW)
def test_output_equals_python(page: TimePage, raw_ns: int) -> None:
    """Floor, shift and slew are Python's // and >>, at any distance."""
    load(page)

    assert READER.at(raw_ns).time_ns == saturated(publication.output_ns(page, raw_ns))


@given(pages, RAW)
def test_interval_equals_python_and_holds_the_output(page: TimePage, raw_ns: int) -> None:
    """Growth rounds up, and the interval is widened to the output, never narrowed."""
    load(page)
    dt_ns = raw_ns - page.as_of_raw_ns
    growth_ns = -(-abs(dt_ns) * page.growth_ppb // 10**9) + (dt_ns != 0)
    base_ns, output_ns = publication.base_ns(page, raw_ns), publication.output_ns(page, raw_ns)

    reading = READER.at(raw_ns)

    assert reading.earliest_ns <= reading.time_ns <= reading.latest_ns
    assert reading.earliest_ns == saturated(
        min(base_ns + page.earliest_off_ns - growth_ns, output_ns)
    )
    assert reading.latest_ns == saturated(max(base_ns + page.latest_off_ns + growth_ns, output_ns))
    assert reading.sigma_ns == saturated(
        page.sigma_offset_ns - (-abs(dt_ns) * page.sigma_rate_ppb // 10**9)
    )


@given(st.lists(INT64, min_size=31, max_size=31), INT64)
def test_no_page_is_undefined(words: list[int], raw_ns: int) -> None:
    """Whatever the words are, reading saturates; under UBSan this is the proof."""
    data = b"".join(word.to_bytes(8, "little", signed=True) for word in [2, *words])
    SEGMENT[4096 : 4096 + 256] = data

    READER.time_ns()
    READER.now()
    READER.snapshot()
    READER.uncertainty_ns(1e9)
    reading = READER.at(raw_ns)

    assert reading.earliest_ns <= reading.time_ns <= reading.latest_ns
