"""The one fake clock of the test suite."""

__all__ = ["FakeTimebase"]


class FakeTimebase:
    """Three clocks that move only when told, with a drift between raw and monotonic time."""

    def __init__(
        self,
        *,
        mono_ns: int = 1_000_000_000_000,
        raw_ns: int = 2_000_000_000_000,
        wall_ns: int = 1_800_000_000_000_000_000,
        raw_drift_ppb: int = 0,
    ) -> None:
        self._mono_ns = mono_ns
        self._raw_ns = raw_ns
        self._wall_ns = wall_ns
        self._raw_drift_ppb = raw_drift_ppb

    def mono_ns(self) -> int:
        return self._mono_ns

    def raw_ns(self) -> int:
        return self._raw_ns

    def wall_ns(self) -> int:
        return self._wall_ns

    def advance_ns(self, duration_ns: int) -> None:
        """Let time pass on all three."""
        self._mono_ns += duration_ns
        self._raw_ns += duration_ns + duration_ns * self._raw_drift_ppb // 1_000_000_000
        self._wall_ns += duration_ns

    def step_wall_ns(self, step_ns: int) -> None:
        """Step the wall clock, as an administrator or another daemon does."""
        self._wall_ns += step_ns
