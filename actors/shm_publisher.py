"""The actor that writes the time page: the newest estimate, carried to now, 100 times a second.

Owns the time region of the segment. Hears ``clock.estimate``, and tells clock_model
``clock.disrupted``; all else that it says it writes to memory. Paced by a timerfd in its loop.
After a restart it goes on from the page that it finds: the line, its epoch and its counters are all
there. Without an estimate it publishes nothing: an old page with an honest age is better than a new
one that knows nothing.

It watches the machine, too, because it looks most often (:mod:`hourbook.clock.disruption`).
Whatever disturbs the clock is published as DISRUPTED at once, and stays so until an estimate says
that the model has heard of it.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.base import (
    Actor,
    ActorContext,
    Handler,
    Outcome,
    Reactor,
    Ready,
    Request,
    decode_config,
)
from actors.clockbound_export import ClockBoundExport
from actors.config import ShmPublisherConfig
from hourbook.clock.disruption import CAUSES, MEANING, disruption_between, disruption_since
from hourbook.clock.publication import Settings, disown, propose
from hourbook.clock.surroundings import Lookout
from hourbook.home import Home
from hourbook.timebase import Timebase
from hourbook.timerfd import Timerfd
from protocols.clock_messages import (
    DISRUPTED_KIND,
    ESTIMATE_KIND,
    ClockEstimate,
    Disrupted,
    DisruptionCause,
)
from protocols.control import Snapshot
from shm import segment
from shm.layout import TimePage
from shm.writer import TimeWriter

__all__ = ["MODEL", "ShmPublisher"]

MODEL: Final = "clock_model"
_NS: Final = 1_000_000_000
LOOK_PERIOD_NS: Final = 100_000_000
"""Between looks at the surroundings, half the cost of a tick. Readers notice a suspend themselves,
since until the next look the page still says what was before it."""


class ShmPublisher(Actor[ShmPublisherConfig]):
    """Publishes the clock for every process on the machine."""

    config_type = ShmPublisherConfig

    def __init__(
        self,
        config: ShmPublisherConfig,
        context: ActorContext,
        home: Home,
        timebase: Timebase,
        reactor: Reactor,
    ) -> None:
        super().__init__(config, context, home, timebase, reactor)
        self._settings = _settings_of(config)
        self._estimate: ClockEstimate | None = None
        self._disrupted: Disrupted | None = None
        """What the model has not heard of yet: until then, what it says is of before."""
        self._disruptions: Counter[DisruptionCause] = Counter()
        self._is_step_withheld = False
        self._ticks_missed = 0
        self._page: TimePage | None = None
        self._next_look_mono_ns = 0
        self._clockbound: ClockBoundExport | None = None

    def init(self) -> Outcome:
        """Take the time page and begin to tick."""
        self._lookout = Lookout(self.timebase, self.config.vmclock_path)
        self._surroundings = self._lookout.look()
        self._begin_page()
        self._timer = Timerfd(_period_ns(self.config))
        self.reactor.watch(self._timer.descriptor, self._on_tick)
        if self.config.clockbound_path:
            self._clockbound = ClockBoundExport(Path(self.config.clockbound_path), self.reactor)
            self._clockbound.start()
        return Ready()

    def handlers(self) -> Mapping[str, Handler]:
        """Return what is heard."""
        return {ESTIMATE_KIND: Handler(ClockEstimate, self._on_estimate)}

    def reload(self, config: dict[str, Any]) -> bool:
        """Take another rate into force; other paths need a restart."""
        new = decode_config(ShmPublisherConfig, config)
        paths = (self.config.vmclock_path, self.config.clockbound_path)
        if (new.vmclock_path, new.clockbound_path) != paths:
            return False
        self.config = new
        self._settings = _settings_of(new)
        self._timer.set_period(_period_ns(new))
        return True

    def snapshot(self) -> Snapshot:
        """Return what was published and what disturbed it."""
        page = self._page or TimePage()
        by_cause = {
            f'publisher_disruptions_total{{cause="{cause}"}}': float(self._disruptions[cause])
            for cause in CAUSES
        }
        return {
            **by_cause,
            "publisher_publications_total": float(page.publications),
            "publisher_ticks_missed_total": float(self._ticks_missed),
            "publisher_epoch": float(page.epoch),
            "publisher_slew_ppb": float(page.slew_ppb),
        }

    def stop(self) -> None:
        """Give the page up; readers keep the last one."""
        self.reactor.unwatch(self._timer.descriptor)
        self._timer.close()
        self._lookout.close()
        if self._clockbound is not None:
            self._clockbound.stop()
        self._writer.close()

    # -- estimates -------------------------------------------------------------------------------

    def _on_estimate(self, request: Request[ClockEstimate]) -> None:
        new, old = request.body, self._estimate
        if new.as_of_raw_ns > self.timebase.raw_ns():
            self.reactor.count("publisher_estimates_from_the_future_total")
            return
        if old is not None and new.as_of_raw_ns < old.as_of_raw_ns:
            return  # a dead model's last words, after its successor's first
        if old is not None and self._disrupted is None and _knows_nothing_yet(new):
            # The old estimate keeps its promise until it is void; its successor measures soon.
            self._is_step_withheld |= new.is_step
            return
        if self._is_step_withheld:
            new = msgspec.structs.replace(new, is_step=True)
            self._is_step_withheld = False
        self._estimate = new
        self._watch_surroundings()
        if self._disrupted is not None and new.disrupted_raw_ns == self._disrupted.raw_ns:
            self._disrupted = None
        elif self._disrupted is not None:
            self.reactor.tell(MODEL, DISRUPTED_KIND, self._disrupted)
        self._publish()

    # -- ticks -----------------------------------------------------------------------------------

    def _on_tick(self) -> None:
        ticks = self._timer.ticks()
        if ticks == 0:
            return
        self._ticks_missed += ticks - 1
        if self.timebase.mono_ns() >= self._next_look_mono_ns:
            self._watch_surroundings()
        self._publish()

    def _publish(self) -> None:
        if self._estimate is None:
            return
        proposal = propose(
            self._estimate,
            self._page,
            self.timebase.raw_ns(),
            self._settings,
            suspended_ns=self._surroundings.suspended_ns,
            vmclock_marker=self._surroundings.vmclock_marker or 0,
            is_disrupted=self._disrupted is not None,
        )
        self._page = self._writer.publish(proposal.page, is_step=proposal.is_step)
        if self._clockbound is not None:
            self._clockbound.tell(self._page, self._surroundings.vmclock_marker)
        if proposal.is_step:
            self.log.info("epoch %d begins", self._page.epoch)

    # -- surroundings ----------------------------------------------------------------------------

    def _begin_page(self) -> None:
        """Find the page of an earlier life, and what has happened since it was written."""
        is_of_another_boot = segment.is_of_another_boot(self.home.segment)
        self._open_page()
        if is_of_another_boot:
            self._disrupt("boot")
        elif self._page is not None:
            before = (self._page.boottime_minus_monotonic_ns, self._page.vmclock_marker)
            if cause := disruption_since(*before, self._surroundings):
                self._disrupt(cause)
                now_raw_ns = self.timebase.raw_ns()
                self._page = self._writer.publish(disown(self._page, now_raw_ns), is_step=False)

    def _open_page(self) -> None:
        self._writer = TimeWriter(self.home.segment)
        self._page = self._writer.page()
        self.log.info("time page found: %s", self._writer.condition)

    def _watch_surroundings(self) -> None:
        self._next_look_mono_ns = self.timebase.mono_ns() + LOOK_PERIOD_NS
        before = self._surroundings
        self._surroundings = self._lookout.look()
        cause = disruption_between(before, self._surroundings)
        if cause == "boot" or self._writer.segment.is_lost():
            self.log.error("%s is of no use any more: building it anew", self.home.segment)
            self._writer.close()
            self._open_page()
        if cause == "boot":
            self._estimate = None  # it counts on the RAW of another boot
        if cause is not None:
            self._disrupt(cause)

    def _disrupt(self, cause: DisruptionCause) -> None:
        self._disruptions[cause] += 1
        self.log.warning("disruption: %s", MEANING[cause])
        self._disrupted = Disrupted(cause, self.timebase.raw_ns())
        self.reactor.tell(MODEL, DISRUPTED_KIND, self._disrupted)


def _settings_of(config: ShmPublisherConfig) -> Settings:
    return Settings(
        slew_ppb_max=config.slew_ppm_max * 1000,
        step_threshold_ns=round(config.step_threshold_s * _NS),
    )


def _period_ns(config: ShmPublisherConfig) -> int:
    return round(_NS / config.freq_hz)


def _knows_nothing_yet(new: ClockEstimate) -> bool:
    """Say whether a model speaks that was restarted and has had no sample since."""
    return not new.bounded and new.samples == 0 and new.disruptions == 0
