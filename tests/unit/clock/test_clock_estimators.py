"""The pieces of the centre: regression, experts, fusion, quantiles, outliers, biases."""

import random
import statistics
from collections.abc import Callable

import pytest
from fakes.clock_samples import S_NS, UTC_0_NS, sample

from hourbook.clock import changes, experts, fusion, quantiles, regression, robust
from hourbook.clock.bias import bias_ns
from hourbook.clock.changes import CALM, Change
from hourbook.clock.fusion import Doubts, Fusion
from hourbook.clock.line import Line, Reference
from hourbook.clock.observation import Observation, doubt_ns, remember, window_about
from hourbook.clock.register import Source
from hourbook.clock.regression import LongTerm

Draw = Callable[[], float]
HERE = Reference(0, UTC_0_NS)


def observed(at_s: float, ahead_ns: float, doubt: float = 1e6, wall_ns: float = 0.0) -> Observation:
    """Return a measurement, both clocks counted from the true line."""
    raw_ns = round(at_s * S_NS)
    true_ns = UTC_0_NS + raw_ns
    return Observation(raw_ns, true_ns + round(ahead_ns), true_ns + round(wall_ns), doubt_ns=doubt)


# -- statistics and lines -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9])
def test_robust_statistics_agree_with_the_library(rng: random.Random, count: int) -> None:
    """Medians are medians, of even numbers too; trimming nothing is the mean."""
    values = [rng.uniform(-5, 5) for _ in range(count)]

    middle, mean = robust.median_and_trimmed_mean(values, 0.0)

    assert middle == robust.median(values) == pytest.approx(statistics.median(values))
    assert mean == pytest.approx(statistics.fmean(values))
    assert robust.weighted_median(values, [1.0] * count) == statistics.median_low(values)


def test_lines_of_one_instant_are_flat() -> None:
    """Four sources that answer at once give no rate, and no division by zero."""
    assert robust.least_squares([2.0, 2.0], [1.0, 3.0]) == (2.0, 0.0)
    assert robust.theil_sen([2.0, 2.0], [1.0, 3.0]) == (2.0, 0.0)


def test_line_is_the_same_about_any_reference() -> None:
    """An opinion may be counted from elsewhere."""
    line = Line(HERE, 5.0, 1000.0)
    there = Reference(10 * S_NS, UTC_0_NS + 10 * S_NS + 300)

    assert line.ahead_of_ns(HERE, 10 * S_NS) == pytest.approx(10_005)
    assert line.ahead_of_ns(there, 10 * S_NS) == pytest.approx(9_705)


# -- long-term ------------------------------------------------------------------------------------


def remembered(points: list[Observation]) -> LongTerm:
    """Return the long-term memory of these."""
    memory = LongTerm()
    for point in points:
        memory = regression.keep(memory, point)
    return memory


def test_regression_knows_how_well_it_knows_the_rate() -> None:
    """A tenth of the points 50 ms off: of 40 seeds most within two standard errors, all in four."""
    errors, sigmas = [], []
    for seed in range(40):
        rng = random.Random(seed)
        points = [
            observed(
                64 * n,
                20_000 * 64 * n
                + rng.gauss(0, 1e6)
                + rng.choice((-5e7, 5e7)) * (rng.random() < 0.1),
            )
            for n in range(64)
        ]
        trend = remembered(points).trend
        assert trend is not None
        sigmas.append(trend.sigma_rate_ppb)
        errors.append(abs(trend.rate_ppb - 20_000) / trend.sigma_rate_ppb)

    assert max(errors) < 4
    assert sum(error < 2 for error in errors) > 34
    assert 100 < statistics.median(sigmas) < 200


def test_regression_forgets_what_is_no_straight_line_any_more() -> None:
    """The rate changed half an hour ago: the residuals come in runs, and the oldest go."""
    points = [observed(64 * n, 1e4 * 64 * max(n - 32, 0) + 1e3 * (-1) ** n) for n in range(64)]

    trend = remembered(points).trend

    assert trend is not None
    assert trend.used <= 40
    assert abs(trend.rate_ppb - 10_000) < 500


def test_regression_spans_a_minute_and_then_hours() -> None:
    """Fast polls fill it at once; later each cell of 64 s keeps its least doubtful point."""
    fast = remembered([observed(n, 0.0) for n in range(60)])
    slow = remembered([observed(n, 0.0, doubt=1e6 + n % 7) for n in range(0, 20_000, 4)])

    assert fast.trend is not None
    assert (slow.spacing_s, len(slow.points)) == (64.0, 64)
    assert slow.points[-1].raw_ns - slow.points[0].raw_ns > 4000 * S_NS


