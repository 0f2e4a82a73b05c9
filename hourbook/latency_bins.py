"""How long things took: counted by powers of two. Pure, and cheap enough to be done each time."""

from typing import Final

__all__ = ["BINS", "LatencyBins", "histogram_of"]

BINS: Final = 42
"""The last one begins at 2^40 ns, 18 minutes, and has no end."""
_S: Final = 1e-9


class LatencyBins:
    """Counts; not exact where threads count at once, as such figures need not be.

    Attributes:
        bins: how many took less than 1, 2, 4, 8 ... ns, each counted once.
        sum_ns: of all.
    """

    __slots__ = ("bins", "sum_ns")

    def __init__(self) -> None:
        self.bins = [0] * BINS
        self.sum_ns = 0

    def add(self, took_ns: int) -> None:
        """Count one that took so long (nanoseconds, >= 0)."""
        size = took_ns.bit_length()
        self.bins[size if size < BINS else -1] += 1
        self.sum_ns += took_ns

    def histogram(self) -> dict[int, int]:
        """Return the bins that are not empty, by their upper end (nanoseconds)."""
        return histogram_of(self.bins)

    def snapshot(self, name: str, first: int, last: int) -> dict[str, float]:
        """Return them as a histogram of Prometheus: how many took at most so many seconds.

        Args:
            name: of the metric, in seconds.
            first: the lowest bound is 2^first ns.
            last: the highest but infinity is 2^last ns.
        """
        figures: dict[str, float] = {}
        for index in range(first, last + 1):
            count = sum(self.bins[: index + 1])
            figures[f'{name}_bucket{{le="{(1 << index) * _S:.9g}"}}'] = float(count)
        total = float(sum(self.bins))
        figures[f'{name}_bucket{{le="+Inf"}}'] = total
        figures[f"{name}_count"] = total
        figures[f"{name}_sum"] = self.sum_ns * _S
        return figures


def histogram_of(bins: list[int]) -> dict[int, int]:
    """Return bins that are not empty, by their upper end."""
    return {1 << index: count for index, count in enumerate(bins) if count}
