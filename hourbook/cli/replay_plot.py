"""A picture of a replay: measurements, estimate and bands. Needs the extra ``plot``."""

from pathlib import Path
from typing import Final

from hourbook.clock.replay import Replayed
from protocols import errors

try:
    from matplotlib.figure import Figure
except ImportError:
    raise errors.MissingExtra(
        "Expected matplotlib for --plot, got none", hint="pip install 'hourbook[plot]'"
    ) from None

__all__ = ["Picture"]

_SIZE_INCHES: Final = (12.0, 6.0)
_DPI: Final = 120
_SUFFIXES: Final = (".png", ".svg", ".pdf")
_ROOM: Final = 1.5
"""Spikes may leave the picture; the bands and this much beside them do not."""
_MS_NS: Final = 1e6


class Picture:
    """Gathers replayed rows, and draws them in :meth:`save`.

    Raises:
        BadRequest: a file name that says no format.
    """

    def __init__(self, path: str) -> None:
        if Path(path).suffix.lower() not in _SUFFIXES:
            raise errors.BadRequest(f"Expected --plot to end in {', '.join(_SUFFIXES)}, got {path}")
        self._path = path
        self._hours: list[float] = []
        self._measured: list[float] = []
        self._centre: list[float] = []
        self._q68: list[float] = []
        self._q95: list[float] = []
        self._interval: list[tuple[float, float]] = []

    def add(self, one: Replayed) -> None:
        """Take in the next row."""
        said = one.forecast
        if not one.known:
            return
        self._hours.append(one.row.t_ns / 3.6e12)
        self._measured.append(one.row.offset_ns / _MS_NS)
        self._centre.append(said.offset_ns / _MS_NS)
        self._q68.append(said.q68_ns / _MS_NS)
        self._q95.append(said.q95_ns / _MS_NS)
        low, high = said.interval_ns or (float("nan"), float("nan"))
        self._interval.append((low / _MS_NS, high / _MS_NS))

    def save(self) -> None:
        """Draw and write the picture.

        Raises:
            OSError: it cannot be written.
        """
        figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
        axes = figure.add_subplot()
        for widths, share, shade in ((self._q95, "95 %", 0.15), (self._q68, "68 %", 0.3)):
            low = [c - w for c, w in zip(self._centre, widths, strict=True)]
            high = [c + w for c, w in zip(self._centre, widths, strict=True)]
            label = f"{share} of next measurements"
            axes.fill_between(self._hours, low, high, alpha=shade, color="C0", lw=0, label=label)
        axes.plot(self._hours, self._centre, color="C0", lw=1.2, label="estimate")
        axes.plot(self._hours, self._measured, ".", color="0.3", ms=3, label="measured")
        limits = axes.get_ylim()
        for index, label in ((0, "hard interval"), (1, "_")):
            ends = [interval[index] for interval in self._interval]
            axes.plot(self._hours, ends, color="C3", lw=0.8, ls=":", label=label)
        axes.set_ylim(*(_ROOM * limit for limit in limits))
        axes.set_xlabel("hours")
        axes.set_ylabel("offset, true minus local (ms)")
        axes.legend(loc="upper right", fontsize="small")
        figure.savefig(self._path)
