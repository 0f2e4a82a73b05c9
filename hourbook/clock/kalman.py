"""The short-term estimate: UTC as a line over CLOCK_MONOTONIC_RAW, by a two-state Kalman filter.

State
    x = [theta, r]: theta is UTC minus a reference line (nanoseconds), r the rate of UTC against RAW
    minus one (nanoseconds per second, so ppb). P is the covariance of x.
    The reference line is an integer, (raw, utc) of the last update, and moves with every update:
    floats only ever hold the small distance from it.

Assumptions
    The rate is a random walk, q2 (ppb^2 per second): temperature, ageing, a virtual machine's host.
    The phase has white frequency noise besides, q1 (ns^2 per second).
    A measurement errs with a standard deviation that its own delay tells: what it waited in queues
    may all lie on one leg, and some part of the quiet path is asymmetric:
        s = floor + queued / 2 + (quiet delay + root delay) * asymmetry
    Errors beyond that, steps and spikes, are not the filter's to explain: the gate keeps them out.

Equations
    predict over dt:  x = F x,  P = F P F' + Q,   F = [1 dt; 0 1],
                      Q = [q1 dt + q2 dt^3/3, q2 dt^2/2; q2 dt^2/2, q2 dt]
    innovation:       y = z - theta,  S = P11 + s^2
    gate:             y^2 > GATE^2 * S and not yet GATED_MAX in a row: leave the measurement out
    update:           K = [P11, P12]' / S,  x = x + K y,  P = (I - K H) P,   H = [1 0]
    reset:            after GATED_MAX in a row the clock is elsewhere: theta = z, P11 = s^2, r stays

The quantiles of the next measurement come from the innovations themselves once there are enough,
since real residuals are far from Gaussian; until then from S.

Never: this filter bounds nothing. The hard interval is computed beside it and clamps its centre.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

__all__ = ["Filter", "Observation", "Prediction", "observe", "predict", "restart", "start"]

_S_NS: Final = 1_000_000_000
_FLOOR_NS: Final = 10_000.0
"""Scheduling and interrupts at both ends of even the shortest path."""
_ASYMMETRY: Final = 0.05
_PHASE_NOISE: Final = 100.0**2
"""q1: 100 ns after one second."""
_RATE_WANDER: Final = 100.0**2 / 1000.0
"""q2: 0.1 ppm in 1000 s."""
_GATE: Final = 5.0
_GATED_MAX: Final = 3
_WARM_UP: Final = 4
"""Observations before the gate is armed: the first may have been the bad one."""
_INNOVATIONS_KEPT: Final = 64
_INNOVATIONS_MIN: Final = 16
_Q68_SIGMAS: Final = 0.9945
_Q95_SIGMAS: Final = 1.96


class Observation(NamedTuple):
    """One measurement as the filter sees it.

    Attributes:
        raw_ns: when.
        utc_ns: what it says.
        queued_ns: its delay beyond the quiet delay of its path.
        path_ns: quiet delay and root delay together.
    """

    raw_ns: int
    utc_ns: int
    queued_ns: int
    path_ns: int


class Prediction(NamedTuple):
    """What the filter says of one instant; everything but the centre is statistical."""

    utc_ns: int
    rate_ppb: float
    sigma_offset_ns: float
    sigma_rate_ppb: float
    q68_ns: float
    q95_ns: float


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
        scale_ns: standard deviation of a typical measurement, the s above, smoothed.
        observed: measurements absorbed.
        gated: measurements left out.
        gated_in_a_row: of them, the last without one absorbed between.
        resets: times that the filter gave in to the gated ones.
        innovations_ns: sizes of the last innovations, newest last.
    """

    raw_ns: int
    utc_ns: int
    theta_ns: float
    rate_ppb: float
    p11: float
    p12: float
    p22: float
    scale_ns: float
    observed: int = 0
    gated: int = 0
    gated_in_a_row: int = 0
    resets: int = 0
    innovations_ns: tuple[float, ...] = ()


def start(observation: Observation, rate_ppb: float, sigma_rate_ppb: float) -> Filter:
    """Return the filter after its first measurement, with a prior of the rate."""
    noise_ns = _noise_ns(observation)
    return Filter(
        raw_ns=observation.raw_ns,
        utc_ns=observation.utc_ns,
        theta_ns=0.0,
        rate_ppb=rate_ppb,
        p11=noise_ns**2,
        p12=0.0,
        p22=sigma_rate_ppb**2,
        scale_ns=noise_ns,
        observed=1,
    )


def restart(before: Filter, observation: Observation) -> Filter:
    """Return the filter moved to a measurement that it cannot explain; the rate is kept."""
    noise_ns = _noise_ns(observation)
    moved = _predict(before, observation.raw_ns)
    return replace(
        moved,
        utc_ns=observation.utc_ns,
        theta_ns=0.0,
        p11=noise_ns**2,
        p12=0.0,
        scale_ns=noise_ns,
        gated_in_a_row=0,
        resets=before.resets + 1,
        innovations_ns=(),
    )


