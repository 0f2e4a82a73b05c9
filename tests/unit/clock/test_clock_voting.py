"""The vote: who has one, who is silent, who lies, and in which words."""

import msgspec
from fakes.clock_samples import S_NS, sample, truth_ns

from hourbook.clock import register
from hourbook.clock.bounds import Drift, Interval
from hourbook.clock.voting import Vote, vote
from protocols.clock_messages import ClockSample

DRIFT = Drift(0, 500_000)
NEW_YEAR_S = 1_830_297_600
"""2028-01-01T00:00:00Z."""


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
    assert sorted(standings(voted).values()) == [*["falseticker"] * 3, "selected", "selected"]


def test_source_behind_another_has_no_vote_of_its_own() -> None:
    """B follows A: the tighter of the two speaks for both."""
    voted = vote_of(
        sample("a", at_s=100, identity="c0000201", half_width_ms=5),
        sample("b", at_s=100, upstream="c0000201"),
    )

    assert voted.voters == 1
    assert voted.verdicts[1].reason == "a votes for both"


def test_false_claim_of_an_upstream_pushes_no_honest_source_out() -> None:
    """Two liars of five name the upstreams of two honest ones, and seem tighter than they are."""
    honest = [sample(name, at_s=100, upstream=f"0a00000{name}") for name in "abc"]
    liars = [
        sample(f"z{name}", at_s=100, upstream=f"0a00000{name}", offset_ms=15, half_width_ms=6)
        for name in "ab"
    ]

    voted = vote_of(*honest, *liars)

    assert voted.voters == 3
    assert voted.interval is not None
    truth = truth_ns(100 * S_NS)
    assert voted.interval.earliest_ns <= truth <= voted.interval.latest_ns


def test_liar_behind_an_honest_source_is_still_named() -> None:
    """Dependent sources have one vote, and each its own verdict."""
    voted = vote_of(
        sample("a", at_s=100, upstream="0a0a0a0a"),
        sample("liar", at_s=100, upstream="0a0a0a0a", offset_ms=700, half_width_ms=1),
        sample("b", at_s=100),
        sample("c", at_s=100),
    )

    assert standings(voted) == {
        "a": "selected", "liar": "falseticker", "b": "selected", "c": "selected"
    }  # fmt: skip


def test_sources_in_a_chain_are_one_witness() -> None:
    """C follows B, which follows A: two links, and one vote."""
    voted = vote_of(
        sample("a", at_s=100, identity="0a000001", half_width_ms=4),
        sample("c", at_s=100, identity="0a000003", upstream="0a000002", half_width_ms=6),
        sample("b", at_s=100, identity="0a000002", upstream="0a000001", half_width_ms=9),
    )

    assert voted.voters == 1
    assert standings(voted) == {"a": "selected", "b": "same_upstream", "c": "same_upstream"}


def test_lone_witness_that_contradicts_itself_vouches_for_nothing() -> None:
    """A local daemon and the server that it follows disagree, and nobody else can tell."""
    voted = vote_of(
        sample("server", at_s=100, identity="0a000001"),
        sample("daemon", at_s=100, upstream="0a000001", offset_ms=700),
    )

    assert voted.interval is None
    assert voted.selected == frozenset()
    assert voted.verdicts[1].reason == "contradicts a source that follows the same server"


def test_silent_source_loses_its_vote() -> None:
    """Eight polls without a sample."""
    voted = vote_of(sample("a", at_s=100), sample("b", at_s=0, poll_s=10))

    assert standings(voted) == {"a": "selected", "b": "silent"}
    assert voted.verdicts[1].reason == "no sample for 100 s"


def test_source_without_a_bound_does_not_vote() -> None:
    """The kernel that calls itself unsynchronised is listed, and that is all."""
    voted = vote_of(sample("kernel", at_s=100, half_width_ms=None))

    assert (voted.interval, voted.voters) == (None, 0)
    assert standings(voted) == {"kernel": "unbounded"}


def smearing(source: str, *, to_new_year_s: int, offset_ms: float = 0.0) -> ClockSample:
    """Return a sample of a source that smears, so long before New Year 2028."""
    shift_ns = (NEW_YEAR_S - to_new_year_s) * S_NS - truth_ns(100 * S_NS)
    plain = sample(source, at_s=100, offset_ms=offset_ms)
    return msgspec.structs.replace(plain, utc_ns=plain.utc_ns + shift_ns, smear="linear24")


def stepping(source: str, *, to_new_year_s: int, offset_ms: float = 0.0) -> ClockSample:
    """Return the same of one that does not."""
    smeared = smearing(source, to_new_year_s=to_new_year_s, offset_ms=offset_ms)
    return msgspec.structs.replace(smeared, smear="")


def test_families_do_not_mix_near_a_leap() -> None:
    """Two that smear by 400 ms outvote nobody: three that do not smear are one family."""
    voted = vote_of(
        *(stepping(name, to_new_year_s=3600) for name in "abc"),
        *(smearing(name, to_new_year_s=3600, offset_ms=400) for name in "de"),
    )

    assert voted.voters == 3
    assert voted.selected == {"a", "b", "c"}
    assert standings(voted)["d"] == "smear_family"
    assert voted.verdicts[3].reason == (
        "a leap second may be near: those vote that do not smear leap seconds"
    )


def test_larger_family_speaks_even_if_it_smears() -> None:
    """Two of Google's and one of the pool: the interval is smeared time, and the third waits."""
    voted = vote_of(
        stepping("pool", to_new_year_s=60),
        *(smearing(name, to_new_year_s=60, offset_ms=499) for name in "gh"),
    )

    assert voted.selected == {"g", "h"}
    assert standings(voted)["pool"] == "smear_family"


def test_families_vote_together_in_the_rest_of_the_year() -> None:
    """A week before nobody smears."""
    voted = vote_of(
        stepping("pool", to_new_year_s=7 * 86_400),
        *(smearing(name, to_new_year_s=7 * 86_400) for name in "gh"),
    )

    assert voted.selected == {"g", "h", "pool"}


def test_undeclared_smear_is_a_falseticker_with_a_hint() -> None:
    """Half a second beside the majority on that day: its reason says what it may be."""
    voted = vote_of(
        *(stepping(name, to_new_year_s=-60) for name in "ab"),
        stepping("odd", to_new_year_s=-60, offset_ms=499),
    )
    other_day = vote_of(
        sample("a", at_s=1), sample("b", at_s=1), sample("c", at_s=1, offset_ms=499)
    )

    assert voted.verdicts[2].reason.startswith("begins ")
    assert voted.verdicts[2].reason.endswith("; it may smear a leap second: see `smear` in the"
                                             " configuration")  # fmt: skip
    assert "smear" not in other_day.verdicts[2].reason
