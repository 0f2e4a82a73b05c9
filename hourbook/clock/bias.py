"""By how much a source is ahead of the others, so that their samples can feed one centre. Pure.

Asymmetric paths give each source a constant error that nobody can measure alone; but where several
are selected their samples differ by those constants, and a centre that took them as they come would
jump from one to the next.

    r_s  = median over the register of (sample - centre line)
    a    = sum w_s r_s / sum w_s,   w_s = 1 / half-width: where the sources together are
    bias = r_s - a

Only differences between sources are taken off, never what they have in common: the weighted mean of
all biases is zero, so the centre cannot run away with its own opinion. One source has no bias.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from hourbook.clock.line import S_NS, Line
from hourbook.clock.register import Source
from hourbook.clock.robust import median
from protocols.clock_messages import UNBOUNDED_NS

__all__ = ["bias_ns"]

_SAMPLES_MIN: Final = 3
"""Of a source, before it is said to be off."""


def bias_ns(sources: Mapping[str, Source], selected: Iterable[str], name: str, line: Line) -> int:
    """Return by how much a source's samples are ahead of what the selected ones say together."""
    base_ns = line.reference.utc_ns - line.reference.raw_ns + round(line.offset_ns)
    raw_ns, rate = line.reference.raw_ns, line.rate_ppb / S_NS
    ahead_ns: dict[str, float] = {}
    weights: dict[str, float] = {}
    for one in selected:
        kept = sources[one].samples
        half_width_ns = kept[-1].half_width_ns
        if len(kept) >= _SAMPLES_MIN and half_width_ns != UNBOUNDED_NS:
            ahead_ns[one] = median(
                [s.utc_ns - s.raw_ns - base_ns - rate * (s.raw_ns - raw_ns) for s in kept]
            )
            weights[one] = 1 / max(half_width_ns, 1)
    if name not in ahead_ns or len(ahead_ns) == 1:
        return 0
    together_ns = sum(weights[one] * ahead_ns[one] for one in ahead_ns) / sum(weights.values())
    return round(ahead_ns[name] - together_ns)
