"""What is done with the store, counted by journal_writer: its own writes, and what readers tell.

Pure. A reader tells totals since its connection began; what is new of them is added here, so that
no sum ever falls when a reader goes. Who tells nothing, since it holds no name (a command, a guest
of a shared name), is not counted.
"""

from collections import defaultdict
from typing import Final

from hourbook.book.changes.outcomes import Outcome
from hourbook.latency_bins import LatencyBins
from protocols import errors
from protocols.change import Change
from protocols.control import Snapshot
from protocols.kv_figures import NamespaceFigures, ReadReport, Reads, hit_rate
from protocols.kv_messages import CompactKeys, KvWrite

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


class StoreTally:
    """The counts of one incarnation of journal_writer.

    Attributes:
        compactions: times that the past of keys was compacted.
        commits: how long groups with writes took.
    """

    def __init__(self) -> None:
        self.compactions = 0
        self.commits = LatencyBins()
        self._counts: dict[str, _Counts] = {}
        self._lives: defaultdict[str, dict[int, dict[str, Reads]]] = defaultdict(dict)
        self._has_written = False

    def note(self, change: Change, outcome: Outcome) -> None:
        """Count a change that was answered."""
        if isinstance(change, KvWrite):
            self._has_written = True
            if outcome.error is None:
                self._add(change)
            else:
                self.refuse(change, outcome.error)
        elif type(change) is CompactKeys:
            self.compactions += outcome.error is None

    def refuse(self, change: Change, error: errors.HourbookError) -> None:
        """Count a change that was refused, alone or with its group."""
        if isinstance(change, KvWrite):
            counts = self._add(change)
            counts.refusals += 1
            counts.conflicts += type(error) is errors.VersionConflict

    def end_group(self, commit_ns: int) -> None:
        """Count how long a group took to commit, where a write was in it."""
        if self._has_written:
            self._has_written = False
            self.commits.add(commit_ns)

    def take(self, name: str, report: ReadReport) -> None:
        """Take in what a connection of an instance has read since it began."""
        lives = self._lives[name]
        before = lives.pop(report.life, None)
        if before is None and not report.is_first:
            before = report.namespaces  # the last one to count has ended; what it had is lost
        for ns, reads in report.namespaces.items():
            last = (before or {}).get(ns, _UNREAD)
            counts = self._of(ns)
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

    def _add(self, change: KvWrite) -> _Counts:
        counts = self._of(change.ns)
        counts.writes += 1
        counts.steps += len(change.ops)
        return counts

    def _of(self, ns: str) -> _Counts:
        counts = self._counts.get(ns)
        if counts is None:
            ns = ns if len(self._counts) < NAMESPACES_MAX else OTHERS
            counts = self._counts.setdefault(ns, _Counts())
        return counts

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
