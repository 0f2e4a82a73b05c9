"""What the model says of each source when asked: the vote of that instant, and since when."""

from fakes.clock_samples import S_NS, UTC_0_NS, sample

from hourbook.clock import model, source_reports, state, withdrawal
from hourbook.clock.source_reports import Since
from hourbook.clock.state import Limits, State
from hourbook.clock.status import Status
from protocols.clock_messages import ClockSample
from protocols.source_messages import SourceReport


def fed(*samples: ClockSample) -> State:
    """Return a model that has heard the samples."""
    now = state.initial(Limits(), 0, UTC_0_NS)
    for one in samples:
        now = model.absorb(now, one)
    return now


def reports(now: State, at_s: int) -> dict[str, SourceReport]:
    """Return what is said of each source at a time."""
    return {one.source: one for one in source_reports.judge(now, at_s * S_NS, {}).sources}


def test_report_carries_offset_delay_and_distance() -> None:
    """The liar is half a second ahead of the estimate; distances grow by 500 ppm."""
    now = fed(
        sample("a", at_s=1, delay_ms=7), sample("b", at_s=1), sample("c", at_s=1, offset_ms=520)
    )

    said = reports(now, 11)

    assert [one.standing for one in said.values()] == ["selected", "selected", "falseticker"]
    assert abs(said["a"].offset_ns) < 1_000_000
    assert abs(said["c"].offset_ns - 520_000_000) < 1_000_000
    assert (said["a"].delay_ns, said["a"].root_distance_ns) == (7_000_000, 15_000_000)
    assert (said["a"].sample_age_ms, said["a"].poll_s, said["a"].samples) == (10_000, 16, 1)


def test_silence_shows_without_another_sample() -> None:
    """Nobody is heard any more, so no sample brings a new vote; the answer has one of its own."""
    now = fed(sample("a", at_s=1), sample("b", at_s=1))

    judged = source_reports.judge(now, 1000 * S_NS, {})

    assert {one.standing for one in judged.sources} == {"silent"}
    assert (judged.voters, judged.has_majority) == (0, False)


def test_source_without_an_interval_has_no_distance() -> None:
    """An unsynchronised kernel."""
    now = fed(sample("kernel", at_s=1, origin="kernel", half_width_ms=None))

    assert reports(now, 2)["kernel"].root_distance_ns == -1


def test_standing_is_dated_from_the_sample_that_brought_it() -> None:
    """An hour as a falseticker counts from its first lie, whatever comes after."""
    honest = [sample(name, at_s=1) for name in "abc"]
    known = source_reports.since({}, fed(*honest), 1 * S_NS)

    lying = fed(*honest, sample("c", at_s=20, offset_ms=900))
    known = source_reports.since(known, lying, 20 * S_NS)
    known = source_reports.since(known, lying, 36 * S_NS)
    judged = source_reports.judge(lying, 50 * S_NS, known)

    assert known["c"] == Since("falseticker", 20 * S_NS)
    assert [one.standing_ms for one in judged.sources] == [49_000, 49_000, 30_000]


def test_withdrawn_source_has_no_vote_any_more() -> None:
    """Two that disagree promise nothing; once one is removed, the other's next word counts."""
    split = fed(sample("a", at_s=1), sample("liar", at_s=1, offset_ms=900))

    left = withdrawal.withdraw(split, ["liar"], 2 * S_NS)
    after = model.absorb(left, sample("a", at_s=3))

    assert split.voted.interval is None
    assert set(reports(left, 2)) == {"a"}
    assert left.voted.selected == {"a"}
    assert after.status is Status.SYNCHRONIZED


def test_withdrawing_keeps_the_interval_that_is_in_force() -> None:
    """It was true when it came; without any source it only grows."""
    now = fed(sample("a", at_s=1), sample("b", at_s=1))

    left = withdrawal.withdraw(now, ["a", "b"], 2 * S_NS)

    assert model.estimate(left, 2 * S_NS).bounded
    assert (left.voted.voters, reports(left, 2)) == (0, {})
    assert withdrawal.withdraw(now, ["never heard"], 2 * S_NS) is now
