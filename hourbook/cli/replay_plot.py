"""A picture of a replay: measurements, estimate and bands. Needs the extra ``plot``."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hourbook.clock.replay import Replayed
from protocols import errors

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError:
    raise errors.MissingExtra(
        "Expected matplotlib for --plot, got none", hint="pip install 'hourbook[plot]'"
    ) from None

__all__ = ["Picture", "limits_of"]

_SIZE_INCHES: Final = (12.0, 6.5)
_DPI: Final = 120
_SUFFIXES: Final = (".png", ".svg", ".pdf")
_SHARE_LEFT_OUT: Final = 0.005
"""Of values at either end that need not fit: a spike must not flatten all the rest."""
_ROOM: Final = 0.2
"""Above and below what fits, as a share of its height."""
_MS_NS: Final = 1e6
_HOUR_NS: Final = 3.6e12


class Picture:
    """Gathers replayed rows, and draws them in :meth:`save`.

    Raises:
        BadRequest: a file name that says no format.
    """

    def __init__(self, path: str) -> None:
        if Path(path).suffix.lower() not in _SUFFIXES:
            raise errors.BadRequest(f"Expected --plot to end in {', '.join(_SUFFIXES)}, got {path}")
        self._path = path
        self._begin_ns: int | None = None
        self._hours: list[float] = []
        self._measured: list[float] = []
        self._centre: list[float] = []
        self._q68: list[float] = []
        self._q95: list[float] = []
        self._earliest: list[float] = []
        self._latest: list[float] = []

    def add(self, one: Replayed) -> None:
        """Take in the next row."""
        said = one.forecast
        self._begin_ns = one.row.t_ns if self._begin_ns is None else self._begin_ns
        if not one.known:
            return
        self._hours.append((one.row.t_ns - self._begin_ns) / _HOUR_NS)
        self._measured.append(one.row.offset_ns / _MS_NS)
        self._centre.append(said.offset_ns / _MS_NS)
        self._q68.append(said.q68_ns / _MS_NS)
        self._q95.append(said.q95_ns / _MS_NS)
        earliest_ns, latest_ns = said.interval_ns or (math.nan, math.nan)
        self._earliest.append(earliest_ns / _MS_NS)
        self._latest.append(latest_ns / _MS_NS)

    def save(self, title: str, figures: str) -> None:
        """Draw and write the picture.

        Args:
            title: what was replayed.
            figures: what the predictions were worth, in one line.

        Raises:
            OSError: it cannot be written.
        """
        figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
        axes = figure.add_subplot()
        self._draw_bands(axes)
        axes.plot(self._hours, self._centre, color="C0", lw=1.4, label="estimate")
        axes.plot(self._hours, self._measured, ".", color="0.25", ms=3.5, label="measured")
        bands = zip(self._centre, self._q95, strict=True)
        low, high = limits_of([*self._measured, *(c + s * w for c, w in bands for s in (-1, 1))])
        self._draw_interval(axes, low, high)
        axes.set_ylim(low, high)
        axes.margins(x=0.01)
        axes.grid(color="0.92", lw=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("hours since the first row")
        axes.set_ylabel("offset, true minus local (ms)")
        figure.suptitle(title, x=0.01, ha="left", weight="bold")
        axes.set_title(figures, loc="left", fontsize="small", color="0.35")
        figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize="small")
        figure.savefig(self._path)

    def _draw_bands(self, axes: Axes) -> None:
        for widths, share, shade in ((self._q95, "95 %", 0.15), (self._q68, "68 %", 0.3)):
            low = [c - w for c, w in zip(self._centre, widths, strict=True)]
            high = [c + w for c, w in zip(self._centre, widths, strict=True)]
            label = f"{share} of next measurements"
            axes.fill_between(self._hours, low, high, alpha=shade, color="C0", lw=0, label=label)

    def _draw_interval(self, axes: Axes, low: float, high: float) -> None:
        """Shade where UTC cannot be; nothing, where no row has a hard interval."""
        if all(map(math.isnan, self._latest)):
            return
        label = "outside the hard interval"
        for ends, edge in ((self._latest, high), (self._earliest, low)):
            beyond = [max(end, high) if edge == high else min(end, low) for end in ends]
            axes.fill_between(self._hours, ends, beyond, color="C3", alpha=0.1, lw=0, label=label)
            axes.plot(self._hours, ends, color="C3", lw=0.7, alpha=0.6)
            label = "_"


def limits_of(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis on which all but the most extreme values have room."""
    if not values:
        return -1.0, 1.0
    ordered = sorted(values)
    left_out = int(len(ordered) * _SHARE_LEFT_OUT)
    low, high = ordered[left_out], ordered[-1 - left_out]
    room = _ROOM * (high - low) or 1.0
    return low - room, high + room
