"""Votes that are out: who answers first is not believed alone, and no wait is too long."""

from dataclasses import replace

import pytest
from fakes.clock_samples import S_NS, sample, truth_ns

from hourbook.clock import hull, model, polling, source_reports, why
from hourbook.clock.awaited import NOBODY, Awaited, anybody
from hourbook.clock.bounds import Interval
from hourbook.clock.polling import Address, Pace
from hourbook.clock.roll_call import NOBODY_CALLED, PATIENCE_NS, voiceless
from hourbook.clock.state import Limits, State, initial
from hourbook.clock.status import Status
from protocols.clock_messages import FLAG_SINGLE_SOURCE

PACE = Pace(16, 256, 4, 2.0)
HONEST, OTHER, LIAR = Interval(-10, 10), Interval(-8, 12), Interval(5, 25)


def begun(*names: str, until_s: float = 10) -> State:
    """Return a state that waits for some sources."""
    state = initial(Limits(), 0, truth_ns(0))
    return replace(state, awaited=Awaited(frozenset(names), round(until_s * S_NS)))


@pytest.mark.parametrize(
    ("ballots", "out", "agreed"),
    [
        ([LIAR], 0, LIAR),
        ([LIAR], 1, None),
        ([LIAR], 3, None),
        ([HONEST, OTHER], 1, Interval(-10, 12)),
        ([HONEST, OTHER], 2, None),
        ([HONEST, OTHER, LIAR], 1, Interval(-8, 12)),
        ([HONEST, OTHER, LIAR], 2, Interval(-10, 25)),
        ([], 2, None),
    ],
)
def test_hull_counts_votes_that_are_out(
    ballots: list[Interval], out: int, agreed: Interval | None
) -> None:
    """A majority of all must agree, and what the missing ones may cover is not cut off."""
    found = hull.hull(ballots, out)

    assert found == agreed


def test_who_answers_first_is_not_believed_alone() -> None:
    """An hour of lie is no interval while three others are asked; two more outvote it."""
    first = model.absorb(begun("a", "b", "c"), sample("liar", at_s=1, offset_ms=3.6e6))
    second = model.absorb(first, sample("a", at_s=1.1))
    third = model.absorb(second, sample("b", at_s=1.2))
    fourth = model.absorb(third, sample("c", at_s=1.3))

    undecided = [state.held for state in (first, second, third)]
    assert undecided == [None] * 3
    assert first.status is Status.UNKNOWN
    assert why.explain(first, S_NS).reason == "waiting for 3 of 4 sources"
    assert fourth.status is Status.SYNCHRONIZED
    assert fourth.voted.selected == {"a", "b", "c"}


def test_waiting_in_vain_ends_without_another_sample() -> None:
    """Of two servers one is dead: its time-out is what decides."""
    waiting = model.absorb(begun("dead"), sample("a", at_s=1))

    decided = model.await_votes(waiting, NOBODY, 3 * S_NS)

    assert waiting.held is None
    assert decided.status is Status.SYNCHRONIZED
    assert decided.counters.samples == 1
    assert model.estimate(decided, 3 * S_NS).status == Status.SYNCHRONIZED


def test_end_of_waiting_narrows_and_counts_no_sample_twice() -> None:
    """What two of three said is in force, wide; without the third it is the overlap."""
    waiting = begun("late")
    for source, offset_ms in (("a", 0.0), ("b", 5.0)):
        waiting = model.absorb(waiting, sample(source, at_s=1, offset_ms=offset_ms))

    decided = model.await_votes(waiting, NOBODY, S_NS)

    assert waiting.held is not None
    assert decided.held is not None
    assert waiting.held.interval.half_width_ns == 12_500_000
    assert decided.held.interval.half_width_ns == 7_500_000
    assert decided.counters.samples == waiting.counters.samples == 1


@pytest.mark.parametrize("half_width_ms", [10.0, None])
def test_own_clock_waits_for_nobody(half_width_ms: float | None) -> None:
    """Servers that may answer any moment do not change what is said of it in the meantime."""
    kernel = sample("kernel", at_s=1, origin="kernel", half_width_ms=half_width_ms)
    state = model.absorb(begun("a", "b"), kernel)

    said = source_reports.judge(state, 2 * S_NS, {})

    assert why.explain(state, 2 * S_NS).reason.endswith("(kernel)")
    assert said.awaited == ()
    assert said.sources[0].standing == ("unbounded" if half_width_ms is None else "selected")


