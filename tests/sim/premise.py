"""Whether the hard interval is promised at all: an honest majority among those who have a vote.

Kept from what the servers did, never from what the model believes of them. A source counts as lying
while any of its last eight replies was a lie, for the model may still be using it; a silent one has
no vote; those that share an upstream have one, and it lies if one of them does. Who is waited for
counts among the votes, and not among the liars.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from hourbook.clock.hull import liars_max
from hourbook.clock.register import REGISTER_SIZE
from hourbook.clock.voting import SILENT_POLLS

__all__ = ["Premise"]

_S_NS = 1_000_000_000
MEMORY_NS = 4 * 3600 * _S_NS
"""A wrong interval spoils the bound of the rate for as long as it is an anchor."""


@dataclass
class _Witness:
    upstream: str
    heard_raw_ns: int = 0
    silent_after_ns: int = 0
    honesty: deque[bool] = field(default_factory=lambda: deque(maxlen=REGISTER_SIZE))


class Premise:
    """Holds if at every sample since the history began a majority of the votes was honest."""

    def __init__(self) -> None:
        self._witnesses: dict[str, _Witness] = {}
        self._awaited: Mapping[str, str] = {}
        self._broken_until_raw_ns = 0

    def await_votes(self, upstreams: Mapping[str, str], raw_ns: int) -> None:
        """Write down who is waited for, with their upstreams."""
        self._awaited = upstreams
        if not self._has_honest_majority(raw_ns):
            self.break_off(raw_ns)

    def hear(self, name: str, upstream: str, raw_ns: int, poll_s: int, *, is_honest: bool) -> None:
        """Write down one reply that reached the model."""
        witness = self._witnesses.setdefault(name, _Witness(upstream))
        witness.upstream = upstream
        witness.heard_raw_ns = raw_ns
        witness.silent_after_ns = raw_ns + SILENT_POLLS * poll_s * _S_NS
        witness.honesty.append(is_honest)
        if not self._has_honest_majority(raw_ns):
            self.break_off(raw_ns)

    def begin_anew(self) -> None:
        """Forget everything, as the model just did."""
        self._witnesses.clear()
        self._broken_until_raw_ns = 0

    def begin_history(self, raw_ns: int) -> None:
        """Promise again, for a majority has disproved the past; who votes still votes."""
        self._broken_until_raw_ns = 0
        if not self._has_honest_majority(raw_ns):
            self.break_off(raw_ns)

    def withdraw(self, names: list[str]) -> None:
        """Forget those that are not asked any more."""
        for name in names:
            self._witnesses.pop(name, None)

    def lose_votes(self) -> None:
        """Forget who said what, as a model does that restarts; what broke stays broken."""
        self._witnesses.clear()

    def break_off(self, raw_ns: int) -> None:
        """Promise nothing until the history is thrown away, or outlived."""
        self._broken_until_raw_ns = raw_ns + MEMORY_NS

    def holds(self, raw_ns: int) -> bool:
        """Say whether truth must be inside now."""
        return raw_ns >= self._broken_until_raw_ns

    def _has_honest_majority(self, raw_ns: int) -> bool:
        votes: dict[str, bool] = {}
        for witness in self._witnesses.values():
            if raw_ns <= witness.silent_after_ns:
                honest = votes.get(witness.upstream, True) and all(witness.honesty)
                votes[witness.upstream] = honest
        for upstream in self._awaited.values():
            votes.setdefault(upstream, True)
        liars = sum(not honest for honest in votes.values())
        return not liars or liars <= liars_max(len(votes))
