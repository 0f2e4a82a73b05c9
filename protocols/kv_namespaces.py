"""What a namespace gives to values that say nothing of it themselves. Data.

Namespaces are made by using them; those that are not named here keep what they are given for ever.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["NAMESPACES", "USUAL", "Namespace", "defaults_of"]

_HOUR_NS: Final = 3600 * 1_000_000_000
_DAY_NS: Final = 24 * _HOUR_NS


class Namespace(NamedTuple):
    """Defaults of one namespace.

    Attributes:
        type: of a new key.
        ttl_ns: of a value that is set without one; None: it lives for ever.
        meaning: what it is for.
    """

    type: str
    ttl_ns: int | None
    meaning: str


USUAL: Final = Namespace("persistent", None, "anything else")
NAMESPACES: Final[Mapping[str, Namespace]] = {
    "agent_context": Namespace("persistent", None, "what an agent knows of itself and its task"),
    "task_results": Namespace("persistent", 30 * _DAY_NS, "what a task has come to"),
    "shared_state": Namespace("shared", None, "state of all agents, in everybody's context"),
    "cross_agent": Namespace("shared", _DAY_NS, "messages between agents"),
    "cache": Namespace("cached", _HOUR_NS, "what can be computed again"),
    "temp": Namespace("transient", _HOUR_NS, "what need not outlive the task"),
    "config": Namespace("versioned", None, "configuration, with its past"),
    "metrics": Namespace("transient", _DAY_NS, "figures of the moment"),
}


def defaults_of(ns: str) -> Namespace:
    """Return what a namespace gives to new values."""
    return NAMESPACES.get(ns, USUAL)
