"""What predictions were worth: errors against measurements and against a smoothed truth. Pure.

The truth is not known. The next raw measurement carries its own noise, which nobody can predict;
the median of the nine measurements about an instant (four before, four after) carries less of it,
and lies nearer the truth where that moves slowly. Both are told.

Rows are judged from the HISTORY-th on, so that every baseline has a past to look at; and only those
for which something was known.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from hourbook.clock.baselines import BASELINES, MEMORY, predictions_ms
from hourbook.clock.replay import Replayed
from hourbook.clock.robust import median

__all__ = ["HISTORY", "Scores"]

HISTORY: Final = 20
_SMOOTHED_EACH_SIDE: Final = 4
_MS_NS: Final = 1e6
_DIGITS: Final = 9


class Scores:
    """Gathers replayed rows, and sums them up in :meth:`document`."""

    def __init__(self) -> None:
        self._past: deque[tuple[int, float]] = deque()
        self._recent: deque[tuple[int, float]] = deque(maxlen=MEMORY)
        self._known = 0
        self._measured_ms: list[float] = []
        self._judged: list[int] = []
        self._said_ms: dict[str, list[float]] = {n: [] for n in ("hourbook", *BASELINES)}
        self._widths_ms: tuple[list[float], list[float]] = ([], [])
        self._bounded = self._outside = 0
        self._last: Replayed | None = None

    def add(self, one: Replayed) -> None:
        """Take in the next row."""
        row, said = one.row, one.forecast
        offset_ms = row.offset_ns / _MS_NS
        while self._known < one.known:
            self._recent.append(self._past.popleft())
            self._known += 1
        if len(self._measured_ms) >= HISTORY and one.known:
            self._judged.append(len(self._measured_ms))
            ages_s = [(t_ns - row.t_ns) / 1e9 for t_ns, _ in self._recent]
            baselines = predictions_ms(ages_s, [ms for _, ms in self._recent])
            for name, value in zip(BASELINES, baselines, strict=True):
                self._said_ms[name].append(value)
            self._said_ms["hourbook"].append(said.offset_ns / _MS_NS)
            self._widths_ms[0].append(said.q68_ns / _MS_NS)
            self._widths_ms[1].append(said.q95_ns / _MS_NS)
            if said.interval_ns is not None:
                self._bounded += 1
                self._outside += not self._overlaps(one)
        self._past.append((row.t_ns, offset_ms))
        self._measured_ms.append(offset_ms)
        self._last = one

    def document(self) -> dict[str, Any]:
        """Return all figures; those of no row at all are None."""
        raw = [self._measured_ms[index] for index in self._judged]
        smoothed = [self._smoothed_ms(index) for index in self._judged]
        errors = {
            name: {"raw": _errors(said, raw), "smoothed": _errors(said, smoothed)}
            for name, said in self._said_ms.items()
        }
        own = errors.pop("hourbook")
        return {
            "rows": len(self._measured_ms),
            "judged": len(self._judged),
            "history": HISTORY,
            "hourbook": own,
            "baselines": errors,
            "ratio": {kind: _ratio(own, errors, kind) for kind in ("raw", "smoothed")},
            "coverage": self._coverage(raw),
            "interval": {"rows": self._bounded, "contradicted": self._outside},
            **self._counters(),
        }

    def _coverage(self, raw: Sequence[float]) -> dict[str, Any]:
        sizes = [abs(a - b) for a, b in zip(self._said_ms["hourbook"], raw, strict=True)]
        found: dict[str, Any] = {}
        for name, level, widths in zip(("q68", "q95"), (0.68, 0.95), self._widths_ms, strict=True):
            held = sum(size <= width for size, width in zip(sizes, widths, strict=True))
            found[name] = {
                "share": _rounded(held / len(sizes)) if sizes else None,
                "mean_width_ms": _rounded(sum(widths) / len(sizes)) if sizes else None,
                "best_constant_ms": _rounded(_quantile(sorted(sizes), level)) if sizes else None,
            }
        return found

    def _smoothed_ms(self, index: int) -> float:
        begin = max(0, index - _SMOOTHED_EACH_SIDE)
        return median(self._measured_ms[begin : index + _SMOOTHED_EACH_SIDE + 1])

    def _counters(self) -> dict[str, int]:
        if self._last is None:
            return {"steps": 0, "spikes": 0, "bound_violations": 0}
        state = self._last.state
        changes = state.centre.changes
        return {
            "steps": changes.steps,
            "spikes": changes.spikes,
            "bound_violations": state.counters.bound_violations,
        }

    @staticmethod
    def _overlaps(one: Replayed) -> bool:
        """Say whether the row's own interval and the predicted one may both be true."""
        interval, delay_ns = one.forecast.interval_ns, one.row.delay_ns or 0
        assert interval is not None, "the caller looked"
        half_ns = (delay_ns + 1) // 2
        low, high = one.row.offset_ns - half_ns, one.row.offset_ns + half_ns
        return low <= interval[1] and interval[0] <= high


def _errors(said: Sequence[float], truth: Sequence[float]) -> dict[str, float | None]:
    if not said:
        return dict.fromkeys(("mae_ms", "rmse_ms", "p95_ms", "p99_ms"))
    sizes = sorted(abs(a - b) for a, b in zip(said, truth, strict=True))
    return {
        "mae_ms": _rounded(sum(sizes) / len(sizes)),
        "rmse_ms": _rounded(math.sqrt(sum(size * size for size in sizes) / len(sizes))),
        "p95_ms": _rounded(_quantile(sizes, 0.95)),
        "p99_ms": _rounded(_quantile(sizes, 0.99)),
    }


def _ratio(own: Any, baselines: Any, kind: str) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return our mean error beside that of the best baseline."""
    by_error = {name: figures[kind]["mae_ms"] for name, figures in baselines.items()}
    mine = own[kind]["mae_ms"]
    if mine is None:
        return {"best": None, "to_best": None}
    best = min(by_error, key=lambda name: by_error[name])
    return {
        "best": best,
        "to_best": _rounded(mine / by_error[best]) if by_error[best] else None,
    }


def _quantile(ordered: Sequence[float], level: float) -> float:
    """Return the smallest value that at least `level` of them do not exceed."""
    return ordered[max(0, math.ceil(level * len(ordered)) - 1)]


def _rounded(value: float) -> float:
    return round(value, _DIGITS)
