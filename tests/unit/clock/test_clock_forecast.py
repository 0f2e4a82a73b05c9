"""Forecasts as opinions: what is asked, what is believed, how it joins and leaves."""

import random
from dataclasses import replace
from typing import Any

import pytest
from fakes.clock_samples import S_NS, UTC_0_NS, sample, truth_ns

from hourbook.clock import centre, forecast, model
from hourbook.clock.forecast import Asked, Forecast
from hourbook.clock.line import Reference
from hourbook.clock.observation import Observation
from hourbook.clock.state import Limits, State, initial
from protocols import errors
from protocols.forecast_messages import Answer

STEP_S = 16
HORIZONS_S = [STEP_S * n for n in (1, 2, 3, 4, 6, 8, 12, 16)]


def observed(at_s: float, ahead_ns: float = 0.0) -> Observation:
    """Return a measurement beside the true line."""
    raw_ns = round(at_s * S_NS)
    utc_ns = UTC_0_NS + raw_ns + round(ahead_ns)
    return Observation(raw_ns, utc_ns, utc_ns, doubt_ns=60_000.0)


def ramp(count: int, rate_ppb: float = 20_000.0) -> tuple[Observation, ...]:
    """Return measurements of an oscillator that runs off."""
    return tuple(observed(STEP_S * n, rate_ppb * STEP_S * n) for n in range(count))


def asked(count: int = 10) -> Asked:
    """Return a question about a ramp, at its rate."""
    return forecast.ask(ramp(count), 20_000.0, 7)


def answer(**fields: Any) -> Answer:
    """Return an answer that is fine but for some fields."""
    good = {"number": 7, "centre_ns": (0.0,) * 8}
    return Answer(**{**good, **fields})


def heard(count: int, half_width_ms: float = 10.0) -> State:
    """Return a model's state after samples of the truth."""
    state = initial(Limits(), 0, truth_ns(0))
    for n in range(1, count + 1):
        state = model.absorb(state, sample(at_s=STEP_S * n, half_width_ms=half_width_ms))
    return state


def said_of(state: State, ahead_ns: float) -> Forecast:
    """Return a forecast so far beside the truth."""
    newest = state.centre.seen[-1]
    reference = Reference(newest.raw_ns, truth_ns(newest.raw_ns))
    horizons = tuple(after_s * S_NS for after_s in HORIZONS_S)
    return Forecast(reference, 0.0, horizons, (ahead_ns,) * 8)


# -- the question ---------------------------------------------------------------------------------


def test_samples_are_told_against_the_line_of_the_best_rate() -> None:
    """20 ppm of drift are no news: the offsets are small, the newest is the origin."""
    question = asked().question

    assert question.samples[-1] == (0, 0.0, 60_000.0)
    assert [at_ns for at_ns, _, _ in question.samples] == [STEP_S * S_NS * n for n in range(-9, 1)]
    assert max(abs(offset_ns) for _, offset_ns, _ in question.samples) < 1.0
    assert question.horizons_ns == tuple(after_s * S_NS for after_s in HORIZONS_S)


@pytest.mark.parametrize(
    ("gap_s", "step_s"), [(0.0, 0.1), (0.01, 0.1), (64.0, 64.0), (86_400.0, 3600.0)]
)
def test_horizons_follow_the_usual_interval_within_reason(gap_s: float, step_s: float) -> None:
    """Samples of one instant, and of one a day, still make horizons that increase."""
    history = tuple(observed(1000 + gap_s * n) for n in range(20))

    question = forecast.ask(history, 0.0, 1).question

    assert question.horizons_ns[0] == step_s * S_NS


def test_history_is_that_of_the_present_line_and_has_a_limit(rng: random.Random) -> None:
    """Each measurement once; a restart begins it anew; never more than 512."""
    now = centre.start(observed(0), 0.0, 50_000.0)
    history = forecast.remember(forecast.NO_HISTORY, now)
    for n in range(1, 600):
        now = centre.observe(now, observed(16 * n, rng.gauss(0, 50_000)))
        history = forecast.remember(forecast.remember(history, now), now)
    full = history
    now = centre.restart(now, observed(16 * 600, 1e9))

    again = forecast.remember(full, now)

    assert len(full) == forecast.SAMPLES_MAX
    assert [one.raw_ns for one in full] == [16 * S_NS * n for n in range(88, 600)]
    assert [one.raw_ns for one in again] == [16 * S_NS * 600]


