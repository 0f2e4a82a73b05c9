"""From samples to an estimate: the state of the clock and the two functions over it.

``absorb(state, sample)`` judges one measurement, lets the sources vote, checks the new interval
against the old one and moves the filter; ``estimate(state, raw_ns)`` says what is known of an
instant. Both are pure, the state is frozen, and the only clock in here is that of the samples.

Three rules keep the interval honest:

- it comes from the vote alone; the filter's centre is clamped into it and never narrows it;
- a new interval must overlap the old one carried forward. If not, one of them was wrong: that is a
  *bound violation*. The past is thrown away (`DISRUPTED`) and the sources are asked again;
- a weaker origin never votes beside a stronger one, nor once a stronger one has spoken.

While votes are out that could change the result (:mod:`.awaited`), what is in force stays so.
"""

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from hourbook.clock import centre, rate, register, status, voting
from hourbook.clock.awaited import Awaited
from hourbook.clock.bias import bias_ns
from hourbook.clock.bounds import overlaps
from hourbook.clock.centre import Centre
from hourbook.clock.changes import JUDGED_MIN
from hourbook.clock.line import Line, Reference
from hourbook.clock.observation import Observation, doubt_ns
from hourbook.clock.rate import Anchor
from hourbook.clock.state import NO_SOURCES, RATE_PRIOR_SIGMA_PPB, Held, Rejected, State
from hourbook.clock.status import Happening, Status
from protocols.clock_messages import FLAG_SINGLE_SOURCE, UNBOUNDED_NS, ClockEstimate, ClockSample

__all__ = ["SOURCES_MAX", "absorb", "await_votes", "disrupt", "doubt", "estimate"]

SOURCES_MAX: Final = 64
"""More than a configuration may name; a bound on what a stranger's messages can make us keep."""
WALL_JUMP_NS: Final = 5_000_000
"""More than slewing at 500 ppm can do between two looks."""
_UTC_NS_RANGE: Final = range(1 << 62)
_S_NS: Final = 1_000_000_000
_STRENGTH: Final = {"none": 0, "kernel": 1, "asserted": 2, "ntp": 3}


def absorb(state: State, sample: ClockSample) -> State:
    """Return the state after one more measurement; `rejected` says why one was not taken."""
    if rejected := _reject(state, sample):
        return replace(state, rejected=rejected)
    raw_ns = max(sample.raw_ns, state.held.raw_ns if state.held else 0)
    before_ns = _centre_ns(state, raw_ns)
    state = _take_over(state, sample)
    source = register.absorb(state.sources.get(sample.source), sample, state.drift)
    sources = MappingProxyType({**state.sources, sample.source: source})
    state = _voted(replace(state, sources=sources, rejected=""), raw_ns)
    return _marked_step(_decided(state, sample, raw_ns), raw_ns, before_ns)


def await_votes(state: State, awaited: Awaited, raw_ns: int) -> State:
    """Return the state after hearing whose votes are out.

    Where the last vote was taken with more of them out, it is taken again: who waited in vain for
    the others decides without them, at once and not only with the next sample.
    """
    state = replace(state, awaited=awaited)
    if not state.voted.out:
        return state
    raw_ns = max(raw_ns, state.held.raw_ns if state.held else 0)
    before_ns, before = _centre_ns(state, raw_ns), state.voted
    state = _voted(state, raw_ns)
    if state.voted.out >= before.out or not state.sources:
        return replace(state, voted=before)
    names = state.voted.selected or state.sources.keys()
    sample = max((state.sources[name].newest for name in names), key=lambda s: s.raw_ns)
    state = _decided(state, sample, raw_ns, is_new=before.interval is None)
    return _marked_step(state, raw_ns, before_ns)


def disrupt(state: State, raw_ns: int, *, step_ns: int = 0) -> State:
    """Return the state after something that makes the past worthless; the line goes on, unbounded.

    A suspend, a step seen by others, a contradicted interval: whatever was measured before says
    nothing of UTC any more. An epoch begins: a raw time of before lies on another scale. At a leap
    second the line goes on `step_ns` beside.
    """
    counters = replace(
        state.counters,
        disruptions=state.counters.disruptions + 1,
        steps=state.counters.steps + 1,
    )
    line = centre.predict(state.centre, raw_ns)
    observation = Observation(raw_ns, line.utc_ns + step_ns, line.utc_ns + step_ns)
    return replace(
        state,
        rate_prior=(line.rate_ppb, RATE_PRIOR_SIGMA_PPB),
        centre=centre.start(observation, line.rate_ppb, RATE_PRIOR_SIGMA_PPB),
        followed="none",
        sources=NO_SOURCES,
        held=None,
        proven=None,
        drift=state.limits.unproven,
        anchors=(),
        status=status.after(state.status, Happening.DISRUPTED),
        voted=voting.NO_VOTE,
        flags=0,
        last_step_raw_ns=raw_ns,
        counters=counters,
    )


