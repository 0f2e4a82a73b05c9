"""The short-term estimate: UTC as a line over CLOCK_MONOTONIC_RAW, by a two-state Kalman filter.

State
    x = [theta, r]: theta is UTC minus a reference line (nanoseconds), r the rate of UTC against RAW
    minus one (nanoseconds per second, so ppb). P is the covariance of x.
    The reference line is an integer, (raw, utc) of the last update, and moves with every update:
    floats only ever hold the small distance from it.

Assumptions
    The rate is a random walk, q (ppb^2 per second): temperature, ageing, a virtual machine's host.
    How fast it walks differs by orders of magnitude, so q is learnt.
    The phase has white frequency noise besides, Q1 (ns^2 per second).
    A measurement errs with a standard deviation proportional to the doubt that its delay gives
    (`observation.py`); the factor is the caller's, from the scatter of the last measurements.
    Errors beyond that, steps and spikes, are not the filter's to explain: the gate keeps them out.

Equations
    predict over dt:  x = F x,  P = F P F' + Q,   F = [1 dt; 0 1],
                      Q = [Q1 dt + q dt^3/3, q dt^2/2; q dt^2/2, q dt]
    innovation:       y = z - theta,  S = P11 + s^2
    gate:             y^2 > GATE^2 * S and not yet GATED_MAX in a row: leave the measurement out
    update:           K = [P11, P12]' / S,  x = x + K y,  P = (I - K H) P,   H = [1 0]
    wander:           p = P(|N(0, 1)| > |y| / sqrt(S)). The score rises where p < 1/3 and falls
                      where p > 2/3; at +-SCORE_MAX q is quadrupled or quartered (ntpd-rs, "clock
                      wander estimation": a filter that is surprised too often believes its
                      oscillator too much)
    reset:            after GATED_MAX in a row the clock is elsewhere: theta = z, P11 = s^2, r stays

Never: this filter bounds nothing. The hard interval is computed beside it and clamps the centre.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from hourbook.clock.line import S_NS, Line, Reference
from hourbook.clock.observation import Observation

__all__ = ["Filter", "Prediction", "line", "observe", "predict", "restart", "start"]

_PHASE_NOISE: Final = 100.0**2
"""Q1: 100 ns after one second."""
_RATE_WANDER: Final = 100.0**2 / 1000.0
"""q to begin with: 0.1 ppm in 1000 s."""
_RATE_WANDER_RANGE: Final = (1e-6, 1e6)
"""From an oven to a machine that is throttled every minute."""
_SCORE_MAX: Final = 16
_GATE: Final = 5.0
_GATED_MAX: Final = 3
_WARM_UP: Final = 4
"""Observations before the gate is armed: the first may have been the bad one."""


class Prediction(NamedTuple):
    """What the filter says of one instant, in statistical terms."""

    utc_ns: int
    rate_ppb: float
    sigma_offset_ns: float
    sigma_rate_ppb: float


@dataclass(frozen=True, slots=True)
class Filter:
    """State and covariance about the reference line; see the head of the module.

    Attributes:
        raw_ns: the reference line, and the instant of the last update.
        utc_ns: the reference line.
        theta_ns: UTC minus the reference line.
        rate_ppb: UTC against RAW, minus one.
        p11: variance of theta (ns^2).
        p12: covariance (ns ppb).
        p22: variance of the rate (ppb^2).
        wander: q (ppb^2 per second).
        score: surprises minus calm, since q last moved.
        observed: measurements absorbed.
        gated: measurements left out.
        gated_in_a_row: of them, the last without one absorbed between.
        resets: times that the filter gave in to the gated ones.
    """

    raw_ns: int
    utc_ns: int
    theta_ns: float
    rate_ppb: float
    p11: float
    p12: float
    p22: float
    wander: float = _RATE_WANDER
    score: int = 0
    observed: int = 0
    gated: int = 0
    gated_in_a_row: int = 0
    resets: int = 0


def start(observation: Observation, rate_ppb: float, sigma_rate_ppb: float) -> Filter:
    """Return the filter after its first measurement, with a prior of the rate."""
    return Filter(
        raw_ns=observation.raw_ns,
        utc_ns=observation.utc_ns,
        theta_ns=0.0,
        rate_ppb=rate_ppb,
        p11=observation.doubt_ns**2,
        p12=0.0,
        p22=sigma_rate_ppb**2,
        observed=1,
    )


def restart(before: Filter, observation: Observation, noise_factor: float = 1.0) -> Filter:
    """Return the filter moved to a measurement that it cannot explain; the rate is kept."""
    return replace(
        before,
        raw_ns=observation.raw_ns,
        utc_ns=observation.utc_ns,
        theta_ns=0.0,
        p11=(observation.doubt_ns * noise_factor) ** 2,
        p12=0.0,
        p22=_carried(before, observation.raw_ns)[3],
        gated_in_a_row=0,
        resets=before.resets + 1,
    )


def observe(before: Filter, observation: Observation, noise_factor: float = 1.0) -> Filter:
    """Return the filter after one more measurement, absorbed, gated or given in to.

    Args:
        before: the filter; its last update is not later than the measurement.
        observation: the measurement.
        noise_factor: standard deviation of measurements in units of their doubt (> 0).
    """
    theta_ns, p11, p12, p22 = _carried(before, observation.raw_ns)
    moved_utc_ns = before.utc_ns + (observation.raw_ns - before.raw_ns)
    innovation_ns = (observation.utc_ns - moved_utc_ns) - theta_ns
    variance = p11 + (observation.doubt_ns * noise_factor) ** 2
    if before.observed >= _WARM_UP and innovation_ns**2 > _GATE**2 * variance:
        if before.gated_in_a_row + 1 >= _GATED_MAX:
            return restart(before, observation, noise_factor)
        return replace(before, gated=before.gated + 1, gated_in_a_row=before.gated_in_a_row + 1)
    gain_offset, gain_rate = p11 / variance, p12 / variance
    theta_ns += gain_offset * innovation_ns
    whole_ns = round(theta_ns)
    wander, score = _adapted(before, innovation_ns**2 / variance)
    return replace(
        before,
        raw_ns=observation.raw_ns,
        utc_ns=moved_utc_ns + whole_ns,
        theta_ns=theta_ns - whole_ns,
        rate_ppb=before.rate_ppb + gain_rate * innovation_ns,
        p11=(1 - gain_offset) * p11,
        p12=(1 - gain_offset) * p12,
        p22=max(p22 - gain_rate * p12, 0.0),
        wander=wander,
        score=score,
        observed=before.observed + 1,
        gated_in_a_row=0,
    )


def predict(filter_: Filter, raw_ns: int) -> Prediction:
    """Return what the filter says of `raw_ns`, later or earlier than its last update."""
    theta_ns, p11, _, p22 = _carried(filter_, raw_ns)
    return Prediction(
        utc_ns=filter_.utc_ns + (raw_ns - filter_.raw_ns) + round(theta_ns),
        rate_ppb=filter_.rate_ppb,
        sigma_offset_ns=math.sqrt(p11),
        sigma_rate_ppb=math.sqrt(p22),
    )


def line(filter_: Filter, handicap: float = 0.0) -> Line:
    """Return the filter's opinion."""
    reference = Reference(filter_.raw_ns, filter_.utc_ns)
    return Line(reference, filter_.theta_ns, filter_.rate_ppb, handicap)


def _carried(before: Filter, raw_ns: int) -> tuple[float, float, float, float]:
    """Return theta and P at `raw_ns`; uncertainty grows in both directions."""
    dt_s = (raw_ns - before.raw_ns) / S_NS
    span_s = abs(dt_s)
    q = before.wander
    return (
        before.theta_ns + before.rate_ppb * dt_s,
        before.p11
        + 2 * dt_s * before.p12
        + dt_s**2 * before.p22
        + _PHASE_NOISE * span_s
        + q * span_s**3 / 3,
        before.p12 + dt_s * before.p22 + q * dt_s * span_s / 2,
        before.p22 + q * span_s,
    )


def _adapted(before: Filter, squared_sigmas: float) -> tuple[float, int]:
    """Return q and the score after an innovation of so many standard deviations, squared."""
    p = math.erfc(math.sqrt(squared_sigmas / 2))
    score = before.score + (p < 1 / 3) - (p > 2 / 3)
    low, high = _RATE_WANDER_RANGE
    if score >= _SCORE_MAX:
        return min(before.wander * 4, high), 0
    if score <= -_SCORE_MAX:
        return max(before.wander / 4, low), 0
    return before.wander, score
