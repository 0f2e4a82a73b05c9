"""The model: what a sample changes, what an estimate says, and when the past is thrown away."""

import dataclasses

import pytest
from fakes.clock_samples import S_NS, UTC_0_NS, sample, truth_ns

from hourbook.clock import model, state
from hourbook.clock.bounds import Drift, Interval
from hourbook.clock.state import Held, Limits, State
from hourbook.clock.status import Status
from protocols import clock_messages
from protocols.clock_messages import ClockSample

LIMITS = Limits()


def begin(wall_error_ms: float = 0.0) -> State:
    """Return a model at raw 0 whose wall clock is wrong by so much."""
    return state.initial(LIMITS, 0, UTC_0_NS + round(wall_error_ms * 1e6))


def fed(*samples: ClockSample, begun: State | None = None) -> State:
    """Return the model after the samples."""
    now = begun or begin()
    for one in samples:
        now = model.absorb(now, one)
    return now


def contains_truth(now: State, at_s: float) -> bool:
    """Say whether the hard interval at a time contains UTC."""
    estimate = model.estimate(now, round(at_s * S_NS))
    error_ns = truth_ns(estimate.as_of_raw_ns) - estimate.utc_ns
    return estimate.bounded and estimate.earliest_off_ns <= error_ns <= estimate.latest_off_ns


def test_nothing_is_known_at_first() -> None:
    """Before any sample: the wall clock, no bound, UNKNOWN, source none."""
    estimate = model.estimate(begin(wall_error_ms=300), 2 * S_NS)

    assert estimate.utc_ns == truth_ns(2 * S_NS) + 300_000_000
    assert (estimate.status, estimate.bounded, estimate.source) == (0, False, "none")
    assert estimate.confidence == 0.0


def test_first_sample_synchronizes_and_says_that_it_is_alone() -> None:
    """One source is enough for an interval, under a flag."""
    now = fed(sample(at_s=1))

    estimate = model.estimate(now, 1 * S_NS)

    assert (estimate.status, estimate.source, estimate.bounded) == (1, "ntp", True)
    assert estimate.flags == clock_messages.FLAG_SINGLE_SOURCE
    assert (estimate.earliest_off_ns, estimate.latest_off_ns) == (-10_000_000, 10_000_000)


def test_interval_grows_with_age() -> None:
    """Ten seconds at 500 ppm add 5 ms to each side."""
    estimate = model.estimate(fed(sample(at_s=1)), 11 * S_NS)

    assert estimate.latest_off_ns == 15_000_000
    assert estimate.growth_ppb == 500_001


def test_status_ages_without_samples() -> None:
    """FREE_RUNNING after four polls, UNKNOWN after void_after; the interval stays, and grows."""
    now = fed(sample(at_s=1, poll_s=16))

    statuses = [model.estimate(now, (1 + age_s) * S_NS).status for age_s in (64, 65, 999, 1000)]

    assert statuses == [1, 2, 2, 0]
    assert contains_truth(now, 5000)


def test_large_first_correction_is_a_step_and_a_small_one_is_not() -> None:
    """Half a second begins a new epoch, 50 ms are slewed."""
    far, near = fed(sample(at_s=1), begun=begin(500)), fed(sample(at_s=1), begun=begin(50))

    assert (far.counters.steps, far.last_step_raw_ns) == (1, 1 * S_NS)
    assert (near.counters.steps, near.last_step_raw_ns) == (0, 0)


def test_centre_never_leaves_the_interval() -> None:
    """A filter that is elsewhere is clamped; the interval is not moved to it."""
    now = fed(*(sample(at_s=n, half_width_ms=50) for n in range(1, 20)))
    now = fed(sample(at_s=20, offset_ms=45, half_width_ms=6), begun=now)

    estimate = model.estimate(now, 20 * S_NS)

    assert estimate.earliest_off_ns <= 0 <= estimate.latest_off_ns


