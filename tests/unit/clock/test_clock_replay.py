"""Replays: what is known of a row before it, what a delay changes, and how they are judged."""

import random

import pytest
from fakes.clock_series import row, series

from hourbook.clock.replay import Replayed, replay
from hourbook.clock.scores import HISTORY, Scores
from hourbook.clock.trace import Row


def told(rows: list[Row], horizon_s: float = 0, delay_ms: float | None = None) -> list[Replayed]:
    """Return the rows replayed."""
    delay_ns = None if delay_ms is None else round(delay_ms * 1e6)
    return list(replay(rows, horizon_ns=round(horizon_s * 1e9), assume_delay_ns=delay_ns))


def test_first_row_is_predicted_by_nothing() -> None:
    """The wall clock is all there is, and nobody vouches for it."""
    said = told([row(7, 5.0)])[0].forecast

    assert (said.offset_ns, said.interval_ns, said.leader) == (0, None, "none")
    assert said.q95_ns >= 10**9


def test_row_is_unknown_until_it_was_predicted() -> None:
    """What is said of a row does not depend on it, nor on those after it."""
    rows = [row(64 * n, 1.0 + n % 3) for n in range(40)]
    other = [*rows[:30], row(64 * 30, 900.0), *rows[31:]]

    one, two = told(rows), told(other)

    assert [r.forecast for r in one[:31]] == [r.forecast for r in two[:31]]
    assert one[31].forecast != two[31].forecast


def test_horizon_hides_what_is_too_new() -> None:
    """With 600 s and rows each 64 s, nine rows before the one predicted are not known."""
    rows = [row(64 * n, 1.0 + n % 3) for n in range(40)]

    found = told(rows, horizon_s=600)

    assert [r.known for r in found] == [max(0, n - 9) for n in range(40)]


def test_ramp_is_predicted_through_a_horizon() -> None:
    """Ten minutes ahead of a clock that is 50 ppm off: to 0.1 ms, where to hold errs by 32 ms."""
    rows = [row(64 * n, 0.05 * 64 * n) for n in range(120)]

    last = told(rows, horizon_s=600)[-1]

    assert abs(last.forecast.offset_ns - last.row.offset_ns) < 100_000


def test_interval_follows_from_delays_recorded_or_assumed() -> None:
    """Half a delay, aged at 500 ppm; none without a delay."""
    rows = [row(0, 3.0, 20.0), row(100, 3.0), row(200, 3.0)]

    recorded, assumed = told(rows), told(rows, delay_ms=40)

    low, high = recorded[1].forecast.interval_ns or (0, 0)
    assert (low, high) == (3_000_000 - 60_001_000, 3_000_000 + 60_001_000)
    assert recorded[2].forecast.interval_ns is None
    assert assumed[2].forecast.interval_ns is not None


def test_centre_stays_inside_the_interval() -> None:
    """Delays of a microsecond vouch for every single row: the centre may only follow."""
    rows = [row(n, (-1) ** n * 0.2, 0.001) for n in range(60)]

    for one in told(rows)[1:]:
        low, high = one.forecast.interval_ns or (1, 0)
        assert low <= one.forecast.offset_ns <= high


def test_small_and_large_times_are_told_alike() -> None:
    """Seconds since 1970, or since minus an hour, change nothing."""
    rows = series("sine", random.Random(3), 60)

    plain = [r.forecast for r in told(rows)]

    for shift_ns in (1_700_000_000 * 10**9, -3600 * 10**9):
        moved = [one._replace(t_ns=one.t_ns + shift_ns) for one in rows]
        assert [r.forecast for r in told(moved)] == plain


def test_too_few_rows_have_no_figures() -> None:
    """Nulls, and no division by nothing."""
    scores = Scores()
    for one in told([row(n, 1.0) for n in range(HISTORY)]):
        scores.add(one)

    document = scores.document()

    assert (document["rows"], document["judged"]) == (HISTORY, 0)
    assert document["hourbook"]["raw"]["mae_ms"] is None
    assert document["ratio"]["raw"] == {"best": None, "to_best": None}
    assert document["coverage"]["q95"]["share"] is None


@pytest.mark.parametrize("horizon_s", [0, 300])
def test_baselines_are_what_they_are_called(horizon_s: int) -> None:
    """On a straight line: that of 20 is right, hold is late by a step, the median by 5.5."""
    scores = Scores()
    for one in told([row(100 * n, 2.0 * n) for n in range(60)], horizon_s):
        scores.add(one)
    late = horizon_s // 100 or 1

    found = {name: f["raw"]["mae_ms"] for name, f in scores.document()["baselines"].items()}

    assert found["hold"] == pytest.approx(2 * late)
    assert found["median-10"] == pytest.approx(2 * (late + 4.5))
    assert found["line-20"] == pytest.approx(0, abs=1e-6)
    assert found["zero"] == pytest.approx(sum(2.0 * n for n in range(20, 60)) / 40)


@pytest.mark.parametrize(("width", "true_rows"), [(1, 0), (4, 0), (5, 5)])
def test_smoothed_truth_is_the_median_of_nine(width: int, true_rows: int) -> None:
    """Four rows in a row are a spike, which costs nobody who predicts nothing; five are true."""
    rows = [row(64 * n, 50.0 if 40 <= n < 40 + width else 0.0) for n in range(60)]
    scores = Scores()
    for one in told(rows):
        scores.add(one)

    zero = scores.document()["baselines"]["zero"]

    assert zero["raw"]["mae_ms"] == pytest.approx(50 * width / 40)
    assert zero["smoothed"]["mae_ms"] == pytest.approx(50 * true_rows / 40)
