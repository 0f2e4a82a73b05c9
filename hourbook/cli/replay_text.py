"""A replay as rows of CSV and as lines for people. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hourbook.clock.replay import Replayed
from hourbook.words import counted

__all__ = ["COLUMNS", "figures_line", "replay_cells", "score_lines"]

COLUMNS: Final = (
    "t_s",
    "predicted_offset_ms",
    "sigma_ms",
    "q68_ms",
    "q95_ms",
    "earliest_ms",
    "latest_ms",
    "model",
)
_MS_NS: Final = 1e6
_FRACTION_MIN: Final = 3


def replay_cells(one: Replayed) -> Sequence[str]:
    """Return one row of the output; the interval is empty where nothing vouches for one."""
    said = one.forecast
    earliest, latest = map(_ms, said.interval_ns) if said.interval_ns else ("", "")
    return (
        _seconds(one.row.t_ns),
        _ms(said.offset_ns),
        _ms(said.sigma_ns),
        _ms(said.q68_ns),
        _ms(said.q95_ns),
        earliest,
        latest,
        said.leader,
    )


def score_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the figures of a replay as a table."""
    if not document["judged"]:
        rows = counted(document["rows"], "row", "rows")
        return [f"{rows}: too few to judge (more than {document['history']})"]
    lines = [
        f"{document['rows']} rows, {document['judged']} judged; errors in ms",
        f"{'':10} {'next measurement':^35} {'smoothed truth':^35}",
        f"{'':10} " + " ".join(f"{name:>8}" for name in ("MAE", "RMSE", "p95", "p99") * 2),
    ]
    predictors = {"hourbook": document["hourbook"], **document["baselines"]}
    lines += [
        f"{name:10} " + " ".join(_cell(v) for kind in ("raw", "smoothed") for v in f[kind].values())
        for name, f in predictors.items()
    ]
    for kind, words in (("raw", "next measurement"), ("smoothed", "smoothed truth")):
        ratio = document["ratio"][kind]
        if ratio["to_best"] is not None:
            lines.append(f"{words}: {ratio['to_best']:.3f} of the best baseline, {ratio['best']}")
    for name, found in document["coverage"].items():
        lines.append(
            f"{name} held {found['share']:.1%}, mean half-width {found['mean_width_ms']:.3f} ms"
            f" (the best constant: {found['best_constant_ms']:.3f})"
        )
    interval = document["interval"]
    if interval["rows"]:
        lines.append(
            f"hard interval of {counted(interval['rows'], 'row', 'rows')}:"
            f" {interval['contradicted']} contradicted by the row itself"
        )
    return lines


def figures_line(document: Mapping[str, Any]) -> str:
    """Return the figures that matter most, in one line."""
    words = [counted(document["rows"], "row", "rows")]
    if document["judged"]:
        words.append(f"mean error {document['hourbook']['raw']['mae_ms']:.3g} ms")
        ratio = document["ratio"]["raw"]
        if ratio["to_best"] is not None:
            words[-1] += f", {ratio['to_best']:.3f} of the best baseline ({ratio['best']})"
        words += [
            f"{name} held {found['share']:.1%}" for name, found in document["coverage"].items()
        ]
    return "; ".join(words)


def _seconds(t_ns: int) -> str:
    """Return the time exactly, with three digits or as many as it takes."""
    whole, rest = divmod(abs(t_ns), 1_000_000_000)
    fraction = f"{rest:09d}"
    while len(fraction) > _FRACTION_MIN and fraction.endswith("0"):
        fraction = fraction[:-1]
    return f"{'-' if t_ns < 0 else ''}{whole}.{fraction}"


def _ms(value_ns: int) -> str:
    return f"{value_ns / _MS_NS:.6f}"


def _cell(value: float) -> str:
    return f"{value:8.3f}"
