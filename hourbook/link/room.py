"""How much one client may have in flight, and which requests stand in the way of the next. Pure."""

from collections.abc import Sequence
from typing import Final

from hourbook.link.reply import Reply

__all__ = ["IN_FLIGHT_BYTES_MAX", "IN_FLIGHT_MAX", "LARGE_BYTES", "find_surplus"]

IN_FLIGHT_MAX: Final = 10_000
"""Requests without an answer."""
LARGE_BYTES: Final = 64 << 10
"""Frames above this are counted by their bytes, too, and sent again to a successor only."""
IN_FLIGHT_BYTES_MAX: Final = 64 << 20
"""What the large ones may have together: they wait in the memory of the actor."""


def find_surplus(flying: Sequence[Reply], size: int) -> list[Reply]:
    """Return which requests have to be settled before another is sent.

    Args:
        flying: all in flight, the oldest first.
        size: of the other (bytes).
    """
    surplus = list(flying[: max(0, len(flying) - IN_FLIGHT_MAX + 1)])
    if size <= LARGE_BYTES:
        return surplus
    large = [reply for reply in flying if len(reply.frame) > LARGE_BYTES]
    over = size + sum(len(reply.frame) for reply in large) - IN_FLIGHT_BYTES_MAX
    for reply in large:
        if over <= 0:
            break
        surplus.append(reply)
        over -= len(reply.frame)
    return surplus
