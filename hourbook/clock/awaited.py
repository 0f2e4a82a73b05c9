"""Sources that were asked and have not answered yet: votes that are still out. Pure.

Who answers first must not be believed alone while others are about to. With v votes cast and a
still out there are n = v + a, of which f = floor((n - 1) / 2) may lie:

- whether there is an interval: n - f of the cast ones must agree, as if the others never would;
- how wide it is: all honest ones cover UTC, so at least v - f of those that were cast do.

The points that n - f of the cast ones cover would not do for the width: of three votes of four,
[-10, 10], [-8, 12] and the liar's [5, 25] have only [5, 10] in common.

The sampler says whom it waits for (``clock.awaited``). Until it has, after the model began or lost
its history, anybody may be, and nothing is decided. No wait outlasts its deadline.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

__all__ = ["NOBODY", "SILENCE_NS_MAX", "Awaited", "anybody"]

SILENCE_NS_MAX: Final = 5_000_000_000
"""How long the sampler may leave open whom it asks; it says so within milliseconds if it lives."""
UNTOLD_VOTES: Final = 64
"""As many as a model ever knows: no number of cast votes decides anything against them."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """Whose votes are out, and until when.

    Attributes:
        names: of the sources.
        until_raw_ns: from then on nobody is waited for.
        is_told: False: the sampler has not said yet whom it asks.
    """

    names: frozenset[str] = frozenset()
    until_raw_ns: int = 0
    is_told: bool = True

    def votes_out(self, cast: Collection[str], raw_ns: int) -> int:
        """Return how many votes are out, beside those of the sources that have cast theirs."""
        if raw_ns >= self.until_raw_ns:
            return 0
        return len(self.names.difference(cast)) if self.is_told else UNTOLD_VOTES


NOBODY: Final = Awaited()


def anybody(raw_ns: int) -> Awaited:
    """Return what is known before the sampler has said whom it asks."""
    return Awaited(until_raw_ns=raw_ns + SILENCE_NS_MAX, is_told=False)
