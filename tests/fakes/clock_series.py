"""Series of measurements with a known law, and variants of recorded ones."""

import math
import random
from pathlib import Path

from hourbook.clock.trace import Row, read_rows

__all__ = ["KINDS", "TRACES", "row", "series", "trace", "variants"]

KINDS = ("ramp", "walk", "noise", "sine", "spikes", "step")
TRACES = ("drift_aware_9hr", "homelab_4hr")
DATA = Path(__file__).parents[1] / "data"


def row(t_s: float, offset_ms: float, delay_ms: float | None = None) -> Row:
    """Return a row in the units of a recording."""
    delay_ns = None if delay_ms is None else round(delay_ms * 1e6)
    return Row(round(t_s * 1e9), round(offset_ms * 1e6), delay_ns)


def trace(name: str) -> list[Row]:
    """Return a recording."""
    with (DATA / f"{name}.csv").open() as file:
        return list(read_rows(file, name))


def series(kind: str, rng: random.Random, count: int = 400, step_s: float = 64.0) -> list[Row]:
    """Return measurements of a law, its sizes drawn at random over orders of magnitude."""
    noise_ms = 10 ** rng.uniform(-1, 0.7)
    base_ms = rng.uniform(-5, 5)
    sign = rng.choice((-1, 1))
    slope = sign * 10 ** rng.uniform(-4, -1.5)
    period, amplitude_ms = 10 ** rng.uniform(1.3, 2.3), 10 ** rng.uniform(0, 1.5)
    jump_ms, jump_at = sign * 10 ** rng.uniform(0.5, 2), rng.randrange(count // 4, 3 * count // 4)
    walked_ms = 0.0
    rows = []
    for n in range(count):
        error_ms = rng.gauss(0, noise_ms)
        match kind:
            case "ramp":
                value_ms = slope * n * step_s + error_ms
            case "walk":
                value_ms = walked_ms = walked_ms + error_ms
            case "noise":
                value_ms = error_ms
            case "sine":
                angle = 2 * math.pi * n / period
                value_ms = amplitude_ms * math.sin(angle) + 0.3 * error_ms
            case "spikes":
                is_spike = rng.random() < 0.04
                away = rng.choice((-1, 1)) * rng.uniform(10, 50) * noise_ms
                value_ms = base_ms + error_ms + (away if is_spike else 0.0)
            case _:
                value_ms = base_ms + error_ms + (jump_ms if n >= jump_at else 0.0)
        rows.append(row(n * step_s, value_ms))
    return rows


def variants(rows: list[Row], rng: random.Random) -> dict[str, list[Row]]:
    """Return what a recording might have been as well."""
    last_ns = rows[-1].t_ns
    spread_ns = _spread_ns(rows)
    walked_ns = 0.0
    wandering = []
    for one in rows:
        walked_ns += rng.gauss(0, 0.3 * spread_ns)
        wandering.append(one._replace(offset_ns=one.offset_ns + round(walked_ns)))
    return {
        "as it is": rows,
        "backwards": [one._replace(t_ns=last_ns - one.t_ns) for one in reversed(rows)],
        "every other": rows[::2],
        "the others": rows[1::2],
        "negated": [one._replace(offset_ns=-one.offset_ns) for one in rows],
        "7 ms off": [one._replace(offset_ns=one.offset_ns + 7_300_000) for one in rows],
        "0.3 ppm off": [
            one._replace(offset_ns=one.offset_ns + one.t_ns // 3_333_333) for one in rows
        ],
        "without delays": [one._replace(delay_ns=None) for one in rows],
        "first half": rows[: len(rows) // 2],
        "second half": rows[len(rows) // 2 :],
        "later": rows[rng.randrange(1, len(rows) // 4) :],
        "with losses": [one for one in rows if rng.random() > 0.15],
        "noisier": [
            one._replace(offset_ns=one.offset_ns + round(rng.gauss(0, 0.5 * spread_ns)))
            for one in rows
        ],
        "wandering": wandering,
        "shuffled in blocks": _blocks(rows, rng),
        "shuffled again": _blocks(rows, rng),
    }  # fmt: skip


def _spread_ns(rows: list[Row]) -> float:
    mean = sum(one.offset_ns for one in rows) / len(rows)
    return math.sqrt(sum((one.offset_ns - mean) ** 2 for one in rows) / len(rows))


def _blocks(rows: list[Row], rng: random.Random, length: int = 20) -> list[Row]:
    """Return blocks of the recording drawn with replacement, at the times of its rows."""
    drawn: list[Row] = []
    while len(drawn) < len(rows):
        start = rng.randrange(len(rows) - length)
        drawn += rows[start : start + length]
    return [one._replace(t_ns=at.t_ns) for one, at in zip(drawn, rows, strict=False)]