def test_falseticker_moves_neither_centre_nor_freshness() -> None:
    """The liar is absorbed, named, and otherwise without effect."""
    honest = fed(sample("a", at_s=1), sample("b", at_s=1.1), sample("c", at_s=1.2))

    now = fed(sample("d", at_s=30, offset_ms=5000), begun=honest)

    assert now.voted.verdicts[-1].standing == "falseticker"
    assert now.last_sample_raw_ns == honest.last_sample_raw_ns
    assert now.counters.samples == 3
    assert contains_truth(now, 31)


def test_two_that_disagree_make_unknown_and_a_third_settles_it() -> None:
    """The interval that a lone liar had given is counted as a violation; nothing is thrown away."""
    split = fed(sample("liar", at_s=1, offset_ms=700), sample("b", at_s=2))
    settled = fed(sample("c", at_s=3), begun=split)

    assert (split.status, model.estimate(split, 2 * S_NS).bounded) == (Status.UNKNOWN, False)
    assert settled.status is Status.SYNCHRONIZED
    assert (settled.counters.bound_violations, settled.counters.disruptions) == (1, 0)
    assert settled.voted.selected == {"b", "c"}
    assert contains_truth(settled, 3)


def test_contradiction_of_the_old_interval_disrupts() -> None:
    """UTC jumps against the oscillator: counted, the past thrown away, no bound any more."""
    now = fed(sample(at_s=1), sample(at_s=17), sample(at_s=33, offset_ms=900))

    estimate = model.estimate(now, 33 * S_NS)

    assert (estimate.status, estimate.bounded) == (3, False)
    assert (now.counters.bound_violations, now.counters.disruptions) == (1, 1)
    assert not now.sources


def test_samples_after_a_disruption_begin_a_new_epoch() -> None:
    """The next sample is the truth from then on."""
    disrupted = fed(sample(at_s=1), sample(at_s=33, offset_ms=900))

    now = fed(sample(at_s=35, offset_ms=900), begun=disrupted)

    assert now.status is Status.SYNCHRONIZED
    assert now.last_step_raw_ns == 35 * S_NS
    assert now.drift == LIMITS.unproven


def test_kernel_is_free_running_at_best() -> None:
    """A bounded kernel gives an interval under its flag, and never SYNCHRONIZED."""
    flag = clock_messages.FLAG_KERNEL_UNPROVEN
    now = fed(sample("kernel", at_s=1, origin="kernel", flags=flag, half_width_ms=100))

    estimate = model.estimate(now, 1 * S_NS)

    assert (estimate.status, estimate.source, estimate.bounded) == (2, "kernel", True)
    assert estimate.flags & flag


def test_kernel_without_a_bound_leads_the_centre_alone() -> None:
    """Its clock is the best guess there is; nothing vouches for it."""
    now = fed(
        sample("kernel", at_s=1, origin="kernel", half_width_ms=None, offset_ms=40, delay_ms=0)
    )

    estimate = model.estimate(now, 1 * S_NS)

    assert (estimate.status, estimate.bounded, estimate.confidence) == (0, False, 0.0)
    assert estimate.utc_ns == truth_ns(1 * S_NS) + 40_000_000


def test_kernel_that_jumps_is_followed_anew() -> None:
    """Somebody stepped the wall clock: its interval contradicts itself, and is begun again."""
    now = fed(
        sample("kernel", at_s=1, origin="kernel", half_width_ms=100),
        sample("kernel", at_s=5, origin="kernel", half_width_ms=100, offset_ms=9000),
        sample("kernel", at_s=9, origin="kernel", half_width_ms=100, offset_ms=9000),
    )

    assert now.counters.bound_violations == 1
    assert now.status is Status.FREE_RUNNING


def test_wall_clock_that_is_set_leads_at_once() -> None:
    """Without a bound the centre is the wall clock, also right after somebody set it."""
    now = fed(
        *(sample("kernel", at_s=t, origin="kernel", half_width_ms=None) for t in range(1, 40, 4)),
        sample("kernel", at_s=41, origin="kernel", half_width_ms=None, offset_ms=60_000),
    )

    estimate = model.estimate(now, 41 * S_NS)

    assert estimate.utc_ns == truth_ns(41 * S_NS) + 60 * S_NS
    assert now.last_step_raw_ns == 41 * S_NS