def test_history_follows_the_centre_back_to_an_earlier_line() -> None:
    """Of a step that was taken back nothing stays: what the centre remembers counts."""
    now = centre.start(observed(0), 0.0, 50_000.0)
    for n in range(1, 20):
        now = centre.observe(now, observed(16 * n))
    tried = forecast.remember(now.seen, centre.restart(now, observed(16 * 20, 1e9)))
    back = centre.observe(now, observed(16 * 21))

    history = forecast.remember(tried, back)

    assert len(tried) == 1
    assert history == back.seen


def test_forecaster_never_sees_a_forecast(rng: random.Random) -> None:
    """Whatever a guest said, the next question has measurements and nothing else."""
    noise = [rng.gauss(0, 1) for _ in range(40)]
    histories = []
    for ahead_ns in (None, 5e6):
        state, history = heard(1), forecast.NO_HISTORY
        for n, error_ms in enumerate(noise, start=2):
            state = model.absorb(state, sample(at_s=STEP_S * n, offset_ms=error_ms))
            history = forecast.remember(history, state.centre)
            if ahead_ns is not None:
                state = forecast.join(state, "x", said_of(state, ahead_ns))
        histories.append(history)

    assert histories[0] == histories[1]


# -- the answer -----------------------------------------------------------------------------------


def test_answer_becomes_an_opinion_between_its_horizons() -> None:
    """Straight lines from horizon to horizon, and back to now; good until the last."""
    rising = tuple(1000.0 * after_s for after_s in HORIZONS_S)

    said = forecast.understand(asked(), answer(centre_ns=rising))

    newest_s = STEP_S * 9
    for after_s in (0, 1, 16, 40, 150, 256):
        raw_ns = (newest_s + after_s) * S_NS
        truth = Reference(0, UTC_0_NS)
        ahead_ns = said.ahead_of_ns(truth, raw_ns)
        assert ahead_ns == pytest.approx(20_000 * (newest_s + after_s) + 1000 * after_s, abs=1)
    assert said.until_raw_ns == (newest_s + 256) * S_NS
    assert said.handicap == forecast.HANDICAP


def test_claim_is_between_the_outermost_quantiles() -> None:
    """At the next measurement; without two of them there is none."""
    quantiles = {0.9: (3e5,) * 8, 0.5: (0.0,) * 8, 0.1: (-1e5,) * 8}

    said = forecast.understand(asked(), answer(quantiles_ns=quantiles))
    silent = forecast.understand(asked(), answer(quantiles_ns={0.5: (0.0,) * 8}))

    assert said.claimed_ns == 2e5
    assert said.claimed_share == pytest.approx(0.8)
    assert (silent.claimed_ns, silent.claimed_share) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"number": 6}, "Expected answer 7, got 6"),
        ({"centre_ns": ()}, "Expected centre of 8, got 0"),
        ({"centre_ns": (0.0,) * 9}, "Expected centre of 8, got 9"),
        ({"centre_ns": (0.0,) * 7 + (float("nan"),)}, "got nan"),
        ({"centre_ns": (0.0,) * 7 + (float("-inf"),)}, "got -inf"),
        ({"centre_ns": (1e7, *(0.0,) * 7)}, "Expected centre within ±8600000 ns, got 10000000"),
        ({"quantiles_ns": {0.0: (0.0,) * 8}}, "Expected levels between 0 and 1, got 0.0"),
        ({"quantiles_ns": {float("nan"): (0.0,) * 8}}, "Expected levels between 0 and 1, got nan"),
        ({"quantiles_ns": {0.5: (0.0,)}}, "Expected quantile 0.5 of 8, got 1"),
        ({"quantiles_ns": {0.5: (float("inf"),) * 8}}, "Expected quantile 0.5 within"),
        (
            {"quantiles_ns": {0.2: (1.0,) * 8, 0.8: (0.0,) * 8}},
            "Expected quantile 0.2 <= quantile 0.8",
        ),
        (
            {"quantiles_ns": {n / 20: (0.0,) * 8 for n in range(1, 18)}},
            "Expected at most 16 quantiles, got 17",
        ),
    ],
)
def test_nonsense_is_refused_by_name(fields: dict[str, Any], message: str) -> None:
    """Not finite, not of the shape, crossed, or beyond scatter and oscillator."""
    with pytest.raises(errors.BadRequest, match=message.replace("±", ".").replace("(", r"\(")):
        forecast.understand(asked(), answer(**fields))


