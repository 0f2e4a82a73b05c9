"""Servers that lie for an hour, fall silent or flip their bits, in simulated time."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec
from fakes.clock_samples import S_NS, UTC_0_NS

from hourbook.clock import model, source_reports, state
from hourbook.clock.state import Limits, State
from hourbook.clock.status import Status
from protocols.clock_messages import ClockEstimate, ClockSample

HOUR_S = 3600
POLL_S = 64
Lie = Callable[[int], int | None]
"""From a time (s) to what a server adds to the truth then (ns); None: it says nothing."""


def honest(_: int) -> int:
    """Return what an honest server adds."""
    return 0


def false_for_an_hour(by_ns: int) -> Lie:
    """Return a server that is honest but for its second hour."""
    return lambda at_s: by_ns if HOUR_S <= at_s < 2 * HOUR_S else 0


def silent_after(end_s: int) -> Lie:
    """Return a server that is honest, and then gone."""
    return lambda at_s: 0 if at_s < end_s else None


@dataclass
class World:
    """Servers by name, an oscillator 20 ppm off that wanders, and the model that hears them."""

    rng: random.Random
    servers: dict[str, Lie]
    clock: State = field(default_factory=lambda: state.initial(Limits(), 0, UTC_0_NS))
    raw_ns: int = 0
    utc_ns: int = UTC_0_NS
    now_s: int = 0

    def run(self, until_s: int) -> Iterator[tuple[int, ClockEstimate]]:
        """Let time pass; yield every second of it with its estimate."""
        while self.now_s < until_s:
            for number, (name, lie) in enumerate(self.servers.items()):
                if self.now_s % POLL_S == number and (added_ns := lie(self.now_s)) is not None:
                    self.clock = model.absorb(self.clock, self.sample(name, added_ns))
            yield self.now_s, model.estimate(self.clock, self.raw_ns)
            self.now_s += 1
            self.raw_ns += S_NS
            self.utc_ns += S_NS + 20_000 + self.rng.randint(-2000, 2000)

    def sample(self, name: str, added_ns: int) -> ClockSample:
        """Return an exchange of now: up to 20 ms there and back."""
        there_ns, back_ns = (self.rng.randint(100_000, 10_000_000) for _ in range(2))
        return ClockSample(
            source=name, raw_ns=self.raw_ns, poll_s=POLL_S, origin="ntp", stratum=2,
            utc_ns=self.utc_ns + (back_ns - there_ns) // 2 + added_ns,
            delay_ns=there_ns + back_ns, half_width_ns=(there_ns + back_ns) // 2 + 100_000,
        )  # fmt: skip

    def holds(self, estimate: ClockEstimate) -> bool:
        """Say whether UTC is inside the hard interval."""
        error_ns = self.utc_ns - estimate.utc_ns
        return estimate.earliest_off_ns <= error_ns <= estimate.latest_off_ns

    def standings(self) -> dict[str, str]:
        """Return what ``clock.sources`` says of each source at present."""
        judged = source_reports.judge(self.clock, self.raw_ns, {})
        return {one.source: one.standing for one in judged.sources}


def test_falseticker_of_three_is_named_for_an_hour_and_forgiven(rng: random.Random) -> None:
    """Its lies touch neither interval nor status, and its first honest word is believed again."""
    world = World(rng, {"a": honest, "b": honest, "c": false_for_an_hour(900_000_000)})
    named_s = []

    for at_s, estimate in world.run(3 * HOUR_S):
        if at_s >= POLL_S:
            assert world.holds(estimate), at_s
            assert estimate.status == Status.SYNCHRONIZED, at_s
        if at_s % POLL_S == 3 and world.standings()["c"] == "falseticker":
            named_s.append(at_s)

    assert HOUR_S <= named_s[0] < HOUR_S + 2 * POLL_S
    assert 2 * HOUR_S - POLL_S <= named_s[-1] < 2 * HOUR_S + POLL_S
    assert len(named_s) == HOUR_S // POLL_S or len(named_s) == HOUR_S // POLL_S + 1
    assert (world.clock.counters.bound_violations, world.clock.counters.disruptions) == (0, 0)
    assert world.clock.sources["c"].contradictions == 2


def test_subtle_liar_never_pushes_the_truth_out(rng: random.Random) -> None:
    """It lies by less than anybody could notice, and by a little more."""
    for lie_ns in (4_000_000, 12_000_000, 25_000_000):
        world = World(rng, {"a": honest, "b": honest, "c": false_for_an_hour(lie_ns)})

        missed = [
            at_s for at_s, now in world.run(3 * HOUR_S) if at_s >= POLL_S and not world.holds(now)
        ]

        assert missed == [], lie_ns


def test_one_of_two_that_lies_leaves_nothing_to_promise(rng: random.Random) -> None:
    """UNKNOWN and unbounded for that hour, since nobody can tell who is wrong."""
    world = World(rng, {"a": honest, "b": false_for_an_hour(900_000_000)})
    statuses = {}

    for at_s, estimate in world.run(2 * HOUR_S + 3 * POLL_S):
        statuses[at_s] = (estimate.status, estimate.bounded)
        assert not estimate.bounded or at_s < POLL_S or world.holds(estimate), at_s

    assert statuses[HOUR_S - 1] == (Status.SYNCHRONIZED, True)
    assert statuses[HOUR_S + HOUR_S // 2] == (Status.UNKNOWN, False)
    assert statuses[2 * HOUR_S + 2 * POLL_S] == (Status.SYNCHRONIZED, True)


def test_lone_server_that_lies_is_found_out_by_its_own_past(rng: random.Random) -> None:
    """Each jump contradicts the interval before it: counted, DISRUPTED, begun anew."""
    world = World(rng, {"a": false_for_an_hour(900_000_000)})

    statuses = {at_s: estimate.status for at_s, estimate in world.run(3 * HOUR_S)}

    assert world.clock.counters.bound_violations == 2
    assert world.clock.counters.disruptions == 2
    assert list(statuses.values()).count(Status.DISRUPTED) >= 2


def test_silence_of_all_ages_into_unknown_while_the_interval_grows(rng: random.Random) -> None:
    """FREE_RUNNING after four polls, UNKNOWN after 1000 s; truth inside to the end, and back."""
    world = World(rng, dict.fromkeys("abc", silent_after(HOUR_S)))
    widths_ns: list[int] = []
    changes: dict[int, int] = {}

    for at_s, estimate in world.run(2 * HOUR_S):
        if at_s < HOUR_S:
            continue
        assert estimate.bounded
        assert world.holds(estimate)
        widths_ns.append(estimate.latest_off_ns - estimate.earliest_off_ns)
        changes.setdefault(estimate.status, at_s - HOUR_S)
    silent = world.standings()
    world.servers = dict.fromkeys("abc", honest)
    back = [estimate.status for _, estimate in world.run(2 * HOUR_S + POLL_S)]

    assert widths_ns == sorted(widths_ns)
    assert widths_ns[-1] > widths_ns[0] + 300_000_000
    assert set(silent.values()) == {"silent"}
    assert list(changes) == [Status.SYNCHRONIZED, Status.FREE_RUNNING, Status.UNKNOWN]
    assert 3 * POLL_S <= changes[Status.FREE_RUNNING] <= 4 * POLL_S + 1
    assert 1000 - POLL_S <= changes[Status.UNKNOWN] <= 1001
    assert back[-1] == Status.SYNCHRONIZED


def test_leap_bits_of_a_server_move_nothing(rng: random.Random) -> None:
    """With and without them: the same votes, the same interval, the same centre."""
    world = World(rng, {"a": honest, "b": honest, "c": honest})
    flipping = state.initial(Limits(), 0, UTC_0_NS)

    for at_s, estimate in world.run(HOUR_S):
        for source in world.clock.sources.values():
            if source.newest.raw_ns == world.raw_ns and source.newest.source == "c":
                flipped = msgspec.structs.replace(source.newest, leap=1 + at_s % 2)
                flipping = model.absorb(flipping, flipped)
            elif source.newest.raw_ns == world.raw_ns:
                flipping = model.absorb(flipping, source.newest)

        assert model.estimate(flipping, world.raw_ns) == estimate
    assert flipping.sources["c"].newest.leap