def observe(before: Filter, observation: Observation) -> Filter:
    """Return the filter after one more measurement, absorbed, gated or given in to."""
    if observation.raw_ns < before.raw_ns:
        observation = _brought_forward(observation, before)
    moved = _predict(before, observation.raw_ns)
    noise_ns = _noise_ns(observation)
    innovation_ns = (observation.utc_ns - moved.utc_ns) - moved.theta_ns
    variance = moved.p11 + noise_ns**2
    if moved.observed >= _WARM_UP and innovation_ns**2 > _GATE**2 * variance:
        if before.gated_in_a_row + 1 >= _GATED_MAX:
            return restart(before, observation)
        return replace(before, gated=before.gated + 1, gated_in_a_row=before.gated_in_a_row + 1)
    return _update(moved, innovation_ns, variance, noise_ns)


def predict(filter_: Filter, raw_ns: int) -> Prediction:
    """Return what the filter says of `raw_ns`, later or earlier than its last update."""
    moved = _predict(filter_, raw_ns)
    sigma_ns = math.sqrt(moved.p11)
    next_ns = math.sqrt(moved.p11 + filter_.scale_ns**2)
    q68_ns, q95_ns = _Q68_SIGMAS * next_ns, _Q95_SIGMAS * next_ns
    if len(filter_.innovations_ns) >= _INNOVATIONS_MIN:
        ordered = sorted(filter_.innovations_ns)
        q68_ns, q95_ns = _quantile(ordered, 0.68), _quantile(ordered, 0.95)
    return Prediction(
        utc_ns=moved.utc_ns + round(moved.theta_ns),
        rate_ppb=moved.rate_ppb,
        sigma_offset_ns=sigma_ns,
        sigma_rate_ppb=math.sqrt(moved.p22),
        q68_ns=q68_ns,
        q95_ns=q95_ns,
    )


def _predict(before: Filter, raw_ns: int) -> Filter:
    """Move line, state and covariance to `raw_ns`; uncertainty grows in both directions."""
    dt_ns = raw_ns - before.raw_ns
    dt_s = dt_ns / _S_NS
    span_s = abs(dt_s)
    return replace(
        before,
        raw_ns=raw_ns,
        utc_ns=before.utc_ns + dt_ns,
        theta_ns=before.theta_ns + before.rate_ppb * dt_s,
        p11=before.p11
        + 2 * dt_s * before.p12
        + dt_s**2 * before.p22
        + _PHASE_NOISE * span_s
        + _RATE_WANDER * span_s**3 / 3,
        p12=before.p12 + dt_s * before.p22 + _RATE_WANDER * dt_s * span_s / 2,
        p22=before.p22 + _RATE_WANDER * span_s,
    )


def _update(moved: Filter, innovation_ns: float, variance: float, noise_ns: float) -> Filter:
    gain_offset = moved.p11 / variance
    gain_rate = moved.p12 / variance
    theta_ns = moved.theta_ns + gain_offset * innovation_ns
    whole_ns = round(theta_ns)
    return replace(
        moved,
        utc_ns=moved.utc_ns + whole_ns,
        theta_ns=theta_ns - whole_ns,
        rate_ppb=moved.rate_ppb + gain_rate * innovation_ns,
        p11=(1 - gain_offset) * moved.p11,
        p12=(1 - gain_offset) * moved.p12,
        p22=max(moved.p22 - gain_rate * moved.p12, 0.0),
        scale_ns=moved.scale_ns + (noise_ns - moved.scale_ns) / 8,
        observed=moved.observed + 1,
        gated_in_a_row=0,
        innovations_ns=(*moved.innovations_ns, abs(innovation_ns))[-_INNOVATIONS_KEPT:],
    )


def _noise_ns(observation: Observation) -> float:
    return _FLOOR_NS + observation.queued_ns / 2 + observation.path_ns * _ASYMMETRY


def _brought_forward(observation: Observation, onto: Filter) -> Observation:
    """Carry a measurement that another overtook to the time of the last update."""
    late_ns = onto.raw_ns - observation.raw_ns
    drifted_ns = round(late_ns / _S_NS * onto.rate_ppb)
    return observation._replace(
        raw_ns=onto.raw_ns, utc_ns=observation.utc_ns + late_ns + drifted_ns
    )


def _quantile(ordered: list[float], level: float) -> float:
    """Return the smallest value that at least `level` of `ordered` do not exceed (conformal)."""
    return ordered[min(len(ordered) - 1, math.ceil(level * (len(ordered) + 1)) - 1)]
