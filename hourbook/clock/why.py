"""Every term of the hard interval, and why the status is what it is: from the model's state. Pure.

The interval that is in force came of one vote. Each of its ends is the end of one source's
interval, carried to now; and that is the sum of what its best sample could hide, widened with age:

    half-width now = sum of the sample's terms + age * max_drift
"""

from typing import Final

from hourbook.clock import model, register, voting
from hourbook.clock.state import Held, State
from hourbook.clock.status import STALE_POLLS, Status
from protocols.clock_messages import ClockEstimate
from protocols.why_messages import SourceWhy, Why

__all__ = ["explain"]

_VOTING: Final = ("selected", "falseticker", "same_upstream")
"""Standings of sources whose interval is part of a vote."""
_S_NS: Final = 1_000_000_000


def explain(state: State, raw_ns: int) -> Why:
    """Return what is to be said of `raw_ns`; counters of the actor are left to it."""
    now = model.estimate(state, raw_ns)
    begins, ends = _authors(state, state.held) if state.held else ("", "")
    vote_age_ns = raw_ns - state.held.raw_ns if state.held else 0
    verdicts = {verdict.source: verdict for verdict in state.voted.verdicts}
    return Why(
        raw_ns=raw_ns,
        status=now.status,
        reason=_reason(state, now),
        bounded=now.bounded,
        earliest_off_ns=now.earliest_off_ns,
        latest_off_ns=now.latest_off_ns,
        earliest_source=begins,
        latest_source=ends,
        vote_age_ns=vote_age_ns,
        growth_ns=_growth_ns(state, vote_age_ns),
        rate_ppb=now.rate * _S_NS >> 48,
        reference_ppb=state.drift.reference_ppb,
        max_drift_ppb=state.drift.max_drift_ppb,
        is_rate_measured=state.drift != state.limits.unproven,
        growth_ppb=now.growth_ppb,
        sources=tuple(
            _of_source(
                state,
                name,
                now,
                standing=verdicts[name].standing if name in verdicts else "silent",
                reason=verdicts[name].reason if name in verdicts else "",
            )
            for name in state.sources
        ),
        sources_selected=now.sources_selected,
        sources_total=now.sources_total,
        bound_violations=now.bound_violations,
        samples=now.samples,
        steps=now.steps,
    )


def _of_source(
    state: State, name: str, now: ClockEstimate, *, standing: str, reason: str
) -> SourceWhy:
    source, raw_ns = state.sources[name], now.as_of_raw_ns
    speaker = register.best(source, raw_ns, state.drift)
    interval = register.interval_at(source, raw_ns, state.drift)
    age_ns = raw_ns - speaker.raw_ns
    return SourceWhy(
        source=name,
        origin=speaker.origin,
        standing=standing,
        reason=reason,
        stratum=speaker.stratum,
        terms=speaker.terms if interval else {},
        half_width_ns=speaker.half_width_ns if interval else -1,
        age_ns=age_ns,
        growth_ns=_growth_ns(state, age_ns),
        earliest_off_ns=interval.earliest_ns - now.utc_ns if interval else 0,
        latest_off_ns=interval.latest_ns - now.utc_ns if interval else 0,
    )


def _authors(state: State, held: Held) -> tuple[str, str]:
    """Return whose intervals the hull begins and ends with.

    The nearest: the premise, and with it every width, may have moved since the vote.
    """
    voters = [v.source for v in state.voted.verdicts if v.standing in _VOTING]
    carried = {
        name: register.interval_at(state.sources[name], held.raw_ns, state.drift) for name in voters
    }
    ends = {name: interval for name, interval in carried.items() if interval is not None}
    if not ends:
        return "", ""
    return (
        min(ends, key=lambda name: abs(ends[name].earliest_ns - held.interval.earliest_ns)),
        min(ends, key=lambda name: abs(ends[name].latest_ns - held.interval.latest_ns)),
    )


def _growth_ns(state: State, age_ns: int) -> int:
    return -(-abs(age_ns) * state.drift.max_drift_ppb // _S_NS)


def _reason(state: State, now: ClockEstimate) -> str:
    """Return in one line why the model's status is what it is."""
    status = Status(now.status)
    age_ns = now.as_of_raw_ns - state.last_sample_raw_ns
    silence = f"no accepted sample for {age_ns / _S_NS:.1f} s"
    polls = f"{STALE_POLLS} polls of {state.poll_s} s"
    agree = f"{now.sources_selected} of {now.sources_total} sources agree"
    doubts = [v.reason for v in state.voted.verdicts if v.standing == "no_majority"]
    waiting = _waiting(state, now.as_of_raw_ns) if status is not Status.SYNCHRONIZED else ""
    is_stale = age_ns > STALE_POLLS * state.poll_s * _S_NS
    is_own_clock = state.origin in ("kernel", "asserted")
    reasons = (
        (bool(waiting), waiting),
        (
            status is Status.DISRUPTED,
            "what was measured before a disruption does not carry over; measuring anew",
        ),
        (not state.last_sample_raw_ns and not doubts, "no source has been heard yet"),
        (
            status is Status.UNKNOWN and bool(doubts),
            f"the sources contradict each other: {''.join(doubts[:1])}",
        ),
        (
            status is Status.UNKNOWN and is_own_clock and not is_stale,
            f"this machine's own clock vouches for no interval ({state.origin})",
        ),
        (status is Status.UNKNOWN, f"no source vouches for an interval; {silence}"),
        (
            status is Status.SYNCHRONIZED,
            f"{agree}, the last was heard {age_ns / _S_NS:.1f} s ago",
        ),
        (is_stale, f"{silence}, more than {polls}"),
        (
            is_own_clock,
            f"only this machine's own clock vouches for the interval ({state.origin})",
        ),
    )
    carried = "the interval is of an earlier run; the first sample of this one will check it"
    return next((words for holds, words in reasons if holds), carried)


def _waiting(state: State, raw_ns: int) -> str:
    """Return whose votes are out, "" where none is."""
    awaited = state.votes_awaited
    if raw_ns < awaited.until_raw_ns and not awaited.is_told:
        return "waiting to hear which sources are asked"
    voted = voting.vote(state.sources, raw_ns, state.drift, awaited)
    all_votes = voted.voters + voted.out
    return f"waiting for {voted.out} of {all_votes} sources" if voted.out else ""
