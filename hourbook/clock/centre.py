"""The statistical estimate of UTC: two filters and a council of simple experts, fused. Pure.

State
    The last measurements; a short-term filter (`kalman`), a long-term regression (`regression`);
    what each expert says now (`experts`), what that was worth so far (`fusion`); the errors of the
    fused centre (`quantiles`); what was made of outliers (`changes`).

Assumptions
    Measurements come in the order of their times, or nearly. Sources differ by a bias that the
    caller has taken off, and says; quantiles are of the *raw* measurement, so it is put back there.

Equations
    centre(raw) = what the experts together say of raw, each line weighed by its recent losses
    rate        = of the filter with the smaller standard error: the long-term one once it has
                  enough, the short-term one before, and where the rate will not keep still
    sigma(raw)  = sqrt(spread of the experts^2 + the short-term filter's P11(raw))
    q(raw)      = sqrt(q_next^2 + z^2 (P11(raw) - P11(next))) where raw lies beyond the next
                  measurement: what was learnt at one interval, grown by what the filter expects

Order of one measurement: judge what was said, learn from it, then let everybody see it. A step
empties the window and the memory of the long-term model, since both are about offsets; the rate of
the short-term filter stays. While the step is on probation, what was known before it is kept aside.

Never: the centre bounds nothing. `model.py` clamps it into the hard interval.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import sub
from types import MappingProxyType
from typing import Final, NamedTuple

from hourbook.clock import changes, experts, fusion, kalman, quantiles, regression
from hourbook.clock.changes import CALM, Change, Changes
from hourbook.clock.fusion import Centred, Doubts, Fusion
from hourbook.clock.kalman import Filter
from hourbook.clock.line import S_NS, Guest, Opinion, Reference
from hourbook.clock.observation import DOUBT_NS_MIN, Observation, remember, window_about
from hourbook.clock.quantiles import Residuals
from hourbook.clock.regression import LongTerm
from hourbook.clock.robust import median

__all__ = [
    "Centre",
    "Estimate",
    "invite",
    "leader",
    "observe",
    "predict",
    "rate",
    "restart",
    "shares",
    "start",
    "utc_ns",
]

_SCATTER_MIN: Final = 5
"""Measurements before their scatter is taken for their noise."""
_SCATTER_LAST: Final = 17
_SCATTER_SIGMAS: Final = 1 / (0.6745 * math.sqrt(1.5))
"""From the median size of a point's distance from its neighbours' line to a standard deviation."""
_FACTOR_MIN: Final = 0.02
"""Doubt is never more than fifty times too large."""
_Z68: Final = 0.9945
_Z95: Final = 1.96
_NO_GUESTS: Final[Mapping[str, Guest]] = MappingProxyType({})


class Estimate(NamedTuple):
    """What is known of one instant; all statistical. Nanoseconds and ppb."""

    utc_ns: int
    rate_ppb: float
    sigma_offset_ns: float
    sigma_rate_ppb: float
    q68_ns: float
    q95_ns: float


@dataclass(frozen=True, slots=True)
class Centre:
    """See the head of the module.

    Attributes:
        seen: the last measurements, never empty.
        short_term: the Kalman filter.
        long_term: the regression.
        reference: the newest measurement.
        guests: opinions of others than our own experts, by name.
        opinions: what each expert says since the last measurement.
        weights: of each, in the same order.
        fusion: what they were worth, by name.
        residuals: errors of the centre against raw measurements.
        changes: spikes and steps.
        interval_s: usual time between measurements.
        typical_doubt_ns: median doubt of the last measurements.
        former: what was known before a step, while that is on probation.
    """

    seen: tuple[Observation, ...]
    short_term: Filter
    long_term: LongTerm
    reference: Reference
    guests: Mapping[str, Guest] = field(default_factory=lambda: _NO_GUESTS)
    opinions: tuple[Opinion, ...] = ()
    weights: tuple[float, ...] = ()
    fusion: Fusion = field(default_factory=Fusion)
    residuals: Residuals = field(default_factory=Residuals)
    changes: Changes = CALM
    interval_s: float = 0.0
    typical_doubt_ns: float = DOUBT_NS_MIN
    former: "Centre | None" = None


def start(observation: Observation, rate_ppb: float, sigma_rate_ppb: float) -> Centre:
    """Return the centre after its first measurement, with a prior of the rate."""
    begun = Centre(
        seen=(observation,),
        short_term=kalman.start(observation, rate_ppb, sigma_rate_ppb),
        long_term=regression.keep(LongTerm(), observation),
        reference=Reference(observation.raw_ns, observation.utc_ns),
    )
    return _heard(begun)


def restart(before: Centre, observation: Observation) -> Centre:
    """Return the centre moved to a measurement that it cannot explain; the rate is kept."""
    begun = _emptied(before, observation, _noise_factor(before.seen))
    return _heard(replace(begun, fusion=Fusion(), residuals=Residuals()))


def observe(before: Centre, observation: Observation) -> Centre:
    """Return the centre after one more measurement.

    Args:
        before: the centre.
        observation: the measurement; one that another overtook counts for the later instant.
    """
    before = _present(before, observation.raw_ns)
    if observation.raw_ns < before.seen[-1].raw_ns:
        observation = _brought_forward(observation, before)
    learnt, changed, residuals = _judged(before, observation)
    factor = _noise_factor((*before.seen, observation))
    if changed.change is Change.STEP:
        emptied = _emptied(before, observation, factor)
        on_probation = replace(before, guests=_NO_GUESTS, former=None)
        return _heard(
            replace(
                emptied, fusion=learnt, changes=changed, residuals=residuals, former=on_probation
            )
        )
    if changed.change is Change.RETURN and (former := before.former) is not None:
        before, learnt = former, former.fusion
    seen = replace(
        before,
        seen=remember(before.seen, observation),
        short_term=kalman.observe(before.short_term, observation, factor),
        long_term=regression.keep(before.long_term, observation),
        fusion=learnt,
        changes=changed,
        residuals=residuals,
        former=before.former if changed.probation else None,
    )
    return _heard(seen)


def invite(before: Centre, guests: Mapping[str, Guest]) -> Centre:
    """Return the centre with these guests and no others.

    Each stays until its instant, or until a step: what was said before that is about another line.
    """
    own = {
        name: opinion
        for name, opinion in zip(before.fusion.losses, before.opinions, strict=True)
        if name not in before.guests
    }
    found = {**guests, **own}
    admitted = fusion.admit(before.fusion, found)
    return replace(
        before,
        guests=MappingProxyType(dict(guests)),
        opinions=tuple(found.values()),
        weights=fusion.weights(admitted),
        fusion=admitted,
    )


def predict(centre: Centre, raw_ns: int) -> Estimate:
    """Return what is known of `raw_ns`."""
    centre = _present(centre, raw_ns)
    together = _together(centre, raw_ns)
    short = kalman.predict(centre.short_term, raw_ns)
    rate_ppb, sigma_rate_ppb = rate(centre, raw_ns)
    grown = _growth(centre, raw_ns, short.sigma_offset_ns)
    nearby = quantiles.next_error(centre.residuals, short.sigma_offset_ns)
    return Estimate(
        utc_ns=_absolute_ns(centre, raw_ns, together),
        rate_ppb=rate_ppb,
        sigma_offset_ns=math.hypot(together.spread_ns, short.sigma_offset_ns),
        sigma_rate_ppb=sigma_rate_ppb,
        q68_ns=math.hypot(nearby.q68_ns, _Z68 * grown),
        q95_ns=math.hypot(nearby.q95_ns, _Z95 * grown),
    )


def utc_ns(centre: Centre, raw_ns: int) -> int:
    """Return the centre alone at `raw_ns`."""
    centre = _present(centre, raw_ns)
    return _absolute_ns(centre, raw_ns, _together(centre, raw_ns))


def shares(centre: Centre, raw_ns: int) -> dict[str, float]:
    """Return by name how much each expert counts at `raw_ns`, 0 to 1."""
    centre = _present(centre, raw_ns)
    total = sum(centre.weights)
    return {
        name: weight / total
        for name, weight in zip(centre.fusion.losses, centre.weights, strict=True)
    }


def leader(centre: Centre) -> str:
    """Return the name of the expert that counts most."""
    return min(centre.fusion.losses, key=lambda name: centre.fusion.losses[name])


def rate(centre: Centre, raw_ns: int) -> tuple[float, float]:
    """Return the better known rate at `raw_ns`, and its standard error (ppb)."""
    short, trend = kalman.predict(centre.short_term, raw_ns), centre.long_term.trend
    if trend is None or trend.sigma_rate_ppb >= short.sigma_rate_ppb:
        return short.rate_ppb, short.sigma_rate_ppb
    return trend.rate_ppb, trend.sigma_rate_ppb


# -- one measurement ------------------------------------------------------------------------------


def _judged(before: Centre, observation: Observation) -> tuple[Fusion, Changes, Residuals]:
    """Learn from what was said of the measurement before it was seen."""
    reference, raw_ns = before.reference, observation.raw_ns
    measured_ns = float(observation.utc_ns - reference.utc_ns - raw_ns + reference.raw_ns)
    said = [opinion.ahead_of_ns(reference, raw_ns) for opinion in before.opinions]
    together = fusion.fuse(said, before.weights, before.fusion.scale_ns)
    error_ns = measured_ns - together.ahead_ns - before.changes.followed_ns
    doubts = Doubts(observation.doubt_ns, before.typical_doubt_ns)
    learnt = fusion.learn(before.fusion, said, measured_ns, error_ns, doubts)
    judged = changes.judge(
        before.changes,
        error_ns,
        learnt.scale_ns,
        len(learnt.errors_ns),
        observation.queued_ns / 2,
    )
    if judged.change is Change.STEP:
        learnt = fusion.forgive(learnt, experts.WALL)
    return learnt, judged, quantiles.learn(before.residuals, error_ns + observation.bias_ns)


def _heard(seen: Centre) -> Centre:
    """Let every expert speak about what has been seen."""
    window = window_about(seen.seen, seen.short_term.rate_ppb)
    trend = seen.long_term.trend
    found: dict[str, Opinion] = dict(seen.guests)
    found |= experts.opinions(window, trend.rate_ppb if trend else None)
    found["short-term"] = kalman.line(seen.short_term, experts.RATE_HANDICAP)
    if long_line := regression.line(seen.long_term, experts.RATE_HANDICAP):
        found["long-term"] = long_line
    gaps = list(map(sub, window.ages_s[1:], window.ages_s))
    admitted = fusion.admit(seen.fusion, found)
    return replace(
        seen,
        reference=window.reference,
        interval_s=median(gaps) if gaps else 0.0,
        typical_doubt_ns=window.typical_doubt_ns,
        opinions=tuple(found.values()),
        weights=fusion.weights(admitted),
        fusion=admitted,
    )


def _present(centre: Centre, raw_ns: int) -> Centre:
    """Return the centre without the guests that say nothing of `raw_ns`."""
    guests = centre.guests
    if not guests or raw_ns <= min([guest.until_raw_ns for guest in guests.values()]):
        return centre
    kept = {name: guest for name, guest in guests.items() if raw_ns <= guest.until_raw_ns}
    return invite(centre, kept)


def _emptied(before: Centre, observation: Observation, factor: float) -> Centre:
    """Forget every offset; what is known of the rate stays."""
    return replace(
        before,
        seen=(observation,),
        short_term=kalman.restart(before.short_term, observation, factor),
        long_term=regression.keep(LongTerm(), observation),
        guests=_NO_GUESTS,
        changes=replace(before.changes, suspect_ns=0.0, followed_ns=0.0),
    )


def _brought_forward(observation: Observation, onto: Centre) -> Observation:
    """Carry a measurement that another overtook to the time of that other one."""
    raw_ns = onto.seen[-1].raw_ns
    late_ns = raw_ns - observation.raw_ns
    drifted_ns = round(late_ns / S_NS * onto.short_term.rate_ppb)
    return observation._replace(
        raw_ns=raw_ns,
        utc_ns=observation.utc_ns + late_ns + drifted_ns,
        wall_ns=observation.wall_ns + late_ns + drifted_ns,
    )


def _noise_factor(seen: tuple[Observation, ...]) -> float:
    """Return the standard deviation of measurements in units of their doubt.

    Each is compared with the line through its neighbours: a rate, known or not, does not matter.
    """
    last = seen[-_SCATTER_LAST:]
    if len(last) < _SCATTER_MIN:
        return 1.0
    raws = [one.raw_ns for one in last]
    offsets = [one.utc_ns - one.raw_ns for one in last]
    off = []
    for n in range(1, len(last) - 1):
        span_ns, at_ns = raws[n + 1] - raws[n - 1], raws[n] - raws[n - 1]
        share = at_ns / span_ns if span_ns else 0.5
        first_ns = offsets[n - 1]
        off.append(abs(offsets[n] - first_ns - share * (offsets[n + 1] - first_ns)))
    typical_ns = median([one.doubt_ns for one in last])
    return max(_SCATTER_SIGMAS * median(off) / typical_ns, _FACTOR_MIN)


# -- one instant ----------------------------------------------------------------------------------


def _together(centre: Centre, raw_ns: int) -> Centred:
    said = [opinion.ahead_of_ns(centre.reference, raw_ns) for opinion in centre.opinions]
    return fusion.fuse(said, centre.weights, centre.fusion.scale_ns)


def _absolute_ns(centre: Centre, raw_ns: int, together: Centred) -> int:
    reference = centre.reference
    ahead_ns = together.ahead_ns + centre.changes.followed_ns
    return reference.utc_ns + (raw_ns - reference.raw_ns) + round(ahead_ns)


def _growth(centre: Centre, raw_ns: int, sigma_ns: float) -> float:
    """Return by how much the filter knows less of `raw_ns` than of the next measurement."""
    next_raw_ns = centre.reference.raw_ns + round(centre.interval_s * S_NS)
    if raw_ns <= next_raw_ns:
        return 0.0
    nearby_ns = kalman.predict(centre.short_term, next_raw_ns).sigma_offset_ns
    return math.sqrt(max(sigma_ns**2 - nearby_ns**2, 0.0))
