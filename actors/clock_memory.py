"""What clock_model remembers between runs, and whether RAW is still the scale that it measured on.

An edge of clock_model: owns the drift file, and knows in which boot the model lives and how long
that machine has slept. What of a file is worth believing is decided in
:mod:`hourbook.clock.drift_file`.
"""

import logging

from actors.contract import Reactor
from hourbook.clock import drift_file
from hourbook.clock.disruption import SUSPEND_NS_MIN
from hourbook.clock.exchange import suspended_ns
from hourbook.clock.state import Limits, State
from hourbook.home import Home
from hourbook.timebase import Timebase

__all__ = ["ClockMemory"]


class ClockMemory:
    """Recalls a state and keeps it.

    Attributes:
        saves_failed: since the beginning; while the last one has, the actor is DEGRADED.
    """

    def __init__(
        self, home: Home, timebase: Timebase, reactor: Reactor, log: logging.Logger
    ) -> None:
        self.saves_failed = 0
        self._path = home.drift_file
        self._timebase = timebase
        self._reactor = reactor
        self._log = log
        self._epoch = drift_file.read_epoch(suspended_ns())

    def recall(self, limits: Limits) -> State:
        """Return the state to begin with."""
        kept = drift_file.load(self._path)
        if isinstance(kept, str):
            self._log.warning("ignored: %s", kept)
            kept = None
        recalled = drift_file.recall(
            kept, limits, self._epoch, self._timebase.raw_ns(), self._timebase.wall_ns()
        )
        self._log.info("beginning with: %s", recalled.remark)
        return recalled.state

    def keep(self, state: State) -> None:
        """Save what of a state is worth keeping; a disk that refuses does not stop the clock."""
        kept = drift_file.remember(state, self._epoch, self._timebase.wall_ns())
        if kept is None:
            return
        try:
            drift_file.save(self._path, kept)
        except OSError as error:
            self.saves_failed += 1
            self._reactor.degrade(f"cannot save the drift file: {error.strerror}")
        else:
            self._reactor.recover()

    def notice_suspend(self) -> bool:
        """Say whether the machine has slept since this was last asked."""
        slept_ns = suspended_ns()
        if abs(slept_ns - self._epoch.suspended_ns) < SUSPEND_NS_MIN:
            return False
        self._epoch = drift_file.read_epoch(slept_ns)
        return True

    def notice_boot(self) -> bool:
        """Say whether this is another boot than when this was last asked."""
        epoch = drift_file.read_epoch(suspended_ns())
        if epoch.boot == self._epoch.boot:
            return False
        self._epoch = epoch
        return True
