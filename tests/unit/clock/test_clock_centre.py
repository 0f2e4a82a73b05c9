"""The centre as a whole: order of arrival, steps, rate, and what joins it."""

import random
from typing import NamedTuple

from fakes.clock_samples import S_NS, UTC_0_NS

from hourbook.clock import centre
from hourbook.clock.centre import Centre
from hourbook.clock.fusion import CAP
from hourbook.clock.line import Reference
from hourbook.clock.observation import Observation


def observed(at_s: float, ahead_ns: float = 0.0, wall_ns: int = 0) -> Observation:
    """Return a measurement beside the true line, and a wall clock beside it."""
    raw_ns = round(at_s * S_NS)
    utc_ns = UTC_0_NS + raw_ns
    return Observation(raw_ns, utc_ns + round(ahead_ns), utc_ns + wall_ns, doubt_ns=60_000.0)


def calm(rng: random.Random, count: int, rate_ppb: float = 0.0) -> Centre:
    """Return a centre after measurements with 50 us of noise, 16 s apart."""
    now = centre.start(observed(0), 0.0, 50_000.0)
    for n in range(1, count):
        now = centre.observe(now, observed(16 * n, rate_ppb * 16 * n + rng.gauss(0, 50_000)))
    return now


def error_ns(now: Centre, at_s: float, ahead_ns: float = 0.0) -> int:
    """Return by how much the centre misses the truth."""
    one = observed(at_s, ahead_ns)
    return centre.utc_ns(now, one.raw_ns) - one.utc_ns


def test_rate_is_known_better_by_the_long_memory(rng: random.Random) -> None:
    """After half an hour at 20 ppm: within 0.1 ppm, by a rate that promises as much."""
    now = calm(rng, 120, rate_ppb=20_000)

    rate_ppb, sigma_ppb = centre.rate(now, 1920 * S_NS)

    assert abs(rate_ppb - 20_000) < 100
    assert sigma_ppb < 100


def test_hour_without_a_sample_is_bridged(rng: random.Random) -> None:
    """Holdover: 72 ms of drift to 2 ms, and quantiles that have grown."""
    now = calm(rng, 120, rate_ppb=20_000)

    near, far = (centre.predict(now, (1904 + age_s) * S_NS) for age_s in (16, 3600))

    assert abs(error_ns(now, 1904 + 3600, 20_000 * (1904 + 3600))) < 2_000_000
    assert near.q95_ns < far.q95_ns
    assert near.sigma_offset_ns < far.sigma_offset_ns


def test_spike_moves_little_and_step_is_followed() -> None:
    """One measurement 0.8 ms off is left alone; the second that agrees is believed."""
    now = calm(random.Random(1), 60)
    spike = centre.observe(now, observed(960, 8e5))
    back = centre.observe(spike, observed(976))
    moved = centre.observe(spike, observed(976, 8e5))

    assert abs(error_ns(spike, 976)) < 100_000
    assert (back.changes.spikes, back.changes.steps) == (1, 0)
    assert moved.changes.steps == 1
    assert abs(error_ns(moved, 992, 8e5)) < 150_000


def test_two_spikes_that_pass_for_a_step_leave_no_trace() -> None:
    """The third measurement lies where the first sixty did: all of them count again."""
    now = calm(random.Random(1), 60)
    for n in (60, 61):
        now = centre.observe(now, observed(16 * n, 8e5))
    assert (now.changes.steps, len(now.seen)) == (1, 1)

    back = centre.observe(now, observed(16 * 62))

    assert (back.changes.spikes, back.changes.steps, back.former) == (2, 0, None)
    assert len(back.seen) > 40
    assert abs(error_ns(back, 16 * 63)) < 50_000


def test_step_keeps_the_rate(rng: random.Random) -> None:
    """A step of the offset says nothing of the oscillator.

    Of three measurements, for it takes that many where the noise has looked like a spike before.
    """
    now = calm(rng, 120, rate_ppb=20_000)
    for n in (120, 121, 122):
        now = centre.observe(now, observed(16 * n, 20_000 * 16 * n + 5e6))

    assert now.changes.steps == 1
    assert abs(now.short_term.rate_ppb - 20_000) < 1_000


