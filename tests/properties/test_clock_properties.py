"""What must hold of every set of sources: the truth is inside, and no model narrows it."""

import random
from dataclasses import dataclass, replace

from fakes.clock_samples import S_NS, UTC_0_NS
from hypothesis import given, settings
from hypothesis import strategies as st

from hourbook.clock import centre, model, state
from hourbook.clock.bounds import Drift, Interval, carry
from hourbook.clock.hull import clique, hull, liars_max
from hourbook.clock.observation import Observation
from hourbook.clock.state import Limits
from protocols.clock_messages import ClockSample

points = st.integers(-(10**12), 10**12)
widths = st.integers(0, 10**9)
intervals = st.builds(lambda a, w: Interval(a, a + w), points, widths)


@given(st.data(), points)
def test_hull_contains_the_truth_whenever_a_majority_does(data: st.DataObject, truth: int) -> None:
    """Any number of sources, the most liars they can bear, whatever the liars say."""
    count = data.draw(st.integers(1, 9))
    liars = data.draw(st.lists(intervals, max_size=liars_max(count)))
    honest = [
        Interval(truth - data.draw(widths), truth + data.draw(widths))
        for _ in range(count - len(liars))
    ]

    found = hull(data.draw(st.permutations([*honest, *liars])))

    assert found is not None
    assert found.earliest_ns <= truth <= found.latest_ns


@given(st.lists(intervals, max_size=9))
def test_clique_lies_in_the_hull(claims: list[Interval]) -> None:
    """What the most agree on is part of what all but a minority allow; one exists iff the other."""
    whole, agreed = hull(claims), clique(claims)

    assert (whole is None) == (agreed is None)
    if whole is not None and agreed is not None:
        assert whole.earliest_ns <= agreed.core.earliest_ns
        assert agreed.core.latest_ns <= whole.latest_ns
        assert sum(map(agreed.has_member, claims)) >= len(claims) - liars_max(len(claims))


@given(intervals, st.integers(-(10**15), 10**15), st.integers(0, 500_000), st.integers(-99, 99))
def test_carrying_never_narrows(
    interval: Interval, dt_ns: int, max_drift_ppb: int, reference_ppb: int
) -> None:
    """An interval carried anywhere is at least as wide as it was."""
    carried = carry(interval, 0, dt_ns, Drift(reference_ppb, max_drift_ppb))

    assert carried.latest_ns - carried.earliest_ns >= interval.latest_ns - interval.earliest_ns


@dataclass
class World:
    """An oscillator that wanders within the promise, honest servers, and liars in the minority."""

    rng: random.Random
    raw_ns: int = 10**12
    utc_ns: int = UTC_0_NS + 10**12
    rate_ppb: float = 0.0

    def __post_init__(self) -> None:
        self.mean_ppb = self.rng.uniform(-200_000, 200_000)
        self.rate_ppb = self.mean_ppb

    def advance(self, duration_s: float) -> None:
        self.rate_ppb += self.rng.gauss(0, 300)
        self.rate_ppb = min(max(self.rate_ppb, self.mean_ppb - 10_000), self.mean_ppb + 10_000)
        dt_ns = round(duration_s * S_NS)
        self.raw_ns += dt_ns
        self.utc_ns += dt_ns + round(dt_ns * self.rate_ppb / 1e9)

    def sample(self, name: str, error_ns: int, poll_s: int) -> ClockSample:
        out_ns, back_ns = (round(self.rng.expovariate(1 / 8e6)) for _ in range(2))
        delay_ns = out_ns + back_ns + 1000
        return ClockSample(
            source=name,
            raw_ns=self.raw_ns,
            utc_ns=self.utc_ns + (back_ns - out_ns) // 2 + error_ns,
            half_width_ns=delay_ns // 2 + 50_000,
            delay_ns=delay_ns,
            poll_s=poll_s,
            origin="ntp",
        )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_truth_stays_inside_with_an_honest_majority(seed: int) -> None:
    """Hours of polls with spikes, wander, a blunt and a subtle liar: 100 % of reads hold it."""
    rng = random.Random(seed)
    world = World(rng)
    honest = rng.randint(3, 5)
    lies = {"liar": round(rng.gauss(0, 1e9)), "subtle": round(rng.gauss(0, 2e7))}
    names = [f"s{n}" for n in range(honest)] + list(lies)[: (honest - 1)]
    now = state.initial(Limits(), world.raw_ns, world.utc_ns + rng.randint(-(10**10), 10**10))
    for name in names[:honest]:  # the honest are heard first: a lone liar cannot be found out
        now = model.absorb(now, world.sample(name, 0, 64))
        world.advance(0.1)
    for _ in range(120):
        for name in rng.sample(names, len(names)):
            world.advance(64 / len(names))
            now = model.absorb(now, world.sample(name, lies.get(name, 0), 64))
            estimate = model.estimate(now, world.raw_ns)
            error_ns = world.utc_ns - estimate.utc_ns
            assert estimate.bounded
            assert estimate.earliest_off_ns <= error_ns <= estimate.latest_off_ns
    assert now.counters.bound_violations == 0


@given(st.lists(st.integers(-(10**8), 10**8), min_size=1, max_size=30))
def test_interval_does_not_depend_on_the_filter(errors_ns: list[int]) -> None:
    """Two models whose filters are told different things hold the same interval."""
    one = other = state.initial(Limits(), 0, UTC_0_NS)
    for number, error_ns in enumerate(errors_ns, start=1):
        sample = ClockSample(
            source="a",
            raw_ns=number * 16 * S_NS,
            utc_ns=UTC_0_NS + number * 16 * S_NS + error_ns,
            half_width_ns=10**8 + 5,
            delay_ns=10**6,
            poll_s=16,
            origin="ntp",
        )
        one, other = model.absorb(one, sample), model.absorb(other, sample)
        moved = centre.start(Observation(sample.raw_ns, UTC_0_NS, UTC_0_NS), 9e4, 1e3)
        other = replace(other, centre=moved)

    ends = []
    for now in (one, other):
        estimate = model.estimate(now, 10**12)
        ends.append(
            (estimate.utc_ns + estimate.earliest_off_ns, estimate.utc_ns + estimate.latest_off_ns)
        )
    assert ends[0] == ends[1]
