"""The actor that writes the time page: the newest estimate, carried to now, 100 times a second.

Owns the time region of the segment. Hears ``clock.estimate``; tells nobody, it writes memory. Paced
by a timerfd in its loop. After a restart it goes on from the page that it finds: the line, its
epoch and its counters are all there. Without an estimate it publishes nothing: an old page with an
honest age is better than a new one that knows nothing.
"""

from collections import Counter
from collections.abc import Mapping
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
from actors.config import ShmPublisherConfig
from actors.timerfd import Timerfd
from hourbook.clock.disruption import CAUSES, Cause, disruption_between
from hourbook.clock.publication import Settings, propose
from hourbook.clock.surroundings import VmClock, look_around
from hourbook.home import Home
from hourbook.timebase import Timebase
from protocols.clock_messages import ESTIMATE_KIND, ClockEstimate
from protocols.control import Snapshot
from shm.layout import TimePage
from shm.writer import TimeWriter

__all__ = ["ShmPublisher"]

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
        self._disrupted_by: ClockEstimate | None = None
        """The estimate in force when a disruption was seen: believed again when it is replaced."""
        self._disruptions: Counter[Cause] = Counter()
        self._is_step_withheld = False
        self._ticks_missed = 0
        self._page: TimePage | None = None
        self._next_look_mono_ns = 0

    def init(self) -> Outcome:
        """Take the time page and begin to tick."""
        self._open_page()
        self._vmclock = VmClock(self.config.vmclock_path)
        self._surroundings = look_around(self.timebase, self._vmclock)
        self._timer = Timerfd(_period_ns(self.config))
        self.reactor.watch(self._timer.descriptor, self._on_tick)
        return Ready()

    def handlers(self) -> Mapping[str, Handler]:
        """Return what is heard."""
        return {ESTIMATE_KIND: Handler(ClockEstimate, self._on_estimate)}

    def reload(self, config: dict[str, Any]) -> bool:
        """Take another rate into force; another vmclock needs a restart."""
        new = decode_config(ShmPublisherConfig, config)
        if new.vmclock_path != self.config.vmclock_path:
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
        self._vmclock.close()
        self._writer.close()

    # -- estimates -------------------------------------------------------------------------------

    def _on_estimate(self, request: Request[ClockEstimate]) -> None:
        new, old = request.body, self._estimate
        if new.as_of_raw_ns > self.timebase.raw_ns():
            self.reactor.count("publisher_estimates_from_the_future_total")
            return
        if old is not None and new.as_of_raw_ns < old.as_of_raw_ns:
            return  # a dead model's last words, after its successor's first
        if old is not None and self._disrupted_by is None and _knows_nothing_yet(new):
            # The old estimate keeps its promise until it is void; its successor measures soon.
            self._is_step_withheld |= new.is_step
            return
        if self._is_step_withheld:
            new = msgspec.structs.replace(new, is_step=True)
            self._is_step_withheld = False
        if self._disrupted_by is not None and _knows_more(new, self._disrupted_by):
            self._disrupted_by = None
        self._estimate = new
        self._watch_surroundings()
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
            vmclock_marker=self._surroundings.vmclock_marker,
            is_disrupted=self._disrupted_by is not None,
        )
        self._page = self._writer.publish(proposal.page, is_step=proposal.is_step)
        if proposal.is_step:
            self.log.info("epoch %d begins", self._page.epoch)

    # -- surroundings ----------------------------------------------------------------------------

    def _open_page(self) -> None:
        self._writer = TimeWriter(self.home.segment)
        self._page = self._writer.page()
        self.log.info("time page found: %s", self._writer.condition)

    def _watch_surroundings(self) -> None:
        self._next_look_mono_ns = self.timebase.mono_ns() + LOOK_PERIOD_NS
        if self._writer.segment.is_lost():
            self.log.error("%s was removed: building it anew", self.home.segment)
            self._writer.close()
            self._open_page()
        before = self._surroundings
        self._surroundings = look_around(self.timebase, self._vmclock)
        cause = disruption_between(before, self._surroundings)
        if cause is None:
            return
        self._disruptions[cause] += 1
        self.log.warning("disruption: %s", cause)
        rests_on_ntp = self._estimate is None or self._estimate.source == "ntp"
        if self._estimate is not None and not (cause == "external_step" and rests_on_ntp):
            self._disrupted_by = self._estimate


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


def _knows_more(new: ClockEstimate, old: ClockEstimate) -> bool:
    """Say whether `new` came of what was measured, or thrown away, after `old`."""
    return new.disruptions != old.disruptions or new.last_sample_raw_ns > old.last_sample_raw_ns
