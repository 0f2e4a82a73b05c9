"""Sources that are no longer asked lose their vote at once, and not when they have grown old. Pure.

Whoever removes a server that lies does not want to wait until its last word is stale. The interval
in force stays: it was true by what was known when it came, and the next sample brings another.
"""

from collections.abc import Collection
from dataclasses import replace
from types import MappingProxyType

from hourbook.clock import voting
from hourbook.clock.state import State

__all__ = ["withdraw"]


def withdraw(state: State, names: Collection[str], raw_ns: int) -> State:
    """Return the state without these sources; names that were never heard change nothing."""
    kept = {name: source for name, source in state.sources.items() if name not in names}
    if len(kept) == len(state.sources):
        return state
    voted = voting.vote(kept, raw_ns, state.drift, state.votes_awaited)
    return replace(state, sources=MappingProxyType(kept), voted=voted)
