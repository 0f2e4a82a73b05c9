"""What a forecaster is asked, and what its answer is worth as an opinion on UTC. Pure.

Question
    The last measurements against the line through the newest one at the best known rate, and
    horizons of 1 to 16 usual intervals. Measurements only: neither the centre nor anybody's
    forecast is among them, so that no forecaster ever learns from itself.

Answer
    It is a stranger's. What is not finite, not of the shape that was asked for, or further away
    than measurements scatter and an oscillator can run, is nonsense. What remains is clamped into
    the hard interval as it stands, horizon by horizon, and joins the fusion as an expert named
    ``forecaster:NAME``: with a handicap, until its last horizon. An expert that comes back after a
    silence resumes with the loss that it left with.

Never: quantiles that a forecaster claims are shown beside it and go no further. Those of the
estimate are learnt from what came true.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import le
from typing import Final, NamedTuple

from hourbook.clock import centre
from hourbook.clock.centre import Centre
from hourbook.clock.line import S_NS, Guest, Reference
from hourbook.clock.observation import Observation
from hourbook.clock.state import State
from protocols import errors
from protocols.forecast_messages import LEVELS_MAX, Answer, Question

__all__ = [
    "HANDICAP",
    "NO_HISTORY",
    "SAMPLES_MAX",
    "SAMPLES_MIN",
    "Asked",
    "Forecast",
    "ask",
    "expert_name",
    "join",
    "loss_beyond_others",
    "remember",
    "understand",
]

NO_HISTORY: Final[tuple[Observation, ...]] = ()
SAMPLES_MIN: Final = 8
"""Measurements before anybody is asked."""
SAMPLES_MAX: Final = 512
HANDICAP: Final = 8.0
"""As much as two gross errors cost: it has to be right for a while before it counts."""
_HORIZONS: Final = (1, 2, 3, 4, 6, 8, 12, 16)
_GAPS: Final = 16
"""Intervals whose mean is the usual one."""
_STEP_NS_MIN: Final = 100_000_000
_STEP_NS_MAX: Final = 3600 * S_NS
_SCATTERS_MAX: Final = 10
_RATE_PPB_MAX: Final = 500_000
"""An oscillator that strays further from its rate is broken."""


class Asked(NamedTuple):
    """A question, and what its answer will be told about."""

    question: Question
    reference: Reference
    rate_ppb: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """An opinion: points at the horizons, joined by straight lines.

    Attributes:
        reference: the newest measurement that it rests on.
        rate_ppb: of the line that it is told about.
        horizons_ns: after that measurement.
        centre_ns: UTC minus the line there.
        claimed_ns: half of the distance between its outermost quantiles at the first horizon.
        claimed_share: of measurements that it expects between them; 0: it claims nothing.
        handicap: see :class:`hourbook.clock.line.Opinion`.
    """

    reference: Reference
    rate_ppb: float
    horizons_ns: tuple[int, ...]
    centre_ns: tuple[float, ...]
    claimed_ns: float = 0.0
    claimed_share: float = 0.0
    handicap: float = HANDICAP

    @property
    def until_raw_ns(self) -> int:
        """Its last horizon: whatever is older says nothing."""
        return self.reference.raw_ns + self.horizons_ns[-1]

    def ahead_of_ns(self, reference: Reference, raw_ns: int) -> float:
        """Return UTC at `raw_ns` minus a reference line there."""
        own = self.reference
        after_ns = raw_ns - own.raw_ns
        apart_ns = (own.utc_ns - own.raw_ns) - (reference.utc_ns - reference.raw_ns)
        return apart_ns + self.rate_ppb * (after_ns / S_NS) + self._at(after_ns)

    def _at(self, after_ns: int) -> float:
        """Return the point between two horizons; before the first, the line of the first two."""
        horizons, values = self.horizons_ns, self.centre_ns
        if len(horizons) == 1:
            return values[0]
        right = min(max(bisect_left(horizons, after_ns), 1), len(horizons) - 1)
        x0, x1 = horizons[right - 1], horizons[right]
        y0, y1 = values[right - 1], values[right]
        return y0 + (y1 - y0) * ((after_ns - x0) / (x1 - x0))


def expert_name(forecaster: str) -> str:
    """Return the name under which a forecaster is an expert: never that of one of our own."""
    return f"forecaster:{forecaster}"


# -- the question ---------------------------------------------------------------------------------


def remember(history: tuple[Observation, ...], now: Centre) -> tuple[Observation, ...]:
    """Return the measurements of the centre's present line, after it has seen one more.

    It goes on where it ends with what the centre saw before. Where it does not there was a break,
    or one was taken back: then it is what the centre itself remembers.
    """
    seen = now.seen
    if history and history[-1] is seen[-1]:
        return history
    if history and len(seen) > 1 and history[-1] is seen[-2]:
        return (*history[-(SAMPLES_MAX - 1) :], seen[-1])
    return seen


def ask(history: Sequence[Observation], rate_ppb: float, number: int) -> Asked:
    """Return the question about what comes after the last measurement.

    Args:
        history: the last measurements, at least two.
        rate_ppb: best known rate.
        number: of the question.
    """
    newest, before = history[-1], history[-min(_GAPS + 1, len(history))]
    gaps = min(_GAPS, len(history) - 1)
    step_ns = (newest.raw_ns - before.raw_ns) // gaps
    step_ns = min(max(step_ns, _STEP_NS_MIN), _STEP_NS_MAX)
    raw_ns, apart_ns, rate = newest.raw_ns, newest.utc_ns - newest.raw_ns, rate_ppb / S_NS
    question = Question(
        number=number,
        samples=tuple(
            [
                (
                    one.raw_ns - raw_ns,
                    one.utc_ns - one.raw_ns - apart_ns - rate * (one.raw_ns - raw_ns),
                    one.doubt_ns,
                )
                for one in history
            ]
        ),
        horizons_ns=tuple([step_ns * steps for steps in _HORIZONS]),
    )
    return Asked(question, Reference(raw_ns, newest.utc_ns), rate_ppb)


# -- the answer -----------------------------------------------------------------------------------


def understand(asked: Asked, answer: Answer) -> Forecast:
    """Return an answer as an opinion.

    Raises:
        BadRequest: it is nonsense; the message says what was expected.
    """
    question = asked.question
    if answer.number != question.number:
        raise errors.BadRequest(f"Expected answer {question.number}, got {answer.number}")
    limits_ns = _limits_ns(question)
    _check_series("centre", answer.centre_ns, limits_ns)
    if len(answer.quantiles_ns) > LEVELS_MAX:
        number = len(answer.quantiles_ns)
        raise errors.BadRequest(f"Expected at most {LEVELS_MAX} quantiles, got {number}")
    levels = sorted(answer.quantiles_ns)
    for level in levels:
        if not 0 < level < 1:
            raise errors.BadRequest(f"Expected levels between 0 and 1, got {level}")
        # A quantile of measurements may lie where no centre does: at the edge of a spike.
        wide_ns = [_SCATTERS_MAX * limit_ns for limit_ns in limits_ns]
        _check_series(f"quantile {level:g}", answer.quantiles_ns[level], wide_ns)
    for lower, upper in pairwise(levels):
        if not all(map(le, answer.quantiles_ns[lower], answer.quantiles_ns[upper])):
            raise errors.BadRequest(f"Expected quantile {lower:g} <= quantile {upper:g}")
    claimed_ns = claimed_share = 0.0
    if len(levels) > 1:
        low, high = answer.quantiles_ns[levels[0]], answer.quantiles_ns[levels[-1]]
        claimed_ns, claimed_share = (high[0] - low[0]) / 2, levels[-1] - levels[0]
    return Forecast(
        asked.reference,
        asked.rate_ppb,
        question.horizons_ns,
        answer.centre_ns,
        claimed_ns,
        claimed_share,
    )


def _limits_ns(question: Question) -> list[float]:
    """Return how far from the line a centre may be at each horizon, and still be meant."""
    offsets = [offset_ns for _, offset_ns, _ in question.samples]
    scatter_ns = max(*offsets, 0.0) - min(*offsets, 0.0)
    doubt_ns = max([doubt_ns for _, _, doubt_ns in question.samples])
    near_ns = _SCATTERS_MAX * (scatter_ns + doubt_ns)
    return [near_ns + _RATE_PPB_MAX * (after_ns / S_NS) for after_ns in question.horizons_ns]


def _check_series(what: str, series_ns: Sequence[float], limits_ns: Sequence[float]) -> None:
    if len(series_ns) != len(limits_ns):
        raise errors.BadRequest(f"Expected {what} of {len(limits_ns)}, got {len(series_ns)}")
    for value_ns, limit_ns in zip(series_ns, limits_ns, strict=True):
        if not math.isfinite(value_ns) or abs(value_ns) > limit_ns:
            raise errors.BadRequest(
                f"Expected {what} within ±{limit_ns:.0f} ns, got {value_ns:.0f}"
            )


# -- joining --------------------------------------------------------------------------------------


def join(state: State, name: str, forecast: Forecast, least_handicap: float = 0.0) -> State:
    """Return the state with a forecast among the experts, in place of an older one.

    Args:
        state: of the model.
        name: of the forecaster.
        forecast: its newest; one from before a break of the measurements joins nothing.
        least_handicap: :func:`loss_beyond_others` when it last fell silent.
    """
    now = state.centre
    if not now.seen[0].raw_ns <= forecast.reference.raw_ns <= now.seen[-1].raw_ns:
        return state
    forecast = replace(_confined(state, forecast), handicap=max(forecast.handicap, least_handicap))
    guests: Mapping[str, Guest] = {**now.guests, expert_name(name): forecast}
    return replace(state, centre=centre.invite(now, guests))


def loss_beyond_others(now: Centre, name: str) -> float | None:
    """Return the loss of a forecaster beyond the mean of all others, None while it is silent."""
    losses = dict(now.fusion.losses)
    own = losses.pop(expert_name(name), None)
    if own is None or not losses:
        return None
    return own - sum(losses.values()) / len(losses)


def _confined(state: State, forecast: Forecast) -> Forecast:
    """Clamp every point of a forecast into the hard interval as it stands."""
    if state.held is None:
        return forecast
    raw_ns, utc_ns = forecast.reference
    inside = []
    for after_ns, ahead_ns in zip(forecast.horizons_ns, forecast.centre_ns, strict=True):
        drifted_ns = forecast.rate_ppb * (after_ns / S_NS)
        said_ns = utc_ns + after_ns + round(drifted_ns + ahead_ns)
        interval = state.held.at(raw_ns + after_ns, state.drift)
        inside.append(ahead_ns + (interval.clamp(said_ns) - said_ns))
    return replace(forecast, centre_ns=tuple(inside))
