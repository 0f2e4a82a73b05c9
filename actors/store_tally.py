"""What is done with the store, counted by journal_writer: its own writes, and what readers tell.

Pure. A reader tells totals since its connection began; what is new of them is added here, so that
no sum ever falls when a reader goes. Who tells nothing, since it holds no name (a command, a guest
of a shared name), is not counted.
"""

from collections import defaultdict
from typing import Final

from hourbook.latency_bins import LatencyBins
from protocols import errors
from protocols.control import Snapshot
from protocols.kv_figures import NamespaceFigures, ReadReport, Reads, hit_rate
from protocols.kv_messages import KvWrite

__all__ = ["OTHERS", "StoreTally"]

NAMESPACES_MAX: Final = 10_000
LIVES_MAX: Final = 64
"""Connections of one name at once that are told apart."""
OTHERS: Final = ""
"""Stands for the namespaces beyond that."""
_FIRST_BUCKET: Final = 16
_LAST_BUCKET: Final = 32
_UNREAD: Final = Reads()


class _Counts:
    """Of one namespace."""

    __slots__ = ("conflicts", "hits", "misses", "refusals", "steps", "writes")

    def __init__(self) -> None:
        self.writes = self.steps = self.refusals = self.conflicts = self.hits = self.misses = 0


class _Namespaces(dict[str, _Counts]):
    """Counts by namespace, made when it is first used; beyond NAMESPACES_MAX they share one."""

    def __missing__(self, ns: str) -> _Counts:
        return self.setdefault(ns if len(self) < NAMESPACES_MAX else OTHERS, _Counts())


class StoreTally:
    """The counts of one incarnation of journal_writer.

    Attributes:
        compactions: times that the past of keys was compacted.
        commits: how long groups with writes took to commit.
    """

    def __init__(self) -> None:
        self.compactions = 0
        self.commits = LatencyBins()
        self._counts = _Namespaces()
        self._lives: defaultdict[str, dict[int, dict[str, Reads]]] = defaultdict(dict)

    def count(self, write: KvWrite, error: errors.HourbookError | None) -> None:
        """Count a write that was answered, alone or with its group; `error` is its refusal."""
        counts = self._counts[write.ns]
        counts.writes += 1
        counts.steps += len(write.ops)
        if error is not None:
            counts.refusals += 1
            counts.conflicts += type(error) is errors.VersionConflict

    def take(self, name: str, report: ReadReport) -> None:
        """Take in what a connection of an instance has read since it began."""
        lives = self._lives[name]
        before = lives.pop(report.life, None)
        if before is None and not report.is_first:
            before = report.namespaces  # the last one to count has ended; what it had is lost
        for ns, reads in report.namespaces.items():
            last = (before or {}).get(ns, _UNREAD)
            counts = self._counts[ns]
            counts.hits += max(0, reads.hits - last.hits)
            counts.misses += max(0, reads.misses - last.misses)
        lives[report.life] = report.namespaces
        if len(lives) > LIVES_MAX:
            del lives[next(iter(lives))]

    def forget(self, name: str) -> None:
        """Take in that nobody holds a name any more: its watches are closed, its sums stay."""
        self._lives.pop(name, None)

    def figures(self, ns: str = "") -> dict[str, NamespaceFigures]:
        """Return what was done with each namespace, or with one."""
        watches = self._watches()
        names = [ns] if ns else sorted(self._counts.keys() | watches.keys())
        return {
            name: _figures(self._counts.get(name) or _Counts(), watches.get(name, 0))
            for name in names
        }

    def snapshot(self) -> Snapshot:
        """Return the figures of all namespaces together, by their names."""
        every = self._counts.values()
        hits, misses = sum(each.hits for each in every), sum(each.misses for each in every)
        return {
            "store_writes_total": float(sum(each.writes for each in every)),
            "store_write_steps_total": float(sum(each.steps for each in every)),
            "store_refusals_total": float(sum(each.refusals for each in every)),
            "store_conflicts_total": float(sum(each.conflicts for each in every)),
            "store_reads_total": float(hits + misses),
            "store_hits_total": float(hits),
            "store_misses_total": float(misses),
            "store_hit_ratio": hit_rate(hits, misses),
            "store_watches": float(sum(self._watches().values())),
            "store_compactions_total": float(self.compactions),
            **self.commits.snapshot("store_commit_seconds", _FIRST_BUCKET, _LAST_BUCKET),
        }

    def _watches(self) -> dict[str, int]:
        open_: defaultdict[str, int] = defaultdict(int)
        for lives in self._lives.values():
            for namespaces in lives.values():
                for ns, reads in namespaces.items():
                    if reads.watches:
                        open_[ns] += reads.watches
        return open_


def _figures(counts: _Counts, watches: int) -> NamespaceFigures:
    return NamespaceFigures(
        counts.writes,
        counts.steps,
        counts.refusals,
        counts.conflicts,
        counts.hits + counts.misses,
        counts.hits,
        counts.misses,
        hit_rate(counts.hits, counts.misses),
        watches,
    )