def doubt(state: State) -> State:
    """Return the state after something that spoils nothing, and yet must be checked.

    The kernel's clock was set by others: what was measured on RAW stands, with its interval, until
    the next sample confirms it.
    """
    return replace(state, status=status.after(state.status, Happening.DISRUPTED))


def estimate(state: State, raw_ns: int) -> ClockEstimate:
    """Return what is known of `raw_ns`, which is not before the last sample.

    `is_step` is left to the sender, who knows which epochs were announced.
    """
    line = centre.predict(state.centre, raw_ns)
    rate_ppb = min(
        max(round(line.rate_ppb), state.drift.reference_ppb - state.drift.max_drift_ppb),
        state.drift.reference_ppb + state.drift.max_drift_ppb,
    )
    interval = state.held.at(raw_ns, state.drift) if state.held else None
    utc_ns = interval.clamp(line.utc_ns) if interval else line.utc_ns
    return ClockEstimate(
        as_of_raw_ns=raw_ns,
        utc_ns=utc_ns,
        rate=rate.to_fixed(rate_ppb),
        bounded=interval is not None,
        earliest_off_ns=interval.earliest_ns - utc_ns if interval else 0,
        latest_off_ns=interval.latest_ns - utc_ns if interval else 0,
        growth_ppb=state.drift.growth_ppb(rate_ppb) + 1,  # `rate` rounds to less than 1 ppb
        sigma_offset_ns=round(line.sigma_offset_ns),
        sigma_rate_ppb=round(line.sigma_rate_ppb),
        q68_ns=round(line.q68_ns),
        q95_ns=round(line.q95_ns),
        status=int(_status_at(state, raw_ns)),
        source=state.origin,
        sources_selected=len(state.voted.selected),
        sources_total=state.voted.voters,
        confidence=_confidence(state, raw_ns),
        last_sample_raw_ns=state.last_sample_raw_ns,
        poll_s=state.poll_s,
        samples=state.counters.samples,
        steps=state.counters.steps,
        disruptions=state.counters.disruptions,
        bound_violations=state.counters.bound_violations,
        last_step_raw_ns=state.last_step_raw_ns,
        flags=state.flags,
        void_after_s=state.limits.void_after_s,
    )


# -- one sample ---------------------------------------------------------------------------------


def _reject(state: State, sample: ClockSample) -> Rejected:
    source = state.sources.get(sample.source)
    if _STRENGTH[sample.origin] < _STRENGTH[state.origin]:
        return "weaker_origin"
    if source is None and len(state.sources) >= SOURCES_MAX:
        return "too_many_sources"
    if source is not None and sample.raw_ns <= source.newest.raw_ns:
        return "out_of_order"
    if sample.utc_ns not in _UTC_NS_RANGE:
        return "out_of_range"
    return ""


def _take_over(state: State, sample: ClockSample) -> State:
    """Let a stronger origin start afresh: what a weaker one said is no ground to build on.

    Its interval is out of force at once, and kept only to be checked against its successor.
    """
    if state.origin == sample.origin:
        return state
    return replace(state, origin=sample.origin, sources=NO_SOURCES, held=None, anchors=())


def _voted(state: State, raw_ns: int) -> State:
    voted = voting.vote(state.sources, raw_ns, state.drift, state.votes_awaited)
    return replace(state, voted=voted)


def _decided(state: State, sample: ClockSample, raw_ns: int, *, is_new: bool = True) -> State:
    """Put into force what the vote says; `sample`, the newest, may move the centre, once."""
    if _contradicts(state, raw_ns):
        if state.held is not None:
            disrupted = disrupt(_violated(state), raw_ns)
            return _kept_centre(disrupted, state, sample) if is_new else disrupted
        state = _voted(_violated(state), raw_ns)
    if state.voted.interval is not None:
        return _accept(state, sample, Held(raw_ns, state.voted.interval), is_new=is_new)
    return state if state.voted.out else _without_majority(state, sample)


def _contradicts(state: State, raw_ns: int) -> bool:
    """Say whether the vote and the last proven interval cannot both be true."""
    if state.proven is None or state.voted.interval is None:
        return False
    return not overlaps(state.proven.at(raw_ns, state.drift), state.voted.interval)


def _violated(state: State) -> State:
    """Count a contradiction, and believe nothing that rests on the interval that it disproves.

    Anchors least of all: a rate between a false interval and a true one may be any, and time that
    follows it runs backwards.
    """
    violations = state.counters.bound_violations + 1
    return replace(
        state,
        counters=replace(state.counters, bound_violations=violations),
        proven=None,
        anchors=(),
        drift=state.limits.unproven,
    )


def _kept_centre(disrupted: State, state: State, sample: ClockSample) -> State:
    """Let a lone source that contradicts itself move the centre, once that can tell spike and step.

    Where others speak as well nobody knows which of them the centre had followed wrongly.
    """
    if len(state.sources) > 1 or len(state.centre.fusion.errors_ns) < JUDGED_MIN:
        return disrupted
    moved = _moved(state, sample)
    return replace(disrupted, centre=moved.centre, followed=moved.followed)


