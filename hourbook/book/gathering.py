"""When a group is full enough to be committed. Pure.

A commit costs an fsync whether it holds one entry or a hundred. Eight writers that each wait for
their answer fall into two groups that take turns: one is answered while the other waits, and the
first of it to come back is committed alone. So the writer looks at how many requests came together
lately, and gathers until as many are there again, 200 us at most (PostgreSQL's commit_delay and
commit_siblings, with the siblings counted). A lone request finds no siblings and never waits.
"""

from typing import Final

__all__ = ["GATHER_NS_MAX", "Gathering"]

GATHER_NS_MAX: Final = 200_000
"""Less than an fsync on most disks, so that gathering at worst costs what it may save."""
_FORGET: Final = 8


class Gathering:
    """Decides for one group after the other."""

    __slots__ = ("_deadline_ns", "expected")

    def __init__(self) -> None:
        self.expected = 1
        self._deadline_ns = 0

    def awaits_more(self, count: int, now_ns: int) -> bool:
        """Return whether to look for more requests before a group of `count` is committed."""
        if count == 0 or count >= self.expected:
            return False
        if self._deadline_ns == 0:
            self._deadline_ns = now_ns + GATHER_NS_MAX
        return now_ns < self._deadline_ns

    def close(self, count: int) -> None:
        """Note that a group of `count` requests is committed; what was expected fades slowly."""
        self._deadline_ns = 0
        faded = self.expected - max(1, self.expected // _FORGET)
        self.expected = max(1, count, faded)
