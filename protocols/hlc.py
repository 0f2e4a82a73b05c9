"""Hybrid logical clocks: one 64-bit number that orders causally related events.

Kulkarni, Demirbas, Madappa, Avva, Leone: "Logical Physical Clocks" (OPODIS 2014), in the compact
form of its section 6: the upper 48 bits are physical time, the lower 16 a counter. Physical time is
UTC in units of 2^16 ns (65.536 us), so that the whole number compares like a Unix time in
nanoseconds: ``hlc`` and ``time_ns`` differ by less than 66 us while clocks agree. A counter that
overflows carries into the time, which keeps the order and costs 65 us of drift.

A state is just the last number issued; :func:`tick` and :func:`merge` are the whole algorithm.
"""

from typing import Final

from protocols import errors

__all__ = ["AHEAD_MAX_NS", "HLC_MAX", "is_ahead", "merge", "physical_ns", "tick"]

COUNTER_BITS: Final = 16
_PHYSICAL: Final = -1 << COUNTER_BITS
HLC_MAX: Final = (1 << 63) - 1
"""Fits a signed 64-bit column and every language's integer; reached in the year 2262."""
AHEAD_MAX_NS: Final = 60_000_000_000
"""A remote clock further ahead than this is wrong, and must not drag ours along (paper, 6.1)."""


def tick(last: int, now_ns: int) -> int:
    """Return the number of a local event or of a message sent at UTC `now_ns`, after `last`."""
    return max(last + 1, now_ns & _PHYSICAL)


def merge(last: int, remote: int, now_ns: int) -> int:
    """Return the number of receiving a message that carried `remote`, at UTC `now_ns`.

    Raises:
        BadRequest: `remote` is negative, above HLC_MAX, or more than AHEAD_MAX_NS ahead.
    """
    if not 0 <= remote <= HLC_MAX:
        raise errors.BadRequest(
            f"Expected `hlc` in 0..{HLC_MAX}, got {remote}", field="hlc", value=str(remote)
        )
    if is_ahead(remote, now_ns):
        raise errors.BadRequest(
            f"Expected `hlc` at most {AHEAD_MAX_NS // 1_000_000_000} s ahead of our clock,"
            f" got {(physical_ns(remote) - now_ns) // 1_000_000_000} s",
            field="hlc",
            value=str(remote),
        )
    return max(last + 1, remote + 1, now_ns & _PHYSICAL)


def is_ahead(hlc: int, now_ns: int) -> bool:
    """Return whether a number is further ahead of UTC `now_ns` than AHEAD_MAX_NS."""
    return hlc & _PHYSICAL > now_ns + AHEAD_MAX_NS


def physical_ns(hlc: int) -> int:
    """Return the UTC nanoseconds (to 65.536 us) that a number carries."""
    return hlc & _PHYSICAL
