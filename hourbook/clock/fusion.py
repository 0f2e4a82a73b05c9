"""Which expert to believe: each is weighed by what it recently got right. Pure.

State
    loss_k of every expert, and the sizes of the last errors of the fused centre.

Equations (exponentially weighted average forecaster; Cesa-Bianchi and Lugosi 2006, chapter 2, with
the forgetting and the cap that measured clocks ask for)
    scale    = median |error of the centre| over the last SCALE_WINDOW measurements; the typical
               doubt while there are fewer than SCALE_MIN
    loss_k  := FORGETTING loss_k + g min(|measured - said_k| / scale, CAP)
    g        = 2 d / (d + doubt), d the typical doubt: a measurement that may itself be far off
               says little of who was right (g = 1 for a typical one)
    weight_k = exp(-RATE (loss_k - min loss))
    centre   = sum weight_k clip(said_k) / sum weight_k,
               clip: to within CAP scale of the weighted median of what is said

The cap keeps one spike from deciding, the clip keeps a newcomer that is absurd from mattering: both
stop counting at the same distance. An expert that begins to speak starts with the mean loss of the
others, plus its handicap.

The fusion knows nothing of who the experts are; whatever keeps to `line.Opinion` may join. What
they say rests on measurements alone: a centre is never fed back to anybody as one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from types import MappingProxyType
from typing import Final, NamedTuple

from hourbook.clock.line import Opinion
from hourbook.clock.robust import median, weighted_median

__all__ = [
    "CAP",
    "FORGETTING",
    "Centred",
    "Doubts",
    "Fusion",
    "admit",
    "forgive",
    "fuse",
    "learn",
    "weights",
]

FORGETTING: Final = 0.98
CAP: Final = 4.0
_RATE: Final = 0.5
_SCALE_WINDOW: Final = 45
_SCALE_MIN: Final = 4
"""Errors before their median says more than what the delays tell."""
_DISPROVED: Final = 40.0
"""Ten gross errors: e^-20 of the weight it had."""
_RESOLUTION_NS: Final = 1.0
_NOBODY: Final[Mapping[str, float]] = MappingProxyType({})


class Doubts(NamedTuple):
    """Of one measurement, and the median of the last ones."""

    own: float
    typical: float


class Centred(NamedTuple):
    """What the experts say together of one instant.

    Attributes:
        ahead_ns: UTC minus the reference line.
        spread_ns: weighted standard deviation of what they say.
    """

    ahead_ns: float
    spread_ns: float


@dataclass(frozen=True, slots=True)
class Fusion:
    """What is known of the experts.

    Attributes:
        losses: by name, in the order in which the experts speak.
        errors_ns: sizes of the centre's last errors, newest last.
        scale_ns: by which losses are measured; 0 before the first.
    """

    losses: Mapping[str, float] = field(default_factory=lambda: _NOBODY)
    errors_ns: tuple[float, ...] = ()
    scale_ns: float = 0.0


def learn(
    before: Fusion, said_ns: Sequence[float], measured_ns: float, error_ns: float, doubt_ns: Doubts
) -> Fusion:
    """Return the fusion after a measurement.

    Args:
        before: the fusion.
        said_ns: what the experts had said of it, in the order of the losses.
        measured_ns: what it says itself.
        error_ns: by how much the centre missed it.
        doubt_ns: how far off it may be, and how far such measurements usually may be.
    """
    trust = 2 * doubt_ns.typical / (doubt_ns.typical + doubt_ns.own)
    scale_ns = before.scale_ns or doubt_ns.typical
    unit, most = trust / scale_ns, trust * CAP
    lost = [abs(measured_ns - said) * unit for said in said_ns]
    losses = {
        name: FORGETTING * loss + min(one, most)
        for (name, loss), one in zip(before.losses.items(), lost, strict=True)
    }
    errors = (*before.errors_ns, abs(error_ns))[-_SCALE_WINDOW:]
    scale_ns = median(errors) if len(errors) >= _SCALE_MIN else doubt_ns.typical
    return Fusion(MappingProxyType(losses), errors, max(scale_ns, _RESOLUTION_NS))


def admit(before: Fusion, opinions: Mapping[str, Opinion]) -> Fusion:
    """Return the fusion with those who speak now; who fell silent is forgotten."""
    known = [loss for name, loss in before.losses.items() if name in opinions]
    begin = sum(known) / len(known) if known else 0.0
    losses = {
        name: before.losses.get(name, begin + opinion.handicap)
        for name, opinion in opinions.items()
    }
    return Fusion(MappingProxyType(losses), before.errors_ns, before.scale_ns)


def forgive(before: Fusion, unmoved: str) -> Fusion:
    """Return the fusion after a step: nobody's fault, so that half of the past counts.

    All will speak from the new place but the one named, whom the step has just proved wrong.
    """
    losses = {name: loss / 2 for name, loss in before.losses.items()}
    losses[unmoved] += _DISPROVED
    return Fusion(MappingProxyType(losses), before.errors_ns, before.scale_ns)


def weights(fusion: Fusion) -> tuple[float, ...]:
    """Return the weight of each expert, in the order of the losses."""
    least = min(fusion.losses.values())
    return tuple([math.exp(_RATE * (least - loss)) for loss in fusion.losses.values()])


def fuse(said_ns: Sequence[float], weights: Sequence[float], scale_ns: float) -> Centred:
    """Return what the experts say together.

    Args:
        said_ns: by each of them, about one line; there is at least one.
        weights: of each.
        scale_ns: of the fusion.
    """
    middle = weighted_median(said_ns, weights)
    low, high = middle - CAP * scale_ns, middle + CAP * scale_ns
    if min(said_ns) < low or max(said_ns) > high:
        said_ns = [low if one < low else min(one, high) for one in said_ns]
    total = sum(weights)
    mean = sum(map(mul, weights, said_ns)) / total
    off = [one - mean for one in said_ns]
    squares = sum(map(mul, weights, map(mul, off, off)))
    return Centred(mean, math.sqrt(squares / total))
