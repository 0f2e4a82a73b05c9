"""Whose turn it is: a forecaster's worker from rest to rest."""

from hourbook.clock import forecast_turns as turns
from hourbook.clock.forecast_turns import Patience, Turn

S_NS = 1_000_000_000
PATIENCE = Patience(backoff_base_s=1.0, backoff_cap_s=300.0)


def failed_often(count: int) -> list[float]:
    """Return how long (seconds) each of some failures is followed by rest."""
    turn, rests = Turn(), []
    for _ in range(count):
        turn = turns.failed(turn, 5 * S_NS, PATIENCE, "crashed", "x")
        rests.append(turn.rests_until_mono_ns / S_NS - 5)
    return rests


def test_first_worker_may_begin_at_once() -> None:
    """Nothing has failed yet."""
    assert turns.may_begin(Turn(), 0)
    assert not turns.may_begin(turns.moved(Turn(), "busy"), 0)


def test_rests_double_up_to_their_cap() -> None:
    """However often it fails."""
    assert failed_often(11) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert failed_often(2000)[-1] == 300


def test_rest_ends_at_its_time() -> None:
    """Not a nanosecond before."""
    turn = turns.failed(Turn(), 0, PATIENCE, "late", "busy for 5 s")

    assert not turns.may_begin(turn, S_NS - 1)
    assert turns.may_begin(turn, S_NS)


def test_answer_forgives_and_failures_stay_counted() -> None:
    """The next failure rests as the first one did; the totals tell the whole story."""
    turn = turns.failed(Turn(), 0, PATIENCE, "late", "a")
    turn = turns.failed(turn, 0, PATIENCE, "crashed", "b")
    problem = turn.problem

    turn = turns.answered(turns.moved(turn, "busy"))
    again = turns.failed(turn, 0, PATIENCE, "late", "c")

    assert (problem, turn.problem, turn.phase, turn.answers) == ("b", "", "idle", 1)
    assert again.rests_until_mono_ns == S_NS
    assert again.failures == {"late": 2, "crashed": 1}
