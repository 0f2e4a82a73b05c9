"""Forecasters that do what plug-ins should not. Installed by tests as a package of their own."""

import ctypes
import itertools
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "Crashing",
    "Dying",
    "Hanging",
    "Loud",
    "Nosy",
    "Oracle",
    "Slow",
    "Stillborn",
    "Swinging",
    "Wrong",
]

Said = tuple[list[float], dict[float, list[float]]]


class Oracle:
    """Says where UTC will be by a law that it is told: so many nanoseconds beside the line."""

    def __init__(self, ahead_ns: float = 0.0) -> None:
        self.ahead_ns = ahead_ns

    def fit(self, samples: Sequence[Any]) -> None:
        """Take note of them, and of nothing else."""
        self.samples = samples

    def predict(self, horizons_ns: Sequence[int]) -> Said:
        """Say the same of every horizon."""
        near = [self.ahead_ns for _ in horizons_ns]
        return near, {0.1: [one - 1e5 for one in near], 0.9: [one + 1e5 for one in near]}


class Swinging(Oracle):
    """Expects the last two measurements over and over."""

    def predict(self, horizons_ns: Sequence[int]) -> Said:
        """Say which of the two is next."""
        step_ns = horizons_ns[0]
        last_two = [one[1] for one in self.samples[-2:]]
        return [last_two[(after_ns // step_ns + 1) % 2] for after_ns in horizons_ns], {}


class Hanging(Oracle):
    """Never answers."""

    def fit(self, _: Sequence[Any]) -> None:
        """Take for ever."""
        while True:
            time.sleep(60)


class Slow(Oracle):
    """Answers late, yet in time."""

    def fit(self, _: Sequence[Any]) -> None:
        """Take a while."""
        time.sleep(0.2)


class Crashing(Oracle):
    """Raises."""

    def fit(self, samples: Sequence[Any]) -> None:
        """Stumble."""
        raise RuntimeError(f"cannot fit {len(samples)}\x1b samples")


class Dying(Oracle):
    """Takes its process with it."""

    def fit(self, _: Sequence[Any]) -> None:
        """Read at address 0."""
        ctypes.string_at(0)


class Stillborn(Oracle):
    """Cannot even be made."""

    def __init__(self) -> None:
        raise FileNotFoundError("no weights here")


class Wrong(Oracle):
    """Answers nonsense of a kind."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def predict(self, horizons_ns: Sequence[int]) -> Said:
        """Say it."""
        count = len(horizons_ns)
        match self.kind:
            case "nan":
                return [float("nan")] * count, {}
            case "short":
                return [0.0] * (count - 1), {}
            case "far":
                return [1e15] * count, {}
            case "endless":
                for_ever: Any = itertools.repeat(0.0)
                return for_ever, {}
            case "crossed":
                return [0.0] * count, {0.1: [1.0] * count, 0.9: [-1.0] * count}
            case _:
                os.write(_answers(), b"\xff\xff\xff\xff nothing of the kind")
                return [0.0] * count, {}


class Loud(Oracle):
    """Prints more than any pipe takes, on both of its streams."""

    def fit(self, _: Sequence[Any]) -> None:
        """Print."""
        for _line in range(20):
            print("x" * 1000)
            print("y" * 1000, file=sys.stderr)


class Nosy(Oracle):
    """Writes down what it can see of the world."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def fit(self, samples: Sequence[Any]) -> None:
        """Look around."""
        files = {
            link.name: str(link.readlink())
            for link in Path("/proc/self/fd").iterdir()
            if link.exists()
        }
        seen = {
            "files": files,
            "environment": dict(os.environ),
            "status": Path("/proc/self/status").read_text(),
            "samples": samples,
        }
        draft = Path(self.path + ".new")
        draft.write_text(json.dumps(seen))
        draft.rename(self.path)


def _answers() -> int:
    """Return the descriptor that answers go to: no forecaster should, this one does."""
    pipes = [fd for fd in range(3, 32) if Path(f"/proc/self/fd/{fd}").is_fifo()]
    return pipes[1]