def _without_majority(state: State, sample: ClockSample) -> State:
    """Sources that disagree leave the line as it is; one without a bound may still lead it."""
    happening = status.after(state.status, Happening.NO_MAJORITY)
    state = replace(state, held=None, status=happening, flags=sample.flags)
    return _moved(state, sample) if sample.half_width_ns == UNBOUNDED_NS else state


def _accept(state: State, sample: ClockSample, held: Held, *, is_new: bool) -> State:
    """Put a new hard interval in force, and let the sample move the centre if it is selected."""
    is_proof = state.origin == "ntp"
    anchors, drift = state.anchors, state.drift
    if is_proof:
        anchors = rate.keep(anchors, Anchor(held.raw_ns, held.interval))
        drift = rate.measure(anchors, state.limits.unproven, state.limits.max_drift_ppb)
    state = replace(
        state,
        held=held,
        proven=held,
        anchors=anchors,
        drift=drift,
        flags=sample.flags | (FLAG_SINGLE_SOURCE if state.voted.voters == 1 else 0),
        status=status.after(state.status, Happening.PROVEN if is_proof else Happening.UNPROVEN),
    )
    return _moved(state, sample) if is_new and sample.source in state.voted.selected else state


def _moved(state: State, sample: ClockSample) -> State:
    """Move the centre by an accepted sample."""
    quiet_ns = state.sources[sample.source].delay_ns_min
    queued_ns = sample.delay_ns - quiet_ns
    selected = state.voted.selected
    bias = 0
    if len(selected) > 1:
        bias = bias_ns(state.sources, selected, sample.source, _line(state, sample.raw_ns))
    observation = Observation(
        raw_ns=sample.raw_ns,
        utc_ns=sample.utc_ns - bias,
        wall_ns=sample.utc_ns - sample.realtime_offset_ns,
        queued_ns=queued_ns,
        doubt_ns=doubt_ns(queued_ns, quiet_ns + sample.root_delay_ns),
        bias_ns=bias,
    )
    if state.followed != sample.origin:
        moved = centre.start(observation, *state.rate_prior)
    elif sample.origin != "ntp" and _is_wall_jump(state.centre, sample):
        moved = centre.restart(state.centre, observation)
    else:
        moved = centre.observe(state.centre, observation)
    polls = [state.sources[name].newest.poll_s for name in selected if name in state.sources]
    return replace(
        state,
        centre=moved,
        followed=sample.origin,
        poll_s=max(polls, default=sample.poll_s),
        last_sample_raw_ns=max(sample.raw_ns, state.last_sample_raw_ns),
        counters=replace(state.counters, samples=state.counters.samples + 1),
    )


def _line(state: State, raw_ns: int) -> Line:
    """Return the centre about an instant as one line."""
    utc_ns = centre.utc_ns(state.centre, raw_ns)
    return Line(Reference(raw_ns, utc_ns), 0.0, centre.rate(state.centre, raw_ns)[0])


def _is_wall_jump(line: Centre, sample: ClockSample) -> bool:
    """Say whether the wall clock was set: it is the centre there, and its jump no spike."""
    return abs(centre.utc_ns(line, sample.raw_ns) - sample.utc_ns) > WALL_JUMP_NS


def _marked_step(state: State, raw_ns: int, before_ns: int) -> State:
    """Begin a new epoch where the centre moved further than may be slewed."""
    is_marked = state.last_step_raw_ns == raw_ns  # by a disruption
    if is_marked or abs(_centre_ns(state, raw_ns) - before_ns) <= state.limits.step_threshold_ns:
        return state
    counters = replace(state.counters, steps=state.counters.steps + 1)
    return replace(state, counters=counters, last_step_raw_ns=raw_ns)


# -- what an estimate is made of -----------------------------------------------------------------


def _centre_ns(state: State, raw_ns: int) -> int:
    utc_ns = centre.utc_ns(state.centre, raw_ns)
    return state.held.at(raw_ns, state.drift).clamp(utc_ns) if state.held else utc_ns


def _status_at(state: State, raw_ns: int) -> Status:
    age_ns = raw_ns - state.last_sample_raw_ns
    return status.at_age(state.status, age_ns, state.poll_s, state.limits.void_after_s)


def _confidence(state: State, raw_ns: int) -> float:
    """Agreement of the votes, fill of the registers that agree, halved with each `void_after`."""
    selected = [state.sources[name] for name in state.voted.selected]
    if state.held is None or not selected:
        return 0.0
    fill = sum(len(source.samples) for source in selected) / (
        len(selected) * register.REGISTER_SIZE
    )
    age_s = max(raw_ns - state.last_sample_raw_ns, 0) / _S_NS
    agreement = len(selected) / state.voted.voters
    return float(agreement * fill * 0.5 ** (age_s / state.limits.void_after_s))