def test_ntp_takes_over_from_the_kernel_and_never_back() -> None:
    """The kernel's wrong interval is a violation and no disruption; later it is not heard."""
    kernel = sample("kernel", at_s=1, origin="kernel", half_width_ms=100, offset_ms=10_000)
    now = fed(kernel, sample(at_s=2))
    again = fed(dataclass_at(kernel, 3), begun=now)

    assert now.status is Status.SYNCHRONIZED
    assert set(now.sources) == {"a"}
    assert (now.counters.bound_violations, now.counters.disruptions) == (1, 0)
    assert again.rejected == "weaker_origin"
    assert dataclasses.replace(again, rejected="") == now


def dataclass_at(one: ClockSample, at_s: int) -> ClockSample:
    """Return the same claim at another time."""
    return sample(one.source, at_s=at_s, origin=one.origin, half_width_ms=100, offset_ms=10_000)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (sample(at_s=1), "out_of_order"),
        (sample("z", at_s=2, offset_ms=-UTC_0_NS / 1e6 - 1e7), "out_of_range"),
    ],
)
def test_useless_samples_are_refused(bad: ClockSample, reason: str) -> None:
    """A repeated sample and one before 1970 change nothing."""
    now = fed(sample(at_s=1))

    after = model.absorb(now, bad)

    assert after.rejected == reason
    assert dataclasses.replace(after, rejected="") == now


def test_number_of_sources_is_bounded() -> None:
    """A stranger who floods the mailbox with names does not fill the memory."""
    now = fed(*(sample(f"s{n}", at_s=1 + n / 1000) for n in range(model.SOURCES_MAX)))

    after = model.absorb(now, sample("one-more", at_s=3))

    assert after.rejected == "too_many_sources"


def test_rate_becomes_bounded_after_ten_minutes() -> None:
    """From then on the interval grows by little more than the operator's 50 ppm."""
    now = fed(*(sample(at_s=t, half_width_ms=2, rate_ppb=30_000) for t in range(1, 700, 16)))

    assert abs(now.drift.reference_ppb - 30_000) < 7_000
    assert now.drift.max_drift_ppb < 60_000
    assert abs(now.centre.short_term.rate_ppb - 30_000) < 1_000


def test_disrupt_keeps_the_line_and_nothing_else() -> None:
    """After a suspend the time goes on as it was, without any promise."""
    now = fed(*(sample(at_s=t) for t in range(1, 60, 16)))

    after = model.disrupt(now, 60 * S_NS)
    estimate = model.estimate(after, 60 * S_NS)

    assert (estimate.status, estimate.bounded, estimate.flags) == (3, False, 0)
    assert abs(estimate.utc_ns - truth_ns(60 * S_NS)) < 1_000_000
    assert after.counters.samples == now.counters.samples


def test_resumed_interval_holds_until_the_first_sample() -> None:
    """An earlier run's interval is in force, aged, FREE_RUNNING, and has no vote."""
    held = Held(10 * S_NS, Interval(truth_ns(10 * S_NS) - 10**6, truth_ns(10 * S_NS) + 10**6))
    resumed = state.resume(begin(), held, Drift(0, 100_000), truth_ns(10 * S_NS), 64, 5)

    estimate = model.estimate(resumed, 20 * S_NS)
    after = fed(sample(at_s=21), begun=resumed)

    assert (estimate.status, estimate.latest_off_ns, estimate.last_step_raw_ns) == (
        2, 2_000_000, 5
    )  # fmt: skip
    assert (after.status, after.voted.voters) == (Status.SYNCHRONIZED, 1)


def test_resumed_interval_that_was_wrong_is_found_out() -> None:
    """A virtual machine restored from a snapshot has the same boot and another time."""
    held = Held(10 * S_NS, Interval(truth_ns(10 * S_NS) - 10**6, truth_ns(10 * S_NS) + 10**6))
    resumed = state.resume(begin(), held, Drift(0, 100_000), truth_ns(10 * S_NS), 64, 5)

    after = fed(sample(at_s=20, offset_ms=3_600_000), begun=resumed)

    assert after.status is Status.DISRUPTED
    assert after.held is None
