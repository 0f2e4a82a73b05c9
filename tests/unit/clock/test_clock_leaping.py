"""A leap second: both sides are covered until samples decide, and smeared ones do nothing."""

from dataclasses import replace

import pytest
from fakes.clock_samples import S_NS, UTC_0_NS, sample, truth_ns
from fakes.time_pages import page_now

from hourbook.clock import leaping, model
from hourbook.clock.leap import Leaps, LeapTable
from hourbook.clock.leaping import NOTHING_AHEAD, Ahead, ahead_of
from hourbook.clock.publication import across_leap
from hourbook.clock.state import Limits, State, initial
from hourbook.clock.status import Status

LEAP_S = UTC_0_NS // S_NS + 100
TABLE = LeapTable("table", LEAP_S + 10**6, ((LEAP_S - 10**6, 37), (LEAP_S, 38)))
MS = 1_000_000


def synchronized(at_s: float = 90) -> State:
    """Return a state with an interval of 10 ms either side, on the scale of before."""
    return model.absorb(initial(Limits(), 0, truth_ns(0)), sample("a", at_s=at_s))


@pytest.mark.parametrize(
    ("leaps", "smear_kind", "ahead"),
    [
        (Leaps(LEAP_S, 37, 38), 0, Ahead(LEAP_S * S_NS, -S_NS)),
        (Leaps(LEAP_S, 38, 37), 0, Ahead((LEAP_S - 1) * S_NS, S_NS)),
        (Leaps(LEAP_S, 37, 38), 1, None),
        (Leaps(0, 37, 37), 0, None),
        (Leaps(), 0, None),
    ],
    ids=["inserted", "removed", "smeared", "none", "unknown"],
)
def test_what_is_ahead(leaps: Leaps, smear_kind: int, ahead: Ahead | None) -> None:
    """An inserted second steps back at the event, a removed one ahead a second earlier."""
    assert ahead_of(leaps, smear_kind) == ahead


def test_leap_covers_both_sides_once_and_asks_again() -> None:
    """The centre steps back, the interval holds both times, and the second is not counted twice."""
    before = leaping.look(NOTHING_AHEAD, synchronized(), 90 * S_NS, TABLE)

    leapt = leaping.look(before.watch, before.state, 100 * S_NS + MS, TABLE)
    again = leaping.look(leapt.watch, leapt.state, 100 * S_NS + 500 * MS, TABLE)
    over = leaping.look(again.watch, again.state, 102 * S_NS, TABLE)

    said = model.estimate(leapt.state, 100 * S_NS + MS)
    old_ns = truth_ns(100 * S_NS + MS)
    assert (leapt.happened, again.happened, over.happened) == ("leapt", "", "over")
    assert said.utc_ns == pytest.approx(old_ns - S_NS, abs=MS)
    assert said.utc_ns + said.earliest_off_ns < old_ns - S_NS < old_ns
    assert said.utc_ns + said.latest_off_ns > old_ns
    assert (said.status, said.steps, said.disruptions) == (Status.DISRUPTED, 1, 0)
    assert again.watch.ahead is over.watch.ahead is None
    assert again.leaps.utc_s == over.leaps.utc_s == 0


@pytest.mark.parametrize("stepped_ms", [-1000.0, 0.0])
def test_samples_decide_for_either_side(stepped_ms: float) -> None:
    """Sources that stepped, and an announcement that was false, are no contradiction."""
    before = leaping.look(NOTHING_AHEAD, synchronized(), 90 * S_NS, TABLE)
    leapt = leaping.look(before.watch, before.state, 100 * S_NS + MS, TABLE)

    after = model.absorb(leapt.state, sample("a", at_s=103, offset_ms=stepped_ms))

    said = model.estimate(after, 103 * S_NS)
    assert said.utc_ns == truth_ns(103 * S_NS) + stepped_ms * MS
    assert (said.status, said.bound_violations) == (Status.SYNCHRONIZED, 0)
    assert said.latest_off_ns - said.earliest_off_ns < 21 * MS


def test_no_sample_is_taken_near_the_instant() -> None:
    """From a second before until a second after, both with the interval's own width."""
    watch = leaping.look(NOTHING_AHEAD, synchronized(), 90 * S_NS, TABLE).watch
    state = synchronized()
    leapt = leaping.look(watch, state, 100 * S_NS + MS, TABLE)

    near = [leaping.is_near(watch, state, at * S_NS // 10) for at in (989, 990, 999)]
    after = [leaping.is_near(leapt.watch, leapt.state, at * S_NS // 10) for at in (1009, 1011)]

    assert near == [False, True, True]
    assert after == [True, False]


def test_restart_after_the_leap_finds_that_it_happened() -> None:
    """The interval of an earlier run is of before; nobody was there to see it."""
    watch = leaping.watch_since(synchronized(), 200 * S_NS, TABLE)

    looked = leaping.look(watch, synchronized(), 200 * S_NS, TABLE)

    assert looked.happened == "leapt"


def test_announcement_outlives_those_who_made_it() -> None:
    """No table holds; the sources announced it, and a disruption has silenced them."""
    table = replace(TABLE, expires_s=LEAP_S - 10**6, changes=TABLE.changes[:1])
    watch = replace(NOTHING_AHEAD, ahead=Ahead(LEAP_S * S_NS, -S_NS))

    looked = leaping.look(watch, model.disrupt(synchronized(), 91 * S_NS), 91 * S_NS, table)

    assert looked.watch.ahead == watch.ahead


@pytest.mark.parametrize(
    ("tai", "smear", "ends"),
    [
        (38 << 32 | 37, 0, (-S_NS, 0)),
        (36 << 32 | 37, 0, (0, S_NS)),
        (38 << 32 | 37, 1, (0, 0)),
        (37 << 32 | 37, 0, (0, 0)),
        (0, 0, (0, 0)),
    ],
)
def test_page_covers_both_sides(tai: int, smear: int, ends: tuple[int, int]) -> None:
    """A page of before widens by itself as soon as it may be after."""
    page = page_now(leap_utc_s=LEAP_S, leap_tai_s=tai, leap_smear=smear)

    early = across_leap(page, 0, (LEAP_S - 2) * S_NS)
    late = across_leap(page, 0, LEAP_S * S_NS)

    assert early == (0, (LEAP_S - 2) * S_NS)
    assert late == (ends[0], LEAP_S * S_NS + ends[1])
