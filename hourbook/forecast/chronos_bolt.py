"""Chronos-Bolt, a pretrained model of time series, as a forecaster. Needs the extra ``forecast``.

Ansari et al., "Chronos: Learning the Language of Time Series" (2024); Bolt is its successor that
predicts quantiles of up to 64 steps directly. It knows nothing of clocks, and wants values at equal
steps: measurements are interpolated onto a grid of one usual interval, back from the newest.

Weights come from a folder that the operator has filled. Nothing is ever downloaded: the worker's
environment says so to every library involved, and so does the call that loads them.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from hourbook.forecasters import Sample
from protocols import errors

__all__ = ["ChronosBolt"]

_CONTEXT_STEPS_MAX: Final = 512
_STEPS_MAX: Final = 64
"""What the model was trained to predict at once."""
_LEVELS: Final = (0.1, 0.5, 0.9)
"""The outermost that it was trained on, and the middle."""


class ChronosBolt:
    """The forecaster ``chronos-bolt``; its one option is where the weights are.

    Raises:
        ConfigError: there are no weights at `path`.
        MissingExtra: the package ``chronos-forecasting`` is not installed.
    """

    def __init__(self, path: str) -> None:
        folder = Path(path).expanduser()
        if not (folder / "config.json").is_file():
            raise errors.ConfigError(
                f"Expected a folder with config.json and weights, got none at path {path!r}",
                hint="download amazon/chronos-bolt-small once, and name its folder",
            )
        try:
            chronos = import_module("chronos")
            self._torch: Any = import_module("torch")
        except ImportError as error:
            raise errors.MissingExtra(
                f"Expected chronos-forecasting for chronos-bolt, got: {error}",
                hint="pip install 'hourbook[forecast]'",
            ) from None
        self._pipeline: Any = chronos.ChronosBoltPipeline.from_pretrained(
            str(folder), local_files_only=True
        )
        self._samples: Sequence[Sample] = ()

    def fit(self, samples: Sequence[Sample]) -> None:
        """Keep the measurements; the model was fitted long ago."""
        self._samples = samples

    def predict(
        self, horizons_ns: Sequence[int]
    ) -> tuple[Sequence[float], Mapping[float, Sequence[float]]]:
        """Return its median, and its quantiles 0.1, 0.5 and 0.9."""
        step_ns = horizons_ns[0]
        steps = [min(max(round(one / step_ns), 1), _STEPS_MAX) for one in horizons_ns]
        context = self._torch.tensor(_on_grid(self._samples, step_ns), dtype=self._torch.float32)
        quantiles, _ = self._pipeline.predict_quantiles(
            context, prediction_length=max(steps), quantile_levels=list(_LEVELS)
        )
        by_step = quantiles[0].tolist()
        series = {
            level: [by_step[step - 1][index] for step in steps]
            for index, level in enumerate(_LEVELS)
        }
        return series[0.5], series


def _on_grid(samples: Sequence[Sample], step_ns: int) -> list[float]:
    """Return offsets at equal steps up to the newest sample, oldest first, interpolated."""
    times = [one.at_ns for one in samples]
    count = min((times[-1] - times[0]) // step_ns + 1, _CONTEXT_STEPS_MAX)
    return [_at(samples, times, times[-1] - step_ns * back) for back in reversed(range(count))]


def _at(samples: Sequence[Sample], times: Sequence[int], at_ns: int) -> float:
    right = bisect_left(times, at_ns)
    after, before = samples[right], samples[max(right - 1, 0)]
    if after.at_ns <= at_ns or after.at_ns == before.at_ns:
        return after.offset_ns
    share = (at_ns - before.at_ns) / (after.at_ns - before.at_ns)
    return before.offset_ns + (after.offset_ns - before.offset_ns) * share
