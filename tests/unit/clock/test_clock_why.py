"""The explanation: every term of the interval from the model's state, and a reason in words."""

from typing import Any

import msgspec
import pytest
from fakes.clock_samples import S_NS, sample, truth_ns

from hourbook.clock import model
from hourbook.clock.state import Limits, State, initial
from hourbook.clock.why import explain
from protocols.clock_messages import ClockSample
from protocols.why_messages import SourceWhy, Why

TERMS = {"delay_ns": 4_000_000, "root_dispersion_ns": 6_000_000}


def after(*samples: ClockSample) -> State:
    """Return the state that samples lead to."""
    state = initial(Limits(), 0, truth_ns(0))
    for one in samples:
        state = model.absorb(state, one)
    return state


def explained(*samples: ClockSample, at_s: float = 101.0) -> Why:
    """Return the explanation of what samples led to."""
    return explain(after(*samples), round(at_s * S_NS))


def by_name(why: Why) -> dict[str, SourceWhy]:
    """Return the sources by name."""
    return {source.source: source for source in why.sources}


def test_terms_and_age_add_up_to_the_interval() -> None:
    """Half-width is the sum of the terms; the ends are that, widened by age at the premise."""
    spoken = msgspec.structs.replace(sample("a", at_s=100), terms=TERMS)

    why = explained(spoken, sample("b", at_s=100), sample("c", at_s=100))

    a = by_name(why)["a"]
    assert a.terms == TERMS
    assert sum(a.terms.values()) == a.half_width_ns == 10_000_000
    assert (a.age_ns, a.growth_ns) == (S_NS, 500_000)
    assert a.latest_off_ns - a.earliest_off_ns == 2 * (a.half_width_ns + a.growth_ns)
    assert why.growth_ppb >= why.max_drift_ppb == 500_000
    assert (why.reference_ppb, why.is_rate_measured) == (0, False)
    assert (why.vote_age_ns, why.growth_ns) == (S_NS, 500_000)


def test_ends_of_the_interval_have_authors() -> None:
    """The hull of three begins and ends where two of them overlap."""
    why = explained(
        sample("early", at_s=100, offset_ms=-5),
        sample("middle", at_s=100),
        sample("late", at_s=100, offset_ms=5),
    )

    assert (why.earliest_source, why.latest_source) == ("middle", "middle")
    assert why.bounded
    assert (why.sources_selected, why.sources_total) == (3, 3)


def test_falseticker_has_its_reason() -> None:
    """One of three lies by a second."""
    why = explained(
        sample("a", at_s=100), sample("b", at_s=100), sample("liar", at_s=100, offset_ms=1000)
    )

    liar = by_name(why)["liar"]
    assert liar.standing == "falseticker"
    assert "after the majority" in liar.reason
    assert why.reason.startswith("2 of 3 sources agree")


@pytest.mark.parametrize(
    ("samples", "at_s", "status", "reason"),
    [
        ([], 101, 0, "no source has been heard yet"),
        ([sample("a", at_s=100)], 101, 1, "1 of 1 sources agree, the last was heard 1.0 s ago"),
        ([sample("a", at_s=100)], 200, 2, "no accepted sample for 100.0 s, more than 4 polls"),
        ([sample("a", at_s=100)], 2000, 0, "no source vouches for an interval; no accepted sample"),
        (
            [sample("a", at_s=100), sample("b", at_s=100.1, offset_ms=500)],
            101,
            0,
            "the sources contradict each other: no 2 of 2 agree",
        ),
        (
            [sample("kernel", at_s=100, origin="kernel")],
            101,
            2,
            "only this machine's own clock vouches for the interval (kernel)",
        ),
        (
            [sample("kernel", at_s=100, origin="kernel", half_width_ms=None)],
            101,
            0,
            "this machine's own clock vouches for no interval (kernel)",
        ),
        (
            [sample("kernel", at_s=100, origin="kernel", half_width_ms=None)],
            200,
            0,
            "no source vouches for an interval; no accepted sample for 100.0 s",
        ),
    ],
)
def test_every_status_has_a_reason(
    samples: list[ClockSample], at_s: float, status: int, reason: str
) -> None:
    """In words that say what is missing."""
    why = explained(*samples, at_s=at_s)

    assert (why.status, why.reason[: len(reason)]) == (status, reason)


def test_disruption_says_that_it_measures_anew() -> None:
    """Both after the past was thrown away, and where it only has to be confirmed."""
    state = after(sample("a", at_s=100))

    lost, doubted = model.disrupt(state, 101 * S_NS), model.doubt(state)

    for one, bounded in ((lost, False), (doubted, True)):
        why = explain(one, 102 * S_NS)
        assert (why.status, why.bounded) == (3, bounded)
        assert "measuring anew" in why.reason


def test_source_without_a_bound_says_so() -> None:
    """-1, and no terms: there is nothing to add up."""
    unbounded: Any = sample("kernel", at_s=100, origin="kernel", half_width_ms=None)
    spoken = msgspec.structs.replace(unbounded, terms=TERMS)

    (kernel,) = explained(spoken).sources

    assert (kernel.half_width_ns, kernel.terms) == (-1, {})
