"""What clock_model says of each source when asked: the vote, taken anew at that instant. Pure.

Between samples sources fall silent and intervals grow, so the verdicts of the last sample would
be out of date just when somebody wonders.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from hourbook.clock import model, register, voting
from hourbook.clock.publication import centre_ns
from hourbook.clock.register import Source
from hourbook.clock.state import State
from hourbook.clock.voting import Verdict
from protocols.clock_messages import ClockEstimate
from protocols.source_messages import Judged, SourceReport

__all__ = ["Since", "judge", "since"]

_MS_NS: Final = 1_000_000


class Since(NamedTuple):
    """A standing, and the raw time of the sample with which it began."""

    standing: str
    raw_ns: int


def since(before: Mapping[str, Since], state: State, raw_ns: int) -> dict[str, Since]:
    """Return since when each source has the standing that it has."""
    return {
        verdict.source: known
        if (known := before.get(verdict.source)) and known.standing == verdict.standing
        else Since(verdict.standing, raw_ns)
        for verdict in state.voted.verdicts
    }


def judge(state: State, raw_ns: int, known: Mapping[str, Since]) -> Judged:
    """Return every source that was heard, as it stands at `raw_ns`."""
    voted = voting.vote(state.sources, raw_ns, state.drift, state.votes_awaited)
    estimate = model.estimate(state, raw_ns)
    return Judged(
        sources=tuple(
            _report(
                state,
                state.sources[verdict.source],
                verdict,
                estimate,
                since_raw_ns=_since_raw_ns(verdict, known, raw_ns),
            )
            for verdict in voted.verdicts
        ),
        voters=voted.voters,
        awaited=tuple(sorted(state.awaited.names)) if voted.out else (),
        has_majority=voted.interval is not None,
        bound_violations=state.counters.bound_violations,
    )


def _since_raw_ns(verdict: Verdict, known: Mapping[str, Since], raw_ns: int) -> int:
    noted = known.get(verdict.source)
    return noted.raw_ns if noted and noted.standing == verdict.standing else raw_ns


def _report(
    state: State, source: Source, verdict: Verdict, estimate: ClockEstimate, *, since_raw_ns: int
) -> SourceReport:
    raw_ns = estimate.as_of_raw_ns
    newest = source.newest
    interval = register.interval_at(source, raw_ns, state.drift)
    return SourceReport(
        source=verdict.source,
        origin=newest.origin,
        standing=verdict.standing,
        reason=verdict.reason,
        standing_ms=(raw_ns - since_raw_ns) // _MS_NS,
        offset_ns=newest.utc_ns - centre_ns(estimate, newest.raw_ns),
        delay_ns=register.best(source, raw_ns, state.drift).delay_ns,
        root_distance_ns=interval.half_width_ns if interval else -1,
        sample_age_ms=(raw_ns - newest.raw_ns) // _MS_NS,
        poll_s=newest.poll_s,
        stratum=newest.stratum,
        leap=newest.leap,
        smear=newest.smear,
        samples=source.absorbed,
        contradictions=source.contradictions,
    )