# -- joining --------------------------------------------------------------------------------------


def test_every_point_is_clamped_into_the_hard_interval() -> None:
    """A forecast a second off counts as the edge of the interval, carried to each horizon."""
    state = heard(10)

    joined = forecast.join(state, "x", said_of(state, 1e9))

    guest = joined.centre.guests["forecaster:x"]
    assert state.held
    for after_s in HORIZONS_S:
        raw_ns = (STEP_S * 10 + after_s) * S_NS
        latest_ns = state.held.at(raw_ns, state.drift).latest_ns
        assert guest.ahead_of_ns(Reference(raw_ns, latest_ns), raw_ns) == pytest.approx(0, abs=1)


def test_estimate_stays_inside_its_interval_whatever_is_said(rng: random.Random) -> None:
    """Forecasts at random, taken as they come: the interval is the same, the centre inside."""
    alone = advised = heard(1)
    for n in range(2, 80):
        one = sample(at_s=STEP_S * n, offset_ms=rng.gauss(0, 1))
        alone, advised = model.absorb(alone, one), model.absorb(advised, one)
        ahead_ns = rng.choice((-1, 1)) * 10 ** rng.uniform(0, 12)
        advised = forecast.join(advised, "x", said_of(advised, ahead_ns))
        raw_ns = round((STEP_S * n + rng.uniform(0, 300)) * S_NS)
        a, b = model.estimate(alone, raw_ns), model.estimate(advised, raw_ns)

        assert (a.utc_ns + a.earliest_off_ns, a.utc_ns + a.latest_off_ns) == (
            b.utc_ns + b.earliest_off_ns,
            b.utc_ns + b.latest_off_ns,
        )
        assert b.earliest_off_ns <= 0 <= b.latest_off_ns
        assert (a.status, a.growth_ppb, a.rate) == (b.status, b.growth_ppb, b.rate)


def test_forecast_of_before_a_break_joins_nothing() -> None:
    """A suspend threw the history away while the forecaster was thinking."""
    state = heard(10)
    said = said_of(state, 0.0)

    after = model.disrupt(state, (STEP_S * 10 + 5) * S_NS)

    assert forecast.join(after, "x", said) == after


def test_loss_is_kept_through_a_silence() -> None:
    """Falling silent and coming back does not make a liar as good as a newcomer."""
    state = forecast.join(heard(10), "x", said_of(heard(10), 8e6))
    for n in range(11, 20):
        state = model.absorb(state, sample(at_s=STEP_S * n))
    beyond = forecast.loss_beyond_others(state.centre, "x")
    silent = replace(state, centre=centre.invite(state.centre, {}))

    assert beyond is not None
    again = forecast.join(silent, "x", said_of(silent, 0.0), beyond)

    assert beyond > 2 * forecast.HANDICAP
    assert forecast.loss_beyond_others(silent.centre, "x") is None
    assert forecast.loss_beyond_others(again.centre, "x") == pytest.approx(beyond, rel=0.1)


def test_own_experts_cannot_be_impersonated() -> None:
    """A plug-in that is called like one of ours is another expert."""
    before = heard(10)

    after = forecast.join(before, "wall", said_of(before, 0.0))

    assert {*after.centre.fusion.losses} == {*before.centre.fusion.losses, "forecaster:wall"}
    own = after.centre
    assert len(own.opinions) == len(own.weights) == len(own.fusion.losses)
