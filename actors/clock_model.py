"""The actor that judges: samples in, estimates out.

Owns the state of :mod:`hourbook.clock.model`. What it remembers between runs is the part of
:mod:`actors.clock_memory`, leap seconds that of :mod:`actors.leap_seconds`. Hears ``clock.sample``
and ``clock.awaited`` of ntp_sampler, and ``clock.disrupted`` of shm_publisher; tells that
``clock.estimate`` on every update and each second, and ntp_sampler ``clock.resample`` when it has
lost its history or has just begun. Answers ``clock.sources`` and ``clock.why``.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
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
from actors.clock_memory import ClockMemory
from actors.config import ClockModelConfig
from actors.forecasting import Forecasting
from actors.leap_seconds import LOOK_PERIOD_S, TABLE_PERIOD_S, LeapSeconds
from hourbook.clock import awaited, forecast, model, rate, source_reports, why, withdrawal
from hourbook.clock.disruption import MEANING, spoils_history
from hourbook.clock.forecast import Forecast
from hourbook.clock.forecast_turns import Patience
from hourbook.clock.leap import Leaps
from hourbook.clock.state import Limits, State
from hourbook.home import Home
from hourbook.timebase import Timebase
from protocols.clock_messages import (
    DISRUPTED_KIND,
    ESTIMATE_KIND,
    RESAMPLE_KIND,
    SAMPLE_KIND,
    ClockEstimate,
    ClockSample,
    Disrupted,
    DisruptionCause,
    Resample,
)
from protocols.control import Snapshot
from protocols.source_messages import (
    AWAITED_KIND,
    SOURCES_KIND,
    WITHDRAWN_KIND,
    AskSources,
    AwaitedSources,
    Judged,
    Withdrawn,
)
from protocols.why_messages import WHY_KIND, AskWhy, Why

__all__ = ["PUBLISHER", "SAMPLER", "ClockModel"]

PUBLISHER: Final = "shm_publisher"
SAMPLER: Final = "ntp_sampler"
_S_NS: Final = 1_000_000_000
_MS_NS: Final = 1_000_000


class ClockModel(Actor[ClockModelConfig]):
    """Turns samples into the estimate that the publisher writes to the shared page."""

    config_type = ClockModelConfig

    def __init__(
        self,
        config: ClockModelConfig,
        context: ActorContext,
        home: Home,
        timebase: Timebase,
        reactor: Reactor,
    ) -> None:
        super().__init__(config, context, home, timebase, reactor)
        self._memory = ClockMemory(home, timebase, reactor, self.log)
        self._state = self._memory.recall(_limits_of(config))
        # An epoch that an earlier run began goes on; any other begins with our first estimate.
        self._announced_step_raw_ns = self._state.last_step_raw_ns if self._state.held else 0
        self._rejected: Counter[str] = Counter()
        self._disruptions: Counter[str] = Counter()
        self._disrupted_raw_ns = 0
        """The last disruption that the publisher told of and that is taken into account."""
        self._spoiled_raw_ns = 0
        """What was measured before this raw time is worth nothing."""
        self._leap_seconds = LeapSeconds(self._state, timebase, self.log)
        self._standings: Mapping[str, source_reports.Since] = {}
        self._forecasting = Forecasting(
            {name: config.forecaster_options.get(name, {}) for name in config.forecasters},
            Patience(config.forecaster_load_timeout_s, config.forecaster_timeout_s),
            reactor,
            timebase,
            self._on_forecast,
        )

    def init(self) -> Outcome:
        """Start to tell; what an earlier run left is in force by now."""
        self.reactor.every(LOOK_PERIOD_S, self._every_second)
        self.reactor.every(self.config.save_interval_s, self._save)
        self.reactor.every(TABLE_PERIOD_S, self._leap_seconds.find_table)
        self._hurry("the model has just begun")
        self._tell()
        return Ready()

    def handlers(self) -> Mapping[str, Handler]:
        """Return what is heard."""
        return {
            SAMPLE_KIND: Handler(ClockSample, self._on_sample),
            DISRUPTED_KIND: Handler(Disrupted, self._on_disrupted),
            AWAITED_KIND: Handler(AwaitedSources, self._on_awaited),
            WITHDRAWN_KIND: Handler(Withdrawn, self._on_withdrawn),
            SOURCES_KIND: Handler(AskSources, self._on_sources),
            WHY_KIND: Handler(AskWhy, self._on_why),
        }

    def reload(self, config: dict[str, Any]) -> bool:
        """Ask for a restart: the state resumes from the drift file under the new limits."""
        return decode_config(ClockModelConfig, config) == self.config

    def snapshot(self) -> Snapshot:
        """Return what the clock is worth now, and what became of the samples."""
        raw_ns = self.timebase.raw_ns()
        now = model.estimate(self._state, raw_ns)
        half_width_ns = max(now.latest_off_ns, -now.earliest_off_ns)
        bounds = {"clock_half_width_seconds": half_width_ns / _S_NS} if now.bounded else {}
        rejected = {
            f'clock_samples_rejected_total{{reason="{reason}"}}': float(number)
            for reason, number in self._rejected.items()
        }
        return {
            **bounds,
            **rejected,
            **self._forecasting.snapshot(self._state, raw_ns),
            "clock_samples_total": float(now.samples),
            "clock_steps_total": float(now.steps),
            "clock_disruptions_total": float(now.disruptions),
            "clock_bound_violations_total": float(now.bound_violations),
            "clock_saves_failed_total": float(self._memory.saves_failed),
            "clock_status": float(now.status),
            "clock_offset_seconds": self._realtime_offset_ns(now) / _S_NS,
            "clock_rate_ppb": float(rate.to_ppb(now.rate)),
            "clock_growth_ppb": float(now.growth_ppb),
            "clock_sigma_seconds": now.sigma_offset_ns / _S_NS,
            "clock_confidence": now.confidence,
            "clock_sources": float(now.sources_total),
            "clock_sources_selected": float(now.sources_selected),
        }

    def stop(self) -> None:
        """Save what is worth keeping, and leave no process behind."""
        self._save()
        self._forecasting.stop()

    # -- samples ---------------------------------------------------------------------------------

    def _on_sample(self, request: Request[ClockSample]) -> None:
        sample = request.body
        if sample.raw_ns > self.timebase.raw_ns():
            self._rejected["from_the_future"] += 1
            return
        if sample.raw_ns - sample.delay_ns <= self._spoiled_raw_ns:
            self._rejected["before_disruption"] += 1  # its request left before
            return
        self._look_for_leap()
        if self._leap_seconds.is_near(self._state, sample.raw_ns):
            self._rejected["leap_second"] += 1
            return
        after = model.absorb(self._state, sample)
        if after.rejected:
            self._rejected[after.rejected] += 1
            self._state = after
            return
        self._become(after)

    def _on_awaited(self, request: Request[AwaitedSources]) -> None:
        said, raw_ns = request.body, self.timebase.raw_ns()
        out = awaited.Awaited(frozenset(said.sources), raw_ns + said.for_ms * _MS_NS)
        self._await(out, raw_ns)

    def _await(self, out: awaited.Awaited, raw_ns: int) -> None:
        before = self._state
        after = model.await_votes(before, out, raw_ns)
        if after.voted is before.voted:
            self._state = after
        else:
            self._become(after)

    def _become(self, after: State) -> None:
        """Take the state after a vote into force, and tell what came of it."""
        before, self._state = self._state, after
        self._log_changes(before, after)
        if after.counters.disruptions > before.counters.disruptions:
            self._disruptions["contradiction"] += 1
            self._ask_again("the new interval contradicts the old one")
        elif before.followed != "ntp" and after.followed == "ntp":
            self._save()  # so that a crash in the first minute does not lose it
        self._tell()
        self._forecasting.heard(after)

    def _on_forecast(self, name: str, said: Forecast, least_handicap: float) -> None:
        self._state = forecast.join(self._state, name, said, least_handicap)

    # -- disruptions -----------------------------------------------------------------------------

    def _every_second(self) -> None:
        self._notice_suspend()
        raw_ns = self.timebase.raw_ns()
        if self._state.voted.out and raw_ns >= self._state.awaited.until_raw_ns:
            self._await(awaited.NOBODY, raw_ns)
        self._tell()

    def _on_disrupted(self, request: Request[Disrupted]) -> None:
        news = request.body
        if news.raw_ns != self._disrupted_raw_ns:
            self._disrupted_raw_ns = news.raw_ns
            match news.cause:
                case "suspend":
                    self._notice_suspend()
                case "boot":
                    self._notice_boot()
                case cause:
                    self._disrupt(cause)
        self._tell()

    def _notice_suspend(self) -> None:
        """Look for ourselves, so that whoever sees it first, it counts once."""
        if self._memory.notice_suspend():
            self._disrupt("suspend")

    def _notice_boot(self) -> None:
        """Begin anew in the new boot, unless that is where we began."""
        if self._memory.notice_boot():
            self._state = self._memory.recall(_limits_of(self.config))
            self._spoiled_raw_ns = 0
            self._disrupt("boot")

    def _disrupt(self, cause: DisruptionCause) -> None:
        self._disruptions[cause] += 1
        if spoils_history(cause, self._state.origin):
            self._spoiled_raw_ns = self.timebase.raw_ns()
            self._state = model.disrupt(self._state, self._spoiled_raw_ns)
            self.log.warning("history thrown away: %s", MEANING[cause])
        else:
            self._state = model.doubt(self._state)
            self.log.warning("to be confirmed: %s", MEANING[cause])
        self._ask_again(MEANING[cause])

    def _ask_again(self, why: str) -> None:
        self._save()
        self._hurry(why)

    def _hurry(self, why: str) -> None:
        """Ask for samples; until the sampler says of whom, nobody is believed alone."""
        self._state = replace(self._state, awaited=awaited.anybody(self.timebase.raw_ns()))
        self.reactor.tell(SAMPLER, RESAMPLE_KIND, Resample(why))

    def _log_changes(self, before: State, after: State) -> None:
        if after.status is not before.status:
            self.log.info("%s -> %s", before.status.name, after.status.name)
        raw_ns = self.timebase.raw_ns()
        standings = source_reports.since(self._standings, after, raw_ns)
        for verdict in after.voted.verdicts:
            if standings[verdict.source] != self._standings.get(verdict.source):
                words = (verdict.source, verdict.standing, verdict.reason)
                self.log.info("%s", ": ".join(word for word in words if word))
        self._standings = standings

    def _on_withdrawn(self, request: Request[Withdrawn]) -> None:
        names = request.body.sources
        self._state = withdrawal.withdraw(self._state, names, self.timebase.raw_ns())
        self.log.info("no longer asked: %s", ", ".join(names))

    def _on_sources(self, _: Request[AskSources]) -> Judged:
        return source_reports.judge(self._state, self.timebase.raw_ns(), self._standings)

    # -- estimates -------------------------------------------------------------------------------

    def _tell(self) -> None:
        leaps = self._look_for_leap()
        now = model.estimate(self._state, self.timebase.raw_ns())
        now = self._leap_seconds.announce(now, self._state, leaps)
        now = msgspec.structs.replace(now, disrupted_raw_ns=self._disrupted_raw_ns)
        if now.last_step_raw_ns != self._announced_step_raw_ns:
            now = msgspec.structs.replace(now, is_step=True)
        if self.reactor.tell(PUBLISHER, ESTIMATE_KIND, now):
            self._announced_step_raw_ns = now.last_step_raw_ns

    def _look_for_leap(self) -> Leaps:
        raw_ns = self.timebase.raw_ns()
        looked = self._leap_seconds.look(self._state, raw_ns)
        self._state = looked.state
        if looked.happened == "leapt":
            self.log.warning("leap second: the interval covers both sides until it is measured")
            self._spoiled_raw_ns = looked.watch.over_raw_ns
        elif looked.happened == "over":
            self._ask_again("a leap second has passed")
        left_s = self._leap_seconds.left_s(looked, raw_ns)
        if left_s is not None:
            self.reactor.after(left_s, self._tell)
        return looked.leaps

    def _on_why(self, _: Request[AskWhy]) -> Why:
        raw_ns = self.timebase.raw_ns()
        explained = msgspec.structs.replace(
            why.explain(self._state, raw_ns),
            forecasters=self._forecasting.report(self._state, raw_ns),
            rejected=dict(self._rejected),
            disruptions=dict(self._disruptions),
        )
        return self._leap_seconds.explain(explained, self._state, raw_ns)

    def _realtime_offset_ns(self, now: ClockEstimate) -> int:
        """Return our UTC minus CLOCK_REALTIME, for people."""
        return now.utc_ns + self.timebase.raw_ns() - now.as_of_raw_ns - self.timebase.wall_ns()

    def _save(self) -> None:
        self._memory.keep(self._state)


def _limits_of(config: ClockModelConfig) -> Limits:
    return Limits(
        max_drift_ppb=config.max_drift_ppb,
        max_drift_unproven_ppb=config.max_drift_unproven_ppb,
        step_threshold_ns=round(config.step_threshold_s * _S_NS),
        void_after_s=config.void_after_s,
    )
