"""The vote: who has one, who is silent, who lies, and in which words."""

from fakes.clock_samples import S_NS, sample, truth_ns

from hourbook.clock import register
from hourbook.clock.bounds import Drift, Interval
from hourbook.clock.voting import Vote, vote
from protocols.clock_messages import ClockSample

DRIFT = Drift(0, 500_000)


def vote_of(*samples: ClockSample, at_s: int = 100) -> Vote:
    """Let the sources of some samples vote."""
    sources = {s.source: register.absorb(None, s, DRIFT) for s in samples}
    return vote(sources, at_s * S_NS, DRIFT)


def standings(voted: Vote) -> dict[str, str]:
    """Return what became of each source."""
    return {v.source: v.standing for v in voted.verdicts}


def test_falseticker_of_three_is_named_with_its_distance() -> None:
    """Two agree; the third begins half a second after the last point they allow."""
    voted = vote_of(
        sample("a", at_s=100), sample("b", at_s=100), sample("c", at_s=100, offset_ms=520)
    )

    assert standings(voted) == {"a": "selected", "b": "selected", "c": "falseticker"}
    assert voted.verdicts[2].reason == "begins 500.000 ms after the majority"
    assert voted.interval == Interval(truth_ns(100 * S_NS) - 10**7, truth_ns(100 * S_NS) + 10**7)


def test_falseticker_may_lie_before() -> None:
    """The distance is given in either direction."""
    voted = vote_of(
        sample("a", at_s=100), sample("b", at_s=100), sample("c", at_s=100, offset_ms=-21)
    )

    assert voted.verdicts[2].reason == "ends 1.000 ms before the majority"


def test_two_that_disagree_vouch_for_nothing() -> None:
    """Nobody can tell which of two is wrong."""
    voted = vote_of(sample("a", at_s=100), sample("b", at_s=100, offset_ms=100))

    assert voted.interval is None
    assert voted.selected == frozenset()
    assert voted.verdicts[0].reason == "no 2 of 2 agree"


def test_sources_of_one_upstream_have_one_vote() -> None:
    """Three mirrors of one wrong clock do not outvote two honest servers."""
    mirrors = [sample(f"m{n}", at_s=100, offset_ms=900, upstream="0a0a0a0a") for n in range(3)]

    voted = vote_of(*mirrors, sample("a", at_s=100), sample("b", at_s=100))

    assert voted.voters == 3
    assert voted.selected == {"a", "b"}
    assert sorted(standings(voted).values()) == [
        "falseticker", "same_upstream", "same_upstream", "selected", "selected"
    ]  # fmt: skip


def test_source_behind_another_has_no_vote_of_its_own() -> None:
    """B follows A: the tighter of the two speaks for both."""
    voted = vote_of(
        sample("a", at_s=100, identity="c0000201", half_width_ms=5),
        sample("b", at_s=100, upstream="c0000201"),
    )

    assert voted.voters == 1
    assert voted.verdicts[1].reason == "a votes for both"


def test_silent_source_loses_its_vote() -> None:
    """Eight polls without a sample."""
    voted = vote_of(sample("a", at_s=100), sample("b", at_s=0, poll_s=10))

    assert standings(voted) == {"a": "selected", "b": "silent"}
    assert voted.verdicts[1].reason == "for 100 s"


def test_source_without_a_bound_does_not_vote() -> None:
    """The kernel that calls itself unsynchronised is listed, and that is all."""
    voted = vote_of(sample("kernel", at_s=100, half_width_ms=None))

    assert (voted.interval, voted.voters) == (None, 0)
    assert standings(voted) == {"kernel": "unbounded"}
