"""A straight statement about UTC: the one form in which every estimator gives its opinion. Pure.

A float of nanoseconds since 1970 has a step of 256 ns, so an opinion is an integer reference and a
small float beside it. References differ from expert to expert; `ahead_of_ns` brings two together.
"""

from typing import Final, NamedTuple, Protocol

__all__ = ["S_NS", "Guest", "Line", "Opinion", "Reference"]

S_NS: Final = 1_000_000_000


class Reference(NamedTuple):
    """The line ``utc = utc_ns + (raw - raw_ns)``: what floats are counted from."""

    raw_ns: int
    utc_ns: int


class Opinion(Protocol):
    """What an expert says of UTC: a line, or anything else that can be asked for an instant."""

    @property
    def handicap(self) -> float:
        """Loss with which it starts beside the others (0: none, 4: as after one gross error)."""
        ...

    def ahead_of_ns(self, reference: Reference, raw_ns: int) -> float:
        """Return UTC at `raw_ns` as it sees it, minus the reference line there."""
        ...


class Guest(Opinion, Protocol):
    """An opinion that comes from outside, and not at every measurement."""

    @property
    def until_raw_ns(self) -> int:
        """Instant from which on it says nothing any more."""
        ...


class Line(NamedTuple):
    """UTC about a reference line.

    Attributes:
        reference: the line that the offset is counted from.
        offset_ns: UTC minus that line, at its `raw_ns`.
        rate_ppb: UTC against RAW, minus one.
        handicap: see :class:`Opinion`.
    """

    reference: Reference
    offset_ns: float
    rate_ppb: float
    handicap: float = 0.0

    def ahead_of_ns(self, reference: Reference, raw_ns: int) -> float:
        """Return UTC at `raw_ns` minus another reference line there."""
        own = self.reference
        if own is reference:  # nearly always: one absorbs and asks thirty times
            return self.offset_ns + self.rate_ppb * ((raw_ns - own.raw_ns) / S_NS)
        apart_ns = (own.utc_ns - own.raw_ns) - (reference.utc_ns - reference.raw_ns)
        return apart_ns + self.offset_ns + self.rate_ppb * ((raw_ns - own.raw_ns) / S_NS)
