"""The clock's time page as JSON that every reader can trust. Pure.

One shape for ``hourbook now``, ``hourbook snapshot``, ``hourbook status`` and the MCP tools
(docs/CLI.md). A field has one type: instants in nanoseconds are *decimal strings* at all times,
since they are far above 2^53 and many readers would round them; durations are numbers; what is
unbounded or unknown is null.
"""

from typing import Any, Final, Protocol

from hourbook.rfc3339 import format_utc_ns

__all__ = ["ReadingLike", "SnapshotLike", "bounds_of", "half_width_ns", "now_json", "snapshot_json"]

UNBOUNDED_EARLIEST_NS: Final = -(1 << 63)
UNBOUNDED_LATEST_NS: Final = (1 << 63) - 1
_EXACT_MAX: Final = 1 << 53
_INSTANTS: Final = frozenset({"time_ns", "earliest_ns", "latest_ns", "utc_at_as_of_ns"})
_WIDE_WORDS: Final = frozenset({"seq", "vmclock_marker"})
_AGES: Final = frozenset({"age_ns", "sample_age_ns"})


class ReadingLike(Protocol):
    """What a reading of the clock says."""

    @property
    def time_ns(self) -> int:
        """The estimate of UTC."""

    @property
    def earliest_ns(self) -> int:
        """UTC is not earlier."""

    @property
    def latest_ns(self) -> int:
        """UTC is not later."""

    @property
    def sigma_ns(self) -> int:
        """One sigma of the estimate."""

    @property
    def status(self) -> Any:  # noqa: ANN401 - an IntEnum of the C core's own
        """How far it is to be trusted."""


class SnapshotLike(ReadingLike, Protocol):
    """What a snapshot says beyond a reading."""

    @property
    def age_ns(self) -> int:
        """Since the last publication."""

    @property
    def source(self) -> str:
        """Where the time comes from."""


def bounds_of(reading: ReadingLike) -> tuple[int | None, int | None]:
    """Return earliest and latest UTC in nanoseconds; None on a side that has no bound."""
    earliest_ns = None if reading.earliest_ns <= UNBOUNDED_EARLIEST_NS else reading.earliest_ns
    latest_ns = None if reading.latest_ns >= UNBOUNDED_LATEST_NS else reading.latest_ns
    return earliest_ns, latest_ns


def half_width_ns(reading: ReadingLike) -> int | None:
    """Return the smallest b such that UTC is within the estimate +- b; None when unbounded."""
    earliest_ns, latest_ns = bounds_of(reading)
    if earliest_ns is None or latest_ns is None:
        return None
    return max(reading.time_ns - earliest_ns, latest_ns - reading.time_ns)


def now_json(snapshot: SnapshotLike) -> dict[str, Any]:
    """Return the time as ``hourbook now --json`` prints it."""
    earliest_ns, latest_ns = bounds_of(snapshot)
    return {
        "time": format_utc_ns(snapshot.time_ns),
        "time_ns": str(snapshot.time_ns),
        "earliest_ns": None if earliest_ns is None else str(earliest_ns),
        "latest_ns": None if latest_ns is None else str(latest_ns),
        "sigma_ns": _duration(snapshot.sigma_ns),
        "status": snapshot.status.name,
        "source": snapshot.source or "none",
        "age_ms": None if snapshot.age_ns < 0 else round(snapshot.age_ns / 1e6, 3),
    }


def snapshot_json(fields: dict[str, Any]) -> dict[str, Any]:
    """Return every field of a snapshot as ``hourbook snapshot --json`` prints it."""
    return {name: _field(name, value) for name, value in fields.items()}


def _field(name: str, value: Any) -> Any:  # noqa: ANN401 - int, bool or text
    if hasattr(value, "name"):
        return value.name
    if isinstance(value, bool | str):
        return value
    if name in _INSTANTS or name.endswith("raw_ns") or name in _WIDE_WORDS:
        unbounded = value in (UNBOUNDED_EARLIEST_NS, UNBOUNDED_LATEST_NS)
        return None if unbounded and name != "seq" else str(value)
    if name in _AGES and value < 0:
        return None
    return _duration(value)


def _duration(value: int) -> int | None:
    """Return a number, or null for the marks of what is unbounded or unknown."""
    return value if -_EXACT_MAX <= value <= _EXACT_MAX else None
