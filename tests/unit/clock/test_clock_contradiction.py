"""What is left of the past when an interval proves to have been false. Found by tests/sim."""

from fakes.clock_samples import S_NS, UTC_0_NS, sample

from hourbook.clock import model, rate, state
from hourbook.clock.bounds import Drift, Interval
from hourbook.clock.rate import Anchor
from hourbook.clock.state import Limits, State
from protocols.clock_messages import ClockSample

UNPROVEN = Drift(0, 500_000)


def fed(*samples: ClockSample) -> State:
    """Return the state after some samples."""
    now = state.initial(Limits(), 0, UTC_0_NS)
    for one in samples:
        now = model.absorb(now, one)
    return now


def test_anchors_that_contradict_each_other_do_not_measure_the_rate() -> None:
    """A lie of an hour, ten minutes ago, is no rate of six seconds a second."""
    true = Anchor(700 * S_NS, Interval(700 * S_NS, 700 * S_NS + 1000))
    lie = Anchor(0, Interval(3600 * S_NS, 3600 * S_NS + 1000))

    assert rate.measure((lie, true), UNPROVEN, 50_000) == UNPROVEN


def test_majority_that_contradicts_a_lone_liar_begins_a_new_measurement_of_the_rate() -> None:
    """Nothing that rests on the liar's interval is left: neither anchors nor the premise."""
    liar = [sample("liar", at_s=at_s, offset_ms=9e6, poll_s=64) for at_s in range(0, 1280, 64)]

    now = fed(*liar, sample("a", at_s=1300), sample("b", at_s=1301))

    assert now.counters.bound_violations == 1
    assert now.drift == UNPROVEN
    assert [anchor.raw_ns for anchor in now.anchors] == [1301 * S_NS]
    assert abs(rate.to_ppb(model.estimate(now, 1400 * S_NS).rate)) <= 500_000


def test_disruption_begins_an_epoch() -> None:
    """A raw time of before lies on another scale: readers must not read it off the new line."""
    before = fed(sample(at_s=1))

    after = model.disrupt(before, 7 * S_NS)

    assert after.last_step_raw_ns == 7 * S_NS
    assert after.counters.steps == before.counters.steps + 1


def test_lone_source_that_contradicts_itself_once_leaves_the_centre_alone() -> None:
    """A spike beyond its own interval costs the bound, and not what was learnt of the clock."""
    calm = [sample(at_s=64 * n, offset_ms=(-1) ** n, poll_s=64) for n in range(1, 40)]

    now = fed(*calm, sample(at_s=64 * 40, offset_ms=60, poll_s=64))

    estimate = model.estimate(now, 64 * 41 * S_NS)
    assert (now.counters.disruptions, estimate.bounded) == (1, False)
    assert abs(estimate.utc_ns - UTC_0_NS - 64 * 41 * S_NS) < 5_000_000
    assert len(now.centre.seen) > 30
