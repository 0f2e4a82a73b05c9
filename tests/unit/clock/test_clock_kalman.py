"""The filter: it converges, it keeps spikes out, and it gives in to what persists."""

import math
import random

import pytest

from hourbook.clock import kalman
from hourbook.clock.kalman import Filter
from hourbook.clock.observation import Observation

S_NS = 1_000_000_000
UTC_NS = 1_800_000_000 * S_NS


def observation(at_s: float, error_ns: float = 0.0, rate_ppb: float = 0.0) -> Observation:
    """Return a measurement beside the true line."""
    raw_ns = round(at_s * S_NS)
    true_ns = UTC_NS + raw_ns + round(raw_ns * rate_ppb / 1e9)
    utc_ns = true_ns + round(error_ns)
    return Observation(raw_ns, utc_ns, utc_ns, 0, 60_000.0)


def run(rng: random.Random, count: int, rate_ppb: float) -> Filter:
    """Return a filter after measurements with 50 us of noise, 16 s apart."""
    now = kalman.start(observation(0, 0, rate_ppb), 0.0, 50_000.0)
    for n in range(1, count):
        error_ns = rng.gauss(0, 50_000)
        now = kalman.observe(now, observation(16 * n, error_ns, rate_ppb))
    return now


def test_filter_finds_offset_and_rate(rng: random.Random) -> None:
    """After 100 measurements of 50 us: the offset within 100 us, the rate within 1 ppm."""
    now = run(rng, 100, rate_ppb=-40_000)

    predicted = kalman.predict(now, 1600 * S_NS)

    assert abs(predicted.utc_ns - observation(1600, 0, -40_000).utc_ns) < 100_000
    assert abs(predicted.rate_ppb + 40_000) < 1_000
    assert 0 < predicted.sigma_offset_ns < 100_000


def test_uncertainty_grows_in_both_directions() -> None:
    """Neither the future nor the past is known better than the present."""
    now = kalman.observe(kalman.start(observation(0), 0.0, 1000.0), observation(60))

    sigmas = [kalman.predict(now, t * S_NS).sigma_offset_ns for t in (-600, 60, 600)]

    assert sigmas[1] < min(sigmas[0], sigmas[2])


def test_spike_is_gated(rng: random.Random) -> None:
    """One measurement 50 ms away does not move the line."""
    before = run(rng, 50, rate_ppb=0)

    after = kalman.observe(before, observation(800, 50_000_000))

    assert (after.gated, after.gated_in_a_row) == (1, 1)
    assert after.utc_ns == before.utc_ns


@pytest.mark.parametrize(("sigmas", "gated"), [(4.9, 0), (-4.9, 0), (5.1, 1), (-5.1, 1)])
def test_gate_is_at_five_standard_deviations(rng: random.Random, sigmas: float, gated: int) -> None:
    """Of what the filter expects of the measurement: its own doubt and the filter's."""
    before = run(rng, 50, rate_ppb=0)
    expected = kalman.predict(before, 800 * S_NS)
    sigma_ns = math.hypot(expected.sigma_offset_ns, observation(800).doubt_ns)
    ahead_ns = expected.utc_ns - observation(800).utc_ns

    after = kalman.observe(before, observation(800, ahead_ns + sigmas * sigma_ns))

    assert after.gated - before.gated == gated


def test_what_persists_is_believed(rng: random.Random) -> None:
    """The third measurement in a row from elsewhere moves the line there, and keeps the rate."""
    now = run(rng, 50, rate_ppb=0)
    rate_before = now.rate_ppb
    for n in range(3):
        now = kalman.observe(now, observation(800 + 16 * n, 50_000_000))

    assert (now.resets, now.gated_in_a_row) == (1, 0)
    assert now.utc_ns == observation(832, 50_000_000).utc_ns
    assert now.rate_ppb == rate_before


def test_long_delays_weigh_less() -> None:
    """The same error moves the line less when the packet waited in a queue."""
    now = kalman.observe(kalman.start(observation(0), 0.0, 100.0), observation(16))
    wrong = observation(32, 100_000)

    quick = kalman.observe(now, wrong)
    slow = kalman.observe(now, wrong._replace(doubt_ns=2_500_000.0))

    assert abs(slow.utc_ns - observation(32).utc_ns) < abs(quick.utc_ns - observation(32).utc_ns)
