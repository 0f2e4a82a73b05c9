"""The way to a server and back in the simulation: what it delays, loses, repeats and forges."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

__all__ = ["MS_NS", "Jitter", "Path", "calm", "heavy_tailed", "one_sided", "symmetric"]

MS_NS: Final = 1_000_000

Jitter = Callable[[Random], tuple[int, int]]
"""What queues add on the way out and on the way back (ns, >= 0)."""


@dataclass(frozen=True, slots=True)
class Path:
    """One way there and back.

    Attributes:
        out_ns: least delay to the server.
        back_ns: least delay from it.
        jitter: what queues add.
        loss: chance that a packet is lost, each way.
        spike: chance that one way takes up to `spike_ns` longer.
        spike_ns: longest spike.
        duplicate: chance that a reply comes twice.
        forgery: chance that a stranger's reply, without the cookie, comes before the true one.
    """

    out_ns: int
    back_ns: int
    jitter: Jitter
    loss: float = 0.001
    spike: float = 0.005
    spike_ns: int = 300 * MS_NS
    duplicate: float = 0.0
    forgery: float = 0.0

    def delays_ns(self, rng: Random) -> tuple[int, int]:
        """Return how long this exchange takes each way."""
        out_ns, back_ns = self.jitter(rng)
        out_ns, back_ns = self.out_ns + out_ns, self.back_ns + back_ns
        if rng.random() < self.spike:
            out_ns += rng.randrange(self.spike_ns)
        if rng.random() < self.spike:
            back_ns += rng.randrange(self.spike_ns)
        return out_ns, back_ns


def calm(rng: Random, one_way_ns: float) -> Path:
    """Return a usual path: more or less symmetric, with some jitter."""
    skew = rng.uniform(0.8, 1.25)
    return Path(
        out_ns=round(one_way_ns * skew),
        back_ns=round(one_way_ns / skew),
        jitter=symmetric(one_way_ns * rng.uniform(0.01, 0.2)),
    )


def symmetric(mean_ns: float) -> Jitter:
    """Queue on both ways alike."""
    rate = 1 / mean_ns
    return lambda rng: (round(rng.expovariate(rate)), round(rng.expovariate(rate)))


def one_sided(mean_ns: float, *, is_out: bool) -> Jitter:
    """Queue on one way alone."""
    rate = 1 / mean_ns

    def jitter(rng: Random) -> tuple[int, int]:
        queued_ns = round(rng.expovariate(rate))
        return (queued_ns, 0) if is_out else (0, queued_ns)

    return jitter


def heavy_tailed(scale_ns: float) -> Jitter:
    """Queue like a wireless link: mostly little, now and then for seconds (Pareto, alpha 1.2)."""

    def one(rng: Random) -> int:
        return round(min(scale_ns * (rng.paretovariate(1.2) - 1), 3e9))

    return lambda rng: (one(rng), one(rng))