def test_late_measurement_is_brought_forward() -> None:
    """One that another overtook counts for the time of that other one."""
    now = centre.observe(centre.start(observed(0), 0.0, 100.0), observed(16))

    after = centre.observe(now, observed(15))

    assert after.reference.raw_ns == now.reference.raw_ns
    assert len(after.seen) == 3
    assert abs(error_ns(after, 16)) <= 1


def test_several_at_one_instant_are_no_rate() -> None:
    """Four sources that answer at once: no division by zero, no wild line."""
    now = centre.start(observed(0), 0.0, 50_000.0)
    for n in range(40):
        now = centre.observe(now, observed(64 * (n // 4), 100_000 * (n % 4)))

    assert abs(error_ns(now, 64 * 10, 150_000)) < 300_000


class Guest(NamedTuple):
    """An opinion that is no line."""

    ahead_ns: float
    handicap: float = 0.0
    until_raw_ns: int = 10**6 * S_NS

    def ahead_of_ns(self, reference: Reference, raw_ns: int) -> float:
        true_ns = UTC_0_NS + raw_ns
        return true_ns + self.ahead_ns - (reference.utc_ns + raw_ns - reference.raw_ns)


def with_guest(name: str, guest: Guest) -> Centre:
    """Return a centre that has a guest and two measurements."""
    now = centre.start(observed(0), 0.0, 50_000.0)
    return centre.invite(centre.observe(now, observed(16)), {name: guest})


def test_guest_earns_its_weight_or_loses_it(rng: random.Random) -> None:
    """Whatever keeps to the interface may join; right it is among the best, wrong not heard."""
    led = with_guest("oracle", Guest(0.0))
    misled = with_guest("liar", Guest(1e6))
    for n in range(2, 60):
        one = observed(16 * n, rng.gauss(0, 50_000), wall_ns=10**6)
        led = centre.observe(led, one)
        misled = centre.observe(misled, one)

    assert led.fusion.losses["oracle"] < CAP + min(led.fusion.losses.values())
    assert misled.fusion.losses["liar"] > 20 + min(misled.fusion.losses.values())
    assert centre.shares(misled, 960 * S_NS)["liar"] < 1e-4
    assert abs(error_ns(misled, 960)) < 100_000


def test_guest_counts_from_its_invitation_on_and_less_than_others() -> None:
    """It is heard before the next measurement; its handicap makes it the least of all."""
    now = with_guest("guest", Guest(1e5, handicap=8.0))

    shares = centre.shares(now, 20 * S_NS)

    assert 0 < shares["guest"] == min(shares.values())
    assert abs(sum(shares.values()) - 1) < 1e-9
    assert error_ns(now, 20) > 0


def test_guest_has_no_say_beyond_its_time() -> None:
    """Of a later instant the others speak alone, and the next measurement forgets it."""
    now = with_guest("guest", Guest(1e5, until_raw_ns=40 * S_NS))
    alone = centre.invite(now, {})

    after = centre.observe(now, observed(48))

    assert error_ns(now, 40) > error_ns(alone, 40)
    assert error_ns(now, 41) == error_ns(alone, 41)
    assert "guest" in now.fusion.losses
    assert "guest" not in centre.shares(now, 41 * S_NS)
    assert "guest" not in after.fusion.losses
    assert len(after.opinions) == len(after.weights) == len(after.fusion.losses)


def test_step_sends_guests_away(rng: random.Random) -> None:
    """What was said of the line before the step is nothing to compare with."""
    now = centre.invite(calm(rng, 60), {"guest": Guest(0.0)})
    for n in (60, 61, 62):
        now = centre.observe(now, observed(16 * n, 8e5))

    assert now.changes.steps == 1
    assert not now.guests