def test_what_is_in_force_stays_while_votes_are_out() -> None:
    """Others that are asked anew take nothing from an interval that was proven."""
    proven = model.absorb(begun(), sample("a", at_s=1))

    asked = model.await_votes(proven, Awaited(frozenset("bcd"), 9 * S_NS), 2 * S_NS)
    heard = model.absorb(asked, sample("a", at_s=3))

    assert (asked.held, asked.status) == (proven.held, proven.status)
    assert (heard.held, heard.status) == (proven.held, proven.status)


def test_deadline_ends_a_wait_whatever_is_said() -> None:
    """A sampler that died cannot keep the clock waiting."""
    state = replace(begun(), awaited=anybody(0))

    early = model.absorb(state, sample("a", at_s=4.9))
    late = model.absorb(early, sample("a", at_s=5.1))

    assert why.explain(early, 4 * S_NS).reason == "waiting to hear which sources are asked"
    assert (early.status, late.status) == (Status.UNKNOWN, Status.SYNCHRONIZED)


def test_liar_whose_peers_all_failed_is_believed_until_they_are_heard() -> None:
    """Alone and flagged; with one more UNKNOWN; with two it is named and counted."""
    alone = model.absorb(begun(), sample("liar", at_s=1, offset_ms=500))
    disputed = model.absorb(alone, sample("a", at_s=3))
    settled = model.absorb(disputed, sample("b", at_s=3.1))

    seen = [
        (s.status, bool(s.flags & FLAG_SINGLE_SOURCE), s.counters.bound_violations)
        for s in (alone, disputed, settled)
    ]
    assert seen == [
        (Status.SYNCHRONIZED, True, 0),
        (Status.UNKNOWN, False, 0),
        (Status.SYNCHRONIZED, False, 1),
    ]
    assert disputed.held is None
    assert settled.held is not None
    assert (
        settled.held.interval.earliest_ns
        <= truth_ns(31 * S_NS // 10)
        <= settled.held.interval.latest_ns
    )
    assert settled.voted.selected == {"a", "b"}


def test_between_a_disruption_and_the_next_answer_nothing_is_promised() -> None:
    """Public servers may be asked again only after 16 s: DISRUPTED and unbounded until then."""
    before = model.absorb(begun(), sample("a", at_s=1, poll_s=256))
    state = model.disrupt(before, 2 * S_NS)
    state = model.await_votes(state, Awaited(frozenset("ab"), 22 * S_NS), 2 * S_NS)

    meanwhile = [model.estimate(state, at_s * S_NS) for at_s in (2, 10, 18)]
    first = model.absorb(state, sample("a", at_s=18.1))
    both = model.absorb(first, sample("b", at_s=18.2))

    assert [(said.status, said.bounded) for said in meanwhile] == [(Status.DISRUPTED, False)] * 3
    assert (first.status, first.held) == (Status.DISRUPTED, None)
    assert both.status is Status.SYNCHRONIZED


# -- the roll ------------------------------------------------------------------------------------


def answering(name: str, now_ns: int) -> polling.Server:
    """Return a public server that has just answered."""
    address = Address(f"192.0.2.{name}", 123, is_loopback=False)
    server = polling.resolved(polling.new(name, PACE, 0), [address], [], PACE, 0)
    return polling.answered(polling.asked(server, now_ns), 10**9, PACE, now_ns, 0.0)


def test_roll_calls_who_is_due_soon_and_ends() -> None:
    """A server that a kiss holds back is not waited for, one that hangs not for long."""
    due, held = (
        polling.new("1", PACE, 0),
        replace(polling.new("2", PACE, 0), next_mono_ns=60 * S_NS),
    )

    roll = NOBODY_CALLED.call([due, held], 0)

    assert set(roll.until_mono_ns) == {"1"}
    assert roll.left_ns(0) == PATIENCE_NS
    assert roll.excuse("2") is roll
    assert roll.excuse("1").left_ns(0) == 0
    assert roll.expire(PATIENCE_NS - 1) is roll
    assert not roll.expire(PATIENCE_NS).until_mono_ns


def test_answer_after_long_silence_calls_the_others() -> None:
    """After eight polls nobody has a voice, and who comes back first shall not be alone."""
    servers = [answering("1", S_NS), answering("2", S_NS)]

    soon = voiceless(servers, "1", 100 * S_NS)
    later = voiceless(servers, "1", 1000 * S_NS)

    assert soon == []
    assert [server.name for server in later] == ["2"]
