"""Which points most sources vouch for, and who does not belong to them.

With at most f = floor((n - 1) / 2) liars among n sources, UTC is covered by at least n - f of their
intervals. The **hull** of all points covered so often is the hard interval: it may be wider than
need be, and it cannot miss. The intersection of the survivors, which NTP's selection yields, can:
honest [-10, 10] and [-8, 12] with the subtle liar [5, 25] give [5, 10].

The **clique**, the points that the most intervals cover (Marzullo 1984; RFC 5905, 11.2.1), serves
to name liars and to choose who feeds the centre. It is no bound.

Votes that are `out`, of sources that are still waited for, count among n (:mod:`.awaited`).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hourbook.clock.bounds import Interval, overlaps

__all__ = ["Clique", "clique", "hull", "liars_max"]


class Clique(NamedTuple):
    """The largest agreement.

    Attributes:
        agreements: the points that the most intervals cover, as disjoint stretches in order.
        coverage: how many intervals cover such a point.
    """

    agreements: tuple[Interval, ...]
    coverage: int

    @property
    def core(self) -> Interval:
        """Hull of the agreements."""
        return Interval(self.agreements[0].earliest_ns, self.agreements[-1].latest_ns)

    def has_member(self, claim: Interval) -> bool:
        """Say whether an interval covers a point that the most cover."""
        return any(overlaps(agreement, claim) for agreement in self.agreements)


def liars_max(count: int) -> int:
    """Return how many of `count` sources may lie, and the rest still be a majority."""
    return (count - 1) // 2


def hull(intervals: Sequence[Interval], out: int = 0) -> Interval | None:
    """Return the hull of the points that all but :func:`liars_max` cover; None where none is.

    With votes out there is one only where a majority of all has agreed already.
    """
    if out and clique(intervals, out) is None:
        return None
    needed = len(intervals) - liars_max(len(intervals) + out)
    regions = [region for region, covered in _regions(intervals) if covered >= needed]
    if not regions:
        return None
    return Interval(regions[0].earliest_ns, regions[-1].latest_ns)


def clique(intervals: Sequence[Interval], out: int = 0) -> Clique | None:
    """Return the largest agreement; None where it is no majority (or there are no intervals)."""
    count = len(intervals) + out
    coverage = max((covered for _, covered in _regions(intervals)), default=0)
    if coverage < count - liars_max(count) or not coverage:
        return None
    agreements = [region for region, covered in _regions(intervals) if covered == coverage]
    return Clique(tuple(agreements), coverage)


def _regions(intervals: Sequence[Interval]) -> Iterator[tuple[Interval, int]]:
    """Yield the stretches between edges, in order, each with how many intervals cover it.

    Intervals are closed, so at one point openings come before closings: [0, 5] and [5, 9] have the
    region [5, 5], covered twice.
    """
    edges = sorted(
        [(interval.earliest_ns, 0) for interval in intervals]
        + [(interval.latest_ns, 1) for interval in intervals]
    )
    covered = 0
    for index, (start_ns, closes) in enumerate(edges[:-1]):
        covered += -1 if closes else 1
        yield Interval(start_ns, edges[index + 1][0]), covered
