"""What must hold of every vote, whatever the liars say of the time and of themselves."""

from fakes.clock_samples import S_NS, UTC_0_NS
from hypothesis import given
from hypothesis import strategies as st

from hourbook.clock import register
from hourbook.clock.bounds import Drift
from hourbook.clock.hull import liars_max
from hourbook.clock.voting import Vote, vote
from protocols.clock_messages import ClockSample

DRIFT = Drift(0, 500_000)
RAW_NS = 100 * S_NS
TRUTH_NS = UTC_0_NS + RAW_NS
widths_ns = st.integers(1, 10**9)
references = st.sampled_from(["", *(f"0a00000{digit}" for digit in range(10))])


def claim(
    name: str, earliest_ns: int, latest_ns: int, upstream: str, identity: str, smear: str = ""
) -> ClockSample:
    """Return a sample that claims an interval."""
    half_ns = (latest_ns - earliest_ns + 1) // 2
    return ClockSample(
        source=name, raw_ns=RAW_NS, utc_ns=earliest_ns + half_ns, half_width_ns=half_ns,
        origin="ntp", poll_s=16, upstream=upstream, identity=identity, smear=smear,
    )  # fmt: skip


def vote_of(samples: list[ClockSample]) -> Vote:
    """Let the samples vote at their own instant."""
    sources = {one.source: register.absorb(None, one, DRIFT) for one in samples}
    return vote(sources, RAW_NS, DRIFT)


@st.composite
def liars(draw: st.DrawFn, count_max: int) -> list[ClockSample]:
    """Draw liars: any interval, blunt or subtle, and any claim of whom they follow."""
    offsets_ns = st.one_of(st.integers(-(2 * 10**9), 2 * 10**9), st.integers(-(10**17), 10**17))
    return [
        claim(
            f"liar{number}",
            (begin_ns := TRUTH_NS + draw(offsets_ns)),
            begin_ns + draw(widths_ns),
            upstream=draw(references),
            identity=f"0b00000{number}",
            smear=draw(st.sampled_from(["", "linear24"])),
        )
        for number in range(draw(st.integers(0, count_max)))
    ]


@st.composite
def elections(draw: st.DrawFn) -> list[ClockSample]:
    """Draw independent honest sources, and as many liars as they can bear, in any order."""
    count = draw(st.integers(1, 9))
    lying = draw(liars(liars_max(count)))
    honest = [
        claim(
            f"honest{number}",
            TRUTH_NS - draw(widths_ns),
            TRUTH_NS + draw(widths_ns),
            upstream=draw(st.sampled_from(["", f"0a00000{number}"])),
            identity=f"0c00000{number}",
        )
        for number in range(count - len(lying))
    ]
    return draw(st.permutations([*honest, *lying]))


@given(elections())
def test_truth_is_in_the_interval_for_any_minority_of_liars(samples: list[ClockSample]) -> None:
    """They may name the upstream of an honest source, each other's, or none."""
    voted = vote_of(samples)

    assert voted.interval is not None
    assert voted.interval.earliest_ns <= TRUTH_NS <= voted.interval.latest_ns


@given(elections())
def test_every_source_has_one_verdict_and_those_refused_have_a_reason(
    samples: list[ClockSample],
) -> None:
    """Nobody is forgotten, and nobody is turned away without a word."""
    voted = vote_of(samples)

    assert [verdict.source for verdict in voted.verdicts] == [one.source for one in samples]
    assert all((v.standing == "selected") == (not v.reason) for v in voted.verdicts)
    assert voted.selected == {v.source for v in voted.verdicts if v.standing == "selected"}
    assert (voted.interval is None) == (not voted.selected)
    assert len(voted.selected) <= voted.voters <= len(samples)


@given(elections())
def test_vote_does_not_depend_on_the_order_of_the_sources(samples: list[ClockSample]) -> None:
    """The same claims in another order: the same interval, and the same sources believed."""
    one, other = vote_of(samples), vote_of(samples[::-1])

    assert (one.interval, one.selected, one.voters) == (
        other.interval,
        other.selected,
        other.voters,
    )


@given(elections(), st.integers(0, 128 * S_NS), st.integers(-500_000, 500_000))
def test_truth_stays_inside_while_the_samples_age(
    samples: list[ClockSample], later_ns: int, rate_ppb: int
) -> None:
    """Until they are silent, and at any rate that the premise allows."""
    sources = {one.source: register.absorb(None, one, DRIFT) for one in samples}
    truth_ns = TRUTH_NS + later_ns + later_ns * rate_ppb // S_NS

    interval = vote(sources, RAW_NS + later_ns, DRIFT).interval

    assert interval is not None
    assert interval.earliest_ns <= truth_ns <= interval.latest_ns
