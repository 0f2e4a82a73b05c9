"""What a forecaster is: the interface for those who write one, and which ones are installed.

A package offers a forecaster under the entry point group ``hourbook.forecasters``; clock_model's
configuration chooses it by name (docs/FORECASTERS.md). It lives in a process of its own, sees
measurements alone, and what it says counts for as much as it was right: it may move the centre of
the estimate inside the hard interval, and never the interval.

An entry point names anything that is called with the configured options and returns a
:class:`Forecaster`. Nothing of this module has to be imported for that.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any, Final, NamedTuple, Protocol

from protocols import errors

__all__ = ["GROUP", "Forecaster", "Sample", "installed", "load", "unknown"]

GROUP: Final = "hourbook.forecasters"


class Sample(NamedTuple):
    """One measurement of UTC, told against a straight line that follows the oscillator.

    The line runs through the newest measurement at the best known rate, so offsets are small and
    have hardly any slope. It is another one at every question.

    Attributes:
        at_ns: when, on this machine's oscillator, before the newest measurement (nanoseconds, <= 0;
            0 is the newest).
        offset_ns: UTC minus the line (nanoseconds).
        doubt_ns: how far off the measurement may be by its delay, as a standard deviation would say
            it (nanoseconds, > 0). Relative: how large errors really are, the samples show.
    """

    at_ns: int
    offset_ns: float
    doubt_ns: float


class Forecaster(Protocol):
    """What an entry point returns. Both functions are called after each measurement, in turn."""

    def fit(self, samples: Sequence[Sample]) -> object:
        """Take note of the last 8 to 512 measurements, oldest first; what it returns is ignored."""

    def predict(
        self, horizons_ns: Sequence[int]
    ) -> tuple[Sequence[float], Mapping[float, Sequence[float]]]:
        """Say where UTC will be.

        Args:
            horizons_ns: instants after the newest sample (nanoseconds, > 0, increasing, 8 of them:
                1 to 16 usual intervals between measurements).

        Returns:
            UTC minus the line at each horizon (nanoseconds); and, by level (0 < level < 1, at most
            16 of them), quantiles of the next measurement at each horizon. No quantiles: {}.
        """


def installed() -> list[str]:
    """Return the names of all forecasters that are installed."""
    return sorted({point.name for point in metadata.entry_points(group=GROUP)})


def unknown(names: Iterable[str]) -> list[str]:
    """Return those of the names that are not installed."""
    return sorted({*names} - {*installed()})


def load(name: str, options: Mapping[str, Any]) -> Forecaster:
    """Import a forecaster and make it. For its worker process alone: this runs foreign code.

    Raises:
        ConfigError: none of this name is installed.
    """
    for point in metadata.entry_points(group=GROUP, name=name):
        made: Forecaster = point.load()(**options)
        return made
    known = ", ".join(installed()) or "none is"
    raise errors.ConfigError(f"Expected an installed forecaster ({known}), got {name!r}")
