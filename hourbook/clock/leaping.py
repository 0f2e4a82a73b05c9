"""What a leap second does to an interval that was measured before it. Pure.

POSIX time steps at a leap second, CLOCK_MONOTONIC_RAW does not. So from the announced instant on,
counted on the scale of before, an interval [E, L] may be about either of two times: that of sources
which stepped as announced, and that of sources which did not, for the announcement was false. With
`step` the announced one (-1 s where a second is inserted), the interval is [E + step, L] then, or
[E, L + step] where one is removed, until fresh samples vouch for one side:

1. **near**: UTC may be within `GUARD_NS` of the instant: no sample is taken. Nobody can tell on
   which scale it is, and a server that is ahead steps ahead.
2. **leapt**: the centre is there. It steps, which begins an epoch; the interval covers both sides;
   what the sources said before is forgotten. DISRUPTED.
3. **over**: UTC is certainly past the guard: the sources are asked again.

Readers of a page that was published before widen its interval by themselves (docs/SEGMENT.md): the
publisher may be dead. Sources of a smearing family do not step, and nothing of this happens.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from hourbook.clock import leap, model
from hourbook.clock.bounds import Interval
from hourbook.clock.leap import Leaps, LeapTable
from hourbook.clock.state import Held, State

__all__ = [
    "GUARD_NS",
    "NOTHING_AHEAD",
    "Ahead",
    "Looked",
    "Watch",
    "ahead_of",
    "is_near",
    "look",
    "watch_since",
]

GUARD_NS: Final = 1_000_000_000
"""About the instant; more than a server that NTP accepts is wrong by."""
WIDTH_NS_MAX: Final = 4_000_000_000
"""A wider interval is about no instant: samples are taken, for they can only improve it."""
_S_NS: Final = 1_000_000_000


class Ahead(NamedTuple):
    """The next event: where on the scale of before it happens, and by how much POSIX time steps."""

    utc_ns: int
    step_ns: int

    def both(self, interval: Interval) -> Interval:
        """Return an interval of before that covers both sides."""
        return Interval(
            interval.earliest_ns + min(self.step_ns, 0), interval.latest_ns + max(self.step_ns, 0)
        )


@dataclass(frozen=True, slots=True)
class Watch:
    """What is to come.

    Attributes:
        ahead: the next event, None for none known.
        passed_utc_s: the last one that happened; an inserted second is counted twice, and the
            event must not happen twice.
        over_raw_ns: when the sources may be asked again; 0: nothing is under way.
    """

    ahead: Ahead | None = None
    passed_utc_s: int = 0
    over_raw_ns: int = 0


NOTHING_AHEAD: Final = Watch()


class Looked(NamedTuple):
    """The state after a look, what is known of leap seconds now, and what happened."""

    watch: Watch
    state: State
    leaps: Leaps
    happened: Literal["", "leapt", "over"] = ""


def ahead_of(leaps: Leaps, smear_kind: int) -> Ahead | None:
    """Return the event that sources step at; None where none is known, or they smear it."""
    step_s = leaps.tai_before_s - leaps.tai_after_s
    if not leaps.utc_s or not step_s or smear_kind:
        return None
    return Ahead((leaps.utc_s - max(step_s, 0)) * _S_NS, step_s * _S_NS)


def look(watch: Watch, state: State, raw_ns: int, table: LeapTable | None) -> Looked:
    """Let a leap second happen if it is time; to be called before each sample, and often."""
    happened: Literal["", "leapt", "over"] = ""
    ahead = watch.ahead
    if ahead is not None and model.estimate(state, raw_ns).utc_ns >= ahead.utc_ns:
        over_raw_ns = raw_ns + _left_ns(state, raw_ns, ahead)
        state, happened = _leapt(state, raw_ns, ahead), "leapt"
        passed_utc_s = (ahead.utc_ns + max(ahead.step_ns, 0)) // _S_NS
        watch = Watch(None, passed_utc_s, over_raw_ns)
    elif watch.over_raw_ns and raw_ns >= watch.over_raw_ns:
        watch, happened = replace(watch, over_raw_ns=0), "over"
    samples = [state.sources[name].newest for name in state.voted.selected]
    utc_s = model.estimate(state, raw_ns).utc_ns // _S_NS
    if utc_s < watch.passed_utc_s <= utc_s + GUARD_NS // _S_NS:
        utc_s = watch.passed_utc_s  # the second that is counted twice
    leaps = leap.leaps_at(table, utc_s, [sample.leap for sample in samples])
    if samples or leaps.utc_s or ahead is None:  # nobody is there to announce it again
        _, smear_kind, _ = leap.smear_of([sample.smear for sample in samples])
        watch = replace(watch, ahead=ahead_of(leaps, smear_kind))
    return Looked(watch, state, leaps, happened)


def watch_since(state: State, raw_ns: int, table: LeapTable | None) -> Watch:
    """Return what was ahead of an interval of an earlier run: it may have happened since."""
    then_ns = state.held.raw_ns if state.held else raw_ns
    return look(NOTHING_AHEAD, state, then_ns, table).watch


def is_near(watch: Watch, state: State, raw_ns: int) -> bool:
    """Say whether a sample of now may be on either scale."""
    if raw_ns < watch.over_raw_ns:
        return True
    if watch.ahead is None:
        return False
    reach = _reach(state, raw_ns)
    is_wide = reach.latest_ns - reach.earliest_ns > WIDTH_NS_MAX
    return not is_wide and reach.latest_ns >= watch.ahead.utc_ns - GUARD_NS


def _reach(state: State, raw_ns: int) -> Interval:
    if state.held is not None:
        return state.held.at(raw_ns, state.drift)
    centre_ns = model.estimate(state, raw_ns).utc_ns
    return Interval(centre_ns, centre_ns)


def _left_ns(state: State, raw_ns: int, ahead: Ahead) -> int:
    """Return how long it takes until UTC is certainly past, the guard included."""
    reach = _reach(state, raw_ns)
    late_ns = ahead.utc_ns + GUARD_NS - reach.earliest_ns
    grown_ns = late_ns * state.drift.growth_ppb(0) // _S_NS + 1
    return min(max(late_ns + grown_ns, 0), GUARD_NS + WIDTH_NS_MAX)


def _leapt(state: State, raw_ns: int, ahead: Ahead) -> State:
    """Return the state on the other side: nothing is known but the interval, and that doubly."""
    held = state.held
    if held is not None:
        held = Held(raw_ns, ahead.both(held.at(raw_ns, state.drift)))
    after = model.disrupt(state, raw_ns, step_ns=ahead.step_ns)
    counters = replace(after.counters, disruptions=state.counters.disruptions)
    return replace(after, held=held, proven=held, counters=counters)