def test_constant_delays_do_not_stop_the_memory() -> None:
    """Of equally doubtful points the newest stays, and cells close nevertheless."""
    memory = remembered([observed(16 * n, 0.0) for n in range(400)])

    assert memory.points[-1].raw_ns == 16 * 399 * S_NS
    assert len(memory.points) == 64


# -- experts and their fusion ---------------------------------------------------------------------


def test_levels_follow_the_wall_clock_and_lines_do_not() -> None:
    """The wall clock drifts by 30 ppm with UTC: levels are right at any memory, as lines are."""
    seen: tuple[Observation, ...] = ()
    for n in range(50):
        seen = remember(seen, observed(64 * n, 30_000 * 64 * n, wall_ns=30_000 * 64 * n - 500))
    window = window_about(seen, 0.0)

    said = {
        name: line.ahead_of_ns(window.reference, seen[-1].raw_ns + 64 * S_NS)
        for name, line in experts.opinions(window, 30_000.0).items()
    }

    assert said.pop("wall") == pytest.approx(30_000 * 64 - 500, abs=1)
    assert all(value == pytest.approx(30_000 * 64, abs=1) for value in said.values())
    assert len(said) == 26


def test_fusion_learns_whom_to_believe() -> None:
    """After twenty measurements the one that was right outweighs the one that was late."""
    opinions = {"right": Line(HERE, 0.0, 0.0), "late": Line(HERE, 3.0, 0.0)}
    now = fusion.admit(Fusion(), opinions)
    for n in range(20):
        noise = 1.0 if n % 2 else -1.0
        now = fusion.learn(now, [0.0, 3.0], noise, noise, Doubts(1.0, 1.0))

    right, late = fusion.weights(now)

    assert late < 1e-3 * right


def test_gross_error_decides_nothing_and_absurd_opinion_moves_nothing() -> None:
    """Losses are capped, and what is said is clipped to as far."""
    opinions = {"a": Line(HERE, 0.0, 0.0), "b": Line(HERE, 1.0, 0.0)}
    now = fusion.admit(Fusion(errors_ns=(1.0,) * 10, scale_ns=1.0), opinions)

    after = fusion.learn(now, [0.0, 1.0], 1e9, 1e9, Doubts(1.0, 1.0))
    together = fusion.fuse([0.0, 0.5, 1e12], [1.0, 1.0, 1.0], 1.0)

    assert set(after.losses.values()) == {fusion.CAP}
    assert together.ahead_ns <= (0.5 + fusion.CAP + 0.5) / 3


def test_doubtful_measurement_teaches_less() -> None:
    """One that waited long in a queue says little of who was right."""
    now = fusion.admit(Fusion(), {"a": Line(HERE, 0.0, 0.0)})

    clear = fusion.learn(now, [0.0], 1.0, 1.0, Doubts(own=1.0, typical=1.0))
    cloudy = fusion.learn(now, [0.0], 1.0, 1.0, Doubts(own=9.0, typical=1.0))

    assert cloudy.losses["a"] == pytest.approx(clear.losses["a"] / 5)


def test_newcomer_starts_with_the_mean_loss_and_its_handicap() -> None:
    """Neither ahead of those who know, nor hopeless; who fell silent is forgotten."""
    now = Fusion(losses={"a": 2.0, "b": 4.0, "gone": 50.0})
    opinions = {
        "a": Line(HERE, 0.0, 0.0),
        "b": Line(HERE, 0.0, 0.0),
        "new": Line(HERE, 0.0, 9.0, handicap=1.5),
    }

    assert fusion.admit(now, opinions).losses == {"a": 2.0, "b": 4.0, "new": 4.5}


# -- quantiles ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("law", "slack"), [("gauss", 0.015), ("laplace", 0.015), ("heavy", 0.03)])
def test_quantiles_hold_whatever_the_errors_are(rng: random.Random, law: str, slack: float) -> None:
    """68 % and 95 % of 2000 errors; a cliff costs a little of the second, as it says there."""
    laws: dict[str, Draw] = {
        "gauss": lambda: rng.gauss(0, 1e6),
        "laplace": lambda: rng.expovariate(1e-6) * rng.choice((-1, 1)),
        "heavy": lambda: 1e5 * rng.paretovariate(1.2),
    }
    draw = laws[law]
    now, held = quantiles.Residuals(), [0, 0]
    for _ in range(2000):
        error_ns = draw()
        said = quantiles.next_error(now, 1e6)
        held[0] += abs(error_ns) <= said.q68_ns
        held[1] += abs(error_ns) <= said.q95_ns
        now = quantiles.learn(now, error_ns)

    assert abs(held[0] / 2000 - 0.68) < 0.02
    assert abs(held[1] / 2000 - 0.95) < slack


