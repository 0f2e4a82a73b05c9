"""What is counted of the store: by each process that reads it, and by journal_writer of all.

Readers ask nobody, so nobody but they knows what they read: an instance says so in its beats, as
totals since its connection began. A beat that is lost, or sent twice, changes no sum.
"""

from typing import Annotated, Final

import msgspec

__all__ = [
    "FIGURES_KIND",
    "AskFigures",
    "NamespaceFigures",
    "ReadReport",
    "Reads",
    "StoreFigures",
    "hit_rate",
]

FIGURES_KIND: Final = "kv.figures"
NAMESPACES_MAX: Final = 1000
"""Of one report."""
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Name = Annotated[str, msgspec.Meta(max_length=64)]


class Reads(msgspec.Struct, frozen=True, array_like=True):
    """What one connection has read of a namespace.

    Attributes:
        hits: gets that its cache has answered.
        misses: gets that it has not.
        watches: that are open.
    """

    hits: _Count = 0
    misses: _Count = 0
    watches: _Count = 0


class ReadReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one connection has read since it began.

    Attributes:
        life: of the connection; no other has the same.
        namespaces: what it has read of each.
        is_first: no report of it was answered before: all of it is news.
    """

    life: _Count
    namespaces: Annotated[dict[_Name, Reads], msgspec.Meta(max_length=NAMESPACES_MAX)]
    is_first: bool = False


class AskFigures(msgspec.Struct, frozen=True, omit_defaults=True):
    """``kv.figures``: what was counted of the store.

    Attributes:
        ns: only this namespace; "": all of them.
    """

    ns: _Name = ""


class NamespaceFigures(msgspec.Struct, frozen=True):
    """What all processes have done with a namespace since journal_writer began.

    Attributes:
        writes: requests that wrote keys, as far as their group was written or refused.
        steps: in them.
        refusals: writes that were refused.
        conflicts: of those, the ones whose `if_version` was stale.
        reads: gets, by instances that hold a name.
        hits: how many of them a cache has answered.
        misses: how many had to be read from the file.
        hit_rate: hits / reads (0..1); 0 before the first.
        watches: that are open.
    """

    writes: int = 0
    steps: int = 0
    refusals: int = 0
    conflicts: int = 0
    reads: int = 0
    hits: int = 0
    misses: int = 0
    hit_rate: float = 0.0
    watches: int = 0


class StoreFigures(msgspec.Struct, frozen=True):
    """The answer to ``kv.figures``.

    Attributes:
        namespaces: what was done with each.
        evictions: cached keys that went for want of room.
        expired: keys whose time had come.
        gc_runs: times that such were taken away, and that the past was compacted.
        locks: that are held.
        waiting: calls that wait for one.
        commit_latency_ns: how many groups with writes took less than so many nanoseconds to commit,
            each counted once.
        lock_wait_ns: the same of calls until they had their lock.
    """

    namespaces: dict[str, NamespaceFigures]
    evictions: int
    expired: int
    gc_runs: int
    locks: int
    waiting: int
    commit_latency_ns: dict[int, int]
    lock_wait_ns: dict[int, int]


def hit_rate(hits: int, misses: int) -> float:
    """Return which part of the gets a cache has answered (0..1); 0 where there were none."""
    return hits / (hits + misses) if hits + misses else 0.0
