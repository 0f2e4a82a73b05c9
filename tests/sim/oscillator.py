"""What is behind CLOCK_MONOTONIC_RAW in the simulation: a rate that changes within a band.

A law yields stretches of constant rate for ever. The premise of the hard interval is that over any
span the oscillator runs within `max_drift_ppb` (50 ppm) of its mean over any other; it holds if the
rate never leaves a band 50 ppm wide. The laws use that band to its edges: an oscillator that
wanders half as far would hide a promise that is only half kept.
"""

import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Final, NamedTuple

__all__ = ["BAND_HALF_PPB", "LAWS", "Law", "Oscillator", "Stretch", "steady"]

BAND_HALF_PPB: Final = 24_990
"""Half of 50 ppm, less what rounding RAW to nanoseconds adds."""
_S_NS: Final = 1_000_000_000


class Stretch(NamedTuple):
    """UTC gains `rate_ppb` on RAW for `span_ns`."""

    rate_ppb: int
    span_ns: int


Law = Callable[[Random, int], Iterator[Stretch]]
"""From randomness and the middle of the band to its stretches."""


def steady(rng: Random, middle_ppb: int) -> Iterator[Stretch]:
    """Hold one rate."""
    rate_ppb = middle_ppb + rng.randint(-BAND_HALF_PPB, BAND_HALF_PPB)
    while True:
        yield Stretch(rate_ppb, 3600 * _S_NS)


def wandering(rng: Random, middle_ppb: int) -> Iterator[Stretch]:
    """Walk at random, from a good crystal's 10 ppb a minute to a virtual machine's 3 ppm."""
    sigma_ppb = math.exp(rng.uniform(math.log(10), math.log(3000)))
    offset_ppb = rng.uniform(-BAND_HALF_PPB, BAND_HALF_PPB)
    while True:
        offset_ppb = _within_band(offset_ppb + rng.gauss(0, sigma_ppb))
        yield Stretch(middle_ppb + round(offset_ppb), round(rng.uniform(20, 100) * _S_NS))


def warming(rng: Random, middle_ppb: int) -> Iterator[Stretch]:
    """Follow a temperature: a slow wave, by up to the whole band, with a little noise."""
    amplitude_ppb = rng.uniform(0.1, 1.0) * BAND_HALF_PPB
    period_s = math.exp(rng.uniform(math.log(900), math.log(40_000)))
    phase = rng.uniform(0, 2 * math.pi)
    at_s = 0.0
    while True:
        wave_ppb = amplitude_ppb * math.sin(phase + 2 * math.pi * at_s / period_s)
        yield Stretch(middle_ppb + round(_within_band(wave_ppb + rng.gauss(0, 100))), 30 * _S_NS)
        at_s += 30


def stepping(rng: Random, middle_ppb: int) -> Iterator[Stretch]:
    """Jump from one edge of the band to the other, as a migrated or throttled machine does."""
    sign = rng.choice((-1, 1))
    while True:
        sign = -sign
        yield Stretch(
            middle_ppb + sign * BAND_HALF_PPB, round(rng.expovariate(1 / 4000) * _S_NS) + _S_NS
        )


LAWS: Final[tuple[Law, ...]] = (steady, wandering, warming, stepping)


class Oscillator:
    """RAW as a function of true time, which may be asked back as far as the stretch before."""

    def __init__(self, stretches: Iterator[Stretch], true_ns: int, raw_ns: int) -> None:
        self._stretches = stretches
        self._before = self._now = _Line(true_ns, raw_ns, 0)
        self._end_ns = true_ns

    def raw_ns(self, true_ns: int) -> int:
        """Return RAW."""
        while true_ns >= self._end_ns:
            rate_ppb, span_ns = next(self._stretches)
            self._go_on(self._end_ns, rate_ppb)
            self._end_ns += span_ns
        line = self._now if true_ns >= self._now.true_ns else self._before
        assert true_ns >= line.true_ns, "simulated time runs forwards"
        return line.at(true_ns)

    def sleep(self, from_ns: int, until_ns: int) -> None:
        """Stand still, as RAW does while the machine is suspended."""
        self._before = self._now = _Line(until_ns, self.raw_ns(from_ns), self._now.rate_ppb)
        self._end_ns += until_ns - from_ns

    def _go_on(self, true_ns: int, rate_ppb: int) -> None:
        self._before = self._now
        self._now = _Line(true_ns, self._now.at(true_ns), rate_ppb)


class _Line(NamedTuple):
    true_ns: int
    raw_ns: int
    rate_ppb: int

    def at(self, true_ns: int) -> int:
        return self.raw_ns + (true_ns - self.true_ns) * _S_NS // (_S_NS + self.rate_ppb)


def _within_band(offset_ppb: float) -> float:
    return min(max(offset_ppb, -BAND_HALF_PPB), BAND_HALF_PPB)