# -- outliers -------------------------------------------------------------------------------------


def judge(before: changes.Changes, error_ns: float, excusable_ns: float = 0.0) -> changes.Changes:
    """Judge an error where the usual one is 1."""
    return changes.judge(before, error_ns, 1.0, changes.JUDGED_MIN, excusable_ns)


def test_one_is_a_spike_and_two_that_agree_are_a_step() -> None:
    """The second decides."""
    suspected = judge(CALM, 20.0)

    assert (suspected.change, suspected.followed_ns) == (Change.OUTLIER, 0.0)
    assert (judge(suspected, 21.0).change, judge(suspected, 21.0).steps) == (Change.STEP, 1)
    assert judge(suspected, 0.5) == changes.Changes(Change.NONE, spikes=1)
    assert judge(suspected, -20.0).change is Change.OUTLIER


def test_where_spikes_are_frequent_it_takes_three() -> None:
    """Two spikes may agree by chance."""
    used_to_spikes = changes.Changes(spikes=1)

    two = judge(judge(used_to_spikes, 20.0), 21.0)

    assert two.change is Change.OUTLIER
    assert judge(two, 19.0).change is Change.STEP
    assert judge(two, 0.5) == changes.Changes(Change.NONE, spikes=2)


def test_step_that_is_taken_back_was_two_spikes() -> None:
    """For three measurements what was known before it may be known again."""
    stepped = judge(judge(CALM, 20.0), 21.0)

    back = judge(judge(stepped, 0.5), -20.5)
    late = judge(judge(judge(judge(stepped, 0.5), 0.5), 0.5), -20.5)

    assert back == changes.Changes(Change.RETURN, spikes=2)
    assert (late.change, late.steps) == (Change.OUTLIER, 1)


def test_huge_one_is_followed_but_for_what_may_be_lost() -> None:
    """Waiting would cost more than the experts ever win; one that lied teaches caution."""
    followed = judge(CALM, 2 * changes.AFFORDED)
    back = judge(followed, -changes.AFFORDED)

    assert followed.followed_ns == changes.AFFORDED
    assert judge(followed, changes.AFFORDED + 0.5).change is Change.STEP
    assert (back.change, back.followed_ns, back.spikes) == (Change.NONE, 0.0, 1)
    assert judge(back, 2 * changes.AFFORDED).followed_ns == 0.0


def test_after_a_step_the_next_one_is_followed_at_once() -> None:
    """Where outliers have been steps, waiting is the worse bet."""
    used_to_steps = changes.Changes(steps=1)

    assert judge(used_to_steps, 30.0).followed_ns == 30.0
    assert judge(used_to_steps, 15.0).followed_ns == 0.0


def test_delay_excuses_an_outlier() -> None:
    """What the packet's own queue explains is not followed."""
    assert judge(CALM, 160.0, excusable_ns=180.0).followed_ns == 0.0


def test_few_errors_make_no_outlier() -> None:
    """There is no yardstick yet."""
    assert changes.judge(CALM, 1e9, 1.0, changes.JUDGED_MIN - 1, 0.0) == CALM


# -- biases of sources ----------------------------------------------------------------------------


def test_biases_of_sources_add_up_to_nothing() -> None:
    """Two that differ by 10 ms meet between, nearer to the one that vouches for less error."""
    line = Line(HERE, 0.0, 0.0)
    sources = {
        "near": Source(
            tuple(sample("near", at_s=n, offset_ms=4, half_width_ms=5) for n in range(4))
        ),
        "far": Source(
            tuple(sample("far", at_s=n, offset_ms=-6, half_width_ms=20) for n in range(4))
        ),
    }

    found = {name: bias_ns(sources, sources, name, line) for name in sources}

    assert found == {"near": 2_000_000, "far": -8_000_000}
    assert bias_ns(sources, ["far"], "far", line) == 0


def test_doubt_grows_with_queue_and_path() -> None:
    """Half of what waited, a twentieth of the rest, and never nothing."""
    assert doubt_ns(0, 0) == 10_000
    assert doubt_ns(2_000_000, 20_000_000) == 2_010_000
