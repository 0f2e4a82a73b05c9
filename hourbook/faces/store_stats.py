"""Figures of a namespace: what is in it, and what this process has read and written of it."""

from typing import Any, Final

import msgspec

from hourbook.book.store.census import WEIGHT
from hourbook.book.store.files import Line, StoreFiles
from hourbook.latency_bins import LatencyBins, histogram_of
from protocols.kv_figures import StoreFigures, hit_rate

__all__ = [
    "Holding",
    "StoreStats",
    "WriteCounts",
    "gather_holding",
    "gather_holdings",
    "gather_stats",
]

_HELD: Final = f"SELECT ns, type, count(*), {WEIGHT} FROM kv WHERE ns = ? GROUP BY type"  # noqa: S608 - constants
_ALL_HELD: Final = f"SELECT ns, type, count(*), {WEIGHT} FROM kv GROUP BY ns, type"  # noqa: S608 - constants
_LOCKS: Final = "SELECT ns, count(*) FROM lease WHERE ns = ? GROUP BY ns"
_ALL_LOCKS: Final = "SELECT ns, count(*) FROM lease GROUP BY ns"


class StoreStats(msgspec.Struct, frozen=True):
    """Figures of one namespace.

    Attributes:
        namespace: its name.
        entries: keys by type, those included whose time is over and that were not swept yet.
        bytes: of keys, values and metadata as they are kept (compressed, where that pays).
        locks: that are held.
        watches: that this process has open.
        reads: gets by this process, of keys as they are now.
        hits: how many of them the cache has answered.
        misses: how many it has not.
        hit_rate: hits / reads (0..1); 0 before the first.
        evictions: keys that the cache has forgotten for want of room.
        cached_entries: keys that it holds.
        cached_bytes: what they weigh, about.
        miss_latency_ns: how many misses took less than so many nanoseconds, each counted once.
        writes: requests that this process has had an answer to.
        refusals: how many of them were refused.
        write_latency_ns: as `miss_latency_ns`, from sending to the answer, of writes that waited.
        of_all: what journal_writer has counted since its start: of this namespace what all
            processes did, and of the whole store; None where it does not answer.
    """

    namespace: str
    entries: dict[str, int]
    bytes: int
    locks: int
    watches: int
    reads: int
    hits: int
    misses: int
    hit_rate: float
    evictions: int
    cached_entries: int
    cached_bytes: int
    miss_latency_ns: dict[int, int]
    writes: int
    refusals: int
    write_latency_ns: dict[int, int]
    of_all: StoreFigures | None = None


class Holding(msgspec.Struct):
    """What a namespace holds: as :class:`StoreStats` says of it."""

    namespace: str
    entries: dict[str, int] = {}
    bytes: int = 0
    locks: int = 0


class WriteCounts:
    """Counts writes; not exact where threads write at once, as such figures need not be.

    Attributes:
        writes: all of them.
        refusals: those that were refused.
        latency: of those that waited.
    """

    __slots__ = ("latency", "refusals", "writes")

    def __init__(self) -> None:
        self.writes = self.refusals = 0
        self.latency = LatencyBins()


def gather_stats(
    files: StoreFiles,
    ns: str,
    cache: tuple[int, int, int, int, int, list[int]],
    counts: WriteCounts,
    watches: int,
    of_all: StoreFigures | None,
) -> StoreStats:
    """Return the figures of a namespace; `cache` is what ``StoreCache.figures`` says."""
    hits, misses, evictions, cached_entries, cached_bytes, bins = cache
    held = gather_holding(files, ns)
    return StoreStats(
        ns,
        held.entries,
        held.bytes,
        held.locks,
        watches,
        hits + misses,
        hits,
        misses,
        hit_rate(hits, misses),
        evictions,
        cached_entries,
        cached_bytes,
        histogram_of(bins),
        counts.writes,
        counts.refusals,
        counts.latency.histogram(),
        of_all,
    )


def gather_holding(files: StoreFiles, ns: str) -> Holding:
    """Return what one namespace holds."""
    return _gather(files, _HELD, _LOCKS, (ns,)).get(ns, Holding(ns))


def gather_holdings(files: StoreFiles) -> list[Holding]:
    """Return what each namespace holds that has keys or locks, by name."""
    found = _gather(files, _ALL_HELD, _ALL_LOCKS, ())
    return [found[ns] for ns in sorted(found)]


def _gather(
    files: StoreFiles, held_sql: str, locks_sql: str, values: tuple[str, ...]
) -> dict[str, Holding]:
    def read(line: Line) -> tuple[list[Any], list[Any]]:
        held = line.durable(held_sql, values).fetchall()
        locks = line.durable(locks_sql, values).fetchall()
        if volatile := line.open_volatile(files.home):
            held += volatile(held_sql, values).fetchall()
        return held, locks

    held, locks = files.read(read)
    found: dict[str, Holding] = {}
    for ns, kind, count, size in held:
        one = found.setdefault(ns, Holding(ns))
        one.entries[kind] = count
        one.bytes += size
    for ns, count in locks:
        found.setdefault(ns, Holding(ns)).locks = count
    return found
