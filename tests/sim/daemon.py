"""The daemon of the simulation: what the clock's actors do, around the same pure functions.

``Judge`` is clock_model and ``Publisher`` shm_publisher, without mailboxes: each call is told the
raw time at which it happens. Nothing is decided in here that the product decides in a pure
function.
"""

from dataclasses import replace
from typing import Final

import msgspec

from hourbook.clock import drift_file, leaping, model, withdrawal
from hourbook.clock.awaited import Awaited, anybody
from hourbook.clock.disruption import (
    SUSPEND_NS_MIN,
    Surroundings,
    disruption_between,
    spoils_history,
)
from hourbook.clock.drift_file import Epoch
from hourbook.clock.leap import Leaps, LeapTable
from hourbook.clock.publication import Settings, propose
from hourbook.clock.state import Limits, State, initial
from protocols.clock_messages import ClockEstimate, ClockSample
from sim import page as pages

__all__ = ["Judge", "Publisher"]

_BOOT: Final = "simulated"


class Judge:
    """clock_model: the state, and when it is thrown away."""

    def __init__(
        self, limits: Limits, raw_ns: int, wall_ns: int, table: LeapTable | None = None
    ) -> None:
        self._table = table
        self._watch = leaping.NOTHING_AHEAD
        self._leaps = Leaps()
        self.state: State = replace(initial(limits, raw_ns, wall_ns), awaited=anybody(raw_ns))
        self._announced_step_raw_ns = 0
        self._suspended_ns = 0
        self._spoiled_raw_ns = 0

    def hear(self, sample: ClockSample) -> bool:
        """Absorb a sample; return whether the history was thrown away for it."""
        if sample.raw_ns - sample.delay_ns <= self._spoiled_raw_ns:
            return False
        if leaping.is_near(self._watch, self.state, sample.raw_ns):
            return False
        disruptions = self.state.counters.disruptions
        self.state = model.absorb(self.state, sample)
        return self._has_disrupted(disruptions, sample.raw_ns)

    def await_votes(self, names: frozenset[str], for_ns: int, raw_ns: int) -> bool:
        """Hear who is waited for; return whether the history was thrown away for it."""
        disruptions = self.state.counters.disruptions
        self.state = model.await_votes(self.state, Awaited(names, raw_ns + for_ns), raw_ns)
        return self._has_disrupted(disruptions, raw_ns)

    def _has_disrupted(self, disruptions: int, raw_ns: int) -> bool:
        if self.state.counters.disruptions == disruptions:
            return False
        self.state = replace(self.state, awaited=anybody(raw_ns))
        return True

    def look_for_leap(self, raw_ns: int) -> bool:
        """Let a leap second happen; return whether the sources are to be asked after it."""
        looked = leaping.look(self._watch, self.state, raw_ns, self._table)
        self._watch, self.state, self._leaps = looked.watch, looked.state, looked.leaps
        if looked.happened == "leapt":
            self._spoiled_raw_ns = looked.watch.over_raw_ns
        if looked.happened == "over":
            self.state = replace(self.state, awaited=anybody(raw_ns))
        return looked.happened == "over"

    def notice_suspend(self, suspended_ns: int, raw_ns: int) -> bool:
        """Look whether the machine slept; return whether the history was thrown away for it."""
        if abs(suspended_ns - self._suspended_ns) < SUSPEND_NS_MIN:
            return False
        self._suspended_ns = suspended_ns
        self._spoiled_raw_ns = raw_ns
        self.state = replace(model.disrupt(self.state, raw_ns), awaited=anybody(raw_ns))
        return True

    def notice_step(self) -> None:
        """Hear that somebody set REALTIME."""
        assert not spoils_history("external_step", "ntp"), "an NTP clock outlives a step"
        self.state = model.doubt(self.state)

    def withdraw(self, names: list[str], raw_ns: int) -> None:
        """Hear that some sources are not asked any more."""
        self.state = withdrawal.withdraw(self.state, names, raw_ns)

    def restart(self, limits: Limits, raw_ns: int, wall_ns: int) -> None:
        """Die and come back with the drift file, under other limits."""
        epoch = Epoch(_BOOT, self._suspended_ns)
        kept = drift_file.remember(self.state, epoch, wall_ns)
        recalled = drift_file.recall(kept, limits, epoch, raw_ns, wall_ns).state
        self.state = replace(recalled, awaited=anybody(raw_ns))
        if self.state.held:
            self._announced_step_raw_ns = self.state.last_step_raw_ns

    def tell(self, raw_ns: int) -> ClockEstimate:
        """Return what shm_publisher hears now."""
        now = msgspec.structs.replace(
            model.estimate(self.state, raw_ns),
            leap_utc_s=self._leaps.utc_s,
            leap_tai_before_s=self._leaps.tai_before_s,
            leap_tai_after_s=self._leaps.tai_after_s,
        )
        if now.last_step_raw_ns != self._announced_step_raw_ns:
            self._announced_step_raw_ns = now.last_step_raw_ns
            now = msgspec.structs.replace(now, is_step=True)
        return now


class Publisher:
    """shm_publisher: the newest estimate, the page, and looks at the surroundings."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.page: pages.TimePage | None = None
        self._settings = Settings()
        self._estimate: ClockEstimate | None = None
        self._disrupted_by: ClockEstimate | None = None
        self._surroundings = surroundings

    def hear(self, estimate: ClockEstimate) -> None:
        """Take the newest estimate."""
        before = self._disrupted_by
        if before is not None and (
            estimate.disruptions != before.disruptions
            or estimate.last_sample_raw_ns > before.last_sample_raw_ns
        ):
            self._disrupted_by = None
        self._estimate = estimate

    def look(self, now: Surroundings) -> str | None:
        """Look around; return what disturbed the clock since the last look."""
        cause = disruption_between(self._surroundings, now)
        self._surroundings = now
        if cause is not None and cause != "external_step":
            self._disrupted_by = self._estimate
        return cause

    def publish(self, decided_raw_ns: int, as_of_raw_ns: int) -> None:
        """Write the page: decided at one raw time, anchored some instants later."""
        if self._estimate is None:
            return
        proposal = propose(
            self._estimate,
            self.page,
            decided_raw_ns,
            self._settings,
            suspended_ns=self._surroundings.suspended_ns,
            is_disrupted=self._disrupted_by is not None,
        )
        self.page = pages.anchored(proposal.page, self.page, as_of_raw_ns)
