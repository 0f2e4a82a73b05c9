"""One run: the daemon of the simulation, driven as its actors drive it, and every reading judged.

Readings come at random instants, soon after an update, long after one, while the daemon is dead,
about instants gone by, and from pages that are long replaced, which is how a reader looks ahead.
Each is compared with the truth; each run returns an :class:`Outcome`.
"""

import zlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Final, NamedTuple

from hourbook.clock import register
from hourbook.clock.polling import Pace
from hourbook.clock.state import Limits
from shm.layout import Status
from sim import page as pages
from sim.daemon import Judge, Publisher
from sim.events import Events
from sim.machine import S_NS, Machine
from sim.premise import Premise
from sim.sampling import Heard, Sampler
from sim.setting import Reload, Setting, StepWall, Suspend

__all__ = ["Outcome", "Simulation"]

LOOK_MEAN_S: Final = 12.0
"""Between publications that are simulated. The real ones come a hundred times a second; nothing
changes between two of them but the slew, which ends by itself."""
PAST_KEPT: Final = 64
PAGES_KEPT: Final = 16
FORESIGHT: Final = 0.3
"""Share of readings that are repeated from a page of some time ago."""
_US: Final = 1000
_MS: Final = 1_000_000


@dataclass
class Outcome:
    """What a run showed.

    Attributes:
        network: kind of network.
        reads: readings that were promised to hold the truth.
        misses: of them, those that did not.
        unpromised: readings while no honest majority could be had.
        backwards: readings earlier than one before, within an epoch.
        false_alarms: bound violations while everything was as promised.
        statuses: of the readings of the present.
        unbounded: of them, those without an interval.
        ratios: at each update, half-width of the interval to the best survivor's root distance.
        answers: samples heard.
        rejected: datagrams and exchanges that yielded none, by reason.
        failure: the first miss, in words.
        digest: of every reading: equal for equal runs.
    """

    network: str
    reads: int = 0
    misses: int = 0
    unpromised: int = 0
    backwards: int = 0
    false_alarms: int = 0
    statuses: Counter[Status] = field(default_factory=Counter)
    unbounded: int = 0
    ratios: list[float] = field(default_factory=list)
    answers: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    failure: str = ""
    digest: int = 0

    @property
    def has_failed(self) -> bool:
        """Something happened that must not."""
        return bool(self.misses or self.backwards or self.false_alarms)

    @property
    def ratio(self) -> float:
        """Median of the ratios; 0 where there was no update."""
        return median(self.ratios) if self.ratios else 0.0


class _Seen(NamedTuple):
    """An instant gone by, for readings about the past."""

    raw_ns: int
    utc_ns: int


class Simulation:
    """A machine in a setting."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._rng = rng = setting.rng
        begin_ns = setting.begin_ns
        self._machine = machine = Machine(
            setting.stretches, begin_ns, rng.randrange(10**12, 10**16), setting.wall_error_ns,
            setting.leap_ns,
        )  # fmt: skip
        self._events = Events(rng)
        self._judge = Judge(
            Limits(), machine.raw_ns(begin_ns), machine.wall_ns(begin_ns), setting.leap_table
        )
        self._publisher = Publisher(machine.surroundings(begin_ns))
        self._premise = Premise()
        self._past: deque[_Seen] = deque(maxlen=PAST_KEPT)
        self._pages: deque[pages.TimePage] = deque(maxlen=PAGES_KEPT)
        self._last_output = (0, 0)
        self.outcome = Outcome(setting.network)
        self._sampler = Sampler(setting, machine, self._events, self._hear, self._await_votes)

    def run(self) -> Outcome:
        """Run to the end."""
        setting = self._setting
        for true_ns, happening in setting.happenings:
            self._events.at(true_ns, partial(self._happen, happening))
        self._events.at(setting.begin_ns + S_NS, self._look)
        self._events.run(setting.end_ns)
        self.outcome.rejected = self._sampler.rejected
        return self.outcome

    # -- what befalls the machine ----------------------------------------------------------------

    def _happen(self, happening: Suspend | StepWall | Reload, true_ns: int) -> None:
        match happening:
            case Suspend(for_ns):
                self._suspend(true_ns, true_ns + for_ns)
            case StepWall(step_ns):
                self._machine.step_wall(step_ns)
            case Reload(names, pace, restarts_model):
                self._reload(names, pace, true_ns)
                if restarts_model:
                    self._premise.lose_votes()
                    raw_ns, wall_ns = self._machine.raw_ns(true_ns), self._machine.wall_ns(true_ns)
                    self._judge.restart(Limits(), raw_ns, wall_ns)
                    self._sampler.hurry(true_ns)

    def _reload(self, names: tuple[str, ...], pace: Pace, true_ns: int) -> None:
        gone = self._sampler.reload(names, pace, true_ns)
        self._premise.withdraw(gone)
        self._judge.withdraw(gone, self._machine.raw_ns(true_ns))

    def _suspend(self, true_ns: int, until_ns: int) -> None:
        self._machine.sleep(true_ns, until_ns)
        self._events.sleep(until_ns)
        for span_ns in (2, 100 * _MS, 2 * S_NS):
            self._events.at(until_ns + self._rng.randrange(1, span_ns), self._read)
        self._events.at(until_ns + self._rng.randrange(1, 100 * _MS), self._look_once)

    # -- samples ---------------------------------------------------------------------------------

    def _hear(self, heard: Heard, true_ns: int) -> None:
        sample, raw_ns = heard.sample, self._machine.raw_ns(true_ns)
        self.outcome.answers += 1
        self._look_around(true_ns)
        self._premise.hear(
            sample.source, heard.upstream, sample.raw_ns, sample.poll_s, is_honest=heard.is_honest
        )
        self._vote(partial(self._judge.hear, sample), sample.source, true_ns)
        self._note_ratio(raw_ns)
        for span_ns in (10 * _MS, 2 * S_NS):
            self._events.at(true_ns + self._rng.randrange(1, span_ns), self._read)

    def _await_votes(self, names: frozenset[str], for_ns: int, true_ns: int) -> None:
        """Hear who is waited for."""
        raw_ns = self._machine.raw_ns(true_ns)
        servers = self._setting.servers
        upstreams = {name: servers[self._setting.names[name][0]].upstream for name in names}
        self._premise.await_votes(upstreams, raw_ns)
        hear = partial(self._judge.await_votes, names, for_ns, raw_ns)
        self._vote(hear, "who is not waited for any more", true_ns)

    def _vote(self, hear: Callable[[], bool], who: str, true_ns: int) -> None:
        """Let the judge hear of something, and see what it concludes."""
        raw_ns = self._machine.raw_ns(true_ns)
        was_promised = self._premise.holds(raw_ns)
        violations = self._judge.state.counters.bound_violations
        if hear():
            self._premise.begin_anew()
            self._sampler.hurry(true_ns)
        elif self._judge.state.counters.bound_violations > violations:
            self._premise.begin_history(raw_ns)
        if was_promised and self._judge.state.counters.bound_violations > violations:
            self.outcome.false_alarms += 1
            self._blame(f"{who} contradicts what was promised", true_ns)
        self._publish(true_ns)

    def _note_ratio(self, raw_ns: int) -> None:
        state = self._judge.state
        if state.held is None or state.rejected:
            return
        distances_ns = [
            interval.half_width_ns
            for name in sorted(state.voted.selected)
            if (interval := register.interval_at(state.sources[name], raw_ns, state.drift))
        ]
        if distances_ns:
            self.outcome.ratios.append(state.held.interval.half_width_ns / min(distances_ns))

    # -- publications ----------------------------------------------------------------------------

    def _look(self, true_ns: int) -> None:
        self._look_once(true_ns)
        for _ in range(2):
            span_ns = self._rng.choice((10 * _MS, S_NS, 20 * S_NS))
            self._events.at(true_ns + self._rng.randrange(1, span_ns), self._read)
        gap_ns = round(self._rng.expovariate(1 / LOOK_MEAN_S) * S_NS)
        self._events.at(true_ns + gap_ns + 1, self._look)

    def _look_once(self, true_ns: int) -> None:
        """Do what the actors do by themselves: look around, tell, publish."""
        if not self._setting.is_dead(true_ns):
            self._look_around(true_ns)
            self._publish(true_ns)

    def _look_around(self, true_ns: int) -> None:
        cause = self._publisher.look(self._machine.surroundings(true_ns))
        if cause == "external_step":
            self._judge.notice_step()
        raw_ns = self._machine.raw_ns(true_ns)
        if self._judge.look_for_leap(raw_ns):
            self._sampler.hurry(true_ns)
        if self._judge.notice_suspend(self._machine.suspended_ns, raw_ns):
            self._premise.begin_anew()
            self._sampler.hurry(true_ns)

    def _publish(self, true_ns: int) -> None:
        raw_ns = self._machine.raw_ns(true_ns)
        self._publisher.hear(self._judge.tell(raw_ns))
        self._publisher.publish(raw_ns, raw_ns + self._rng.randrange(2 * _US))
        if self._publisher.page is not None and self._premise.holds(raw_ns):
            self._pages.append(self._publisher.page)

    # -- readings --------------------------------------------------------------------------------

    def _read(self, true_ns: int) -> None:
        page = self._publisher.page
        if page is None:
            return
        now = _Seen(self._machine.raw_ns(true_ns), self._machine.utc_ns(true_ns))
        self._past.append(now)
        for seen in (now, self._rng.choice(self._past)):
            reading = pages.read(page, seen.raw_ns, now.raw_ns, self._machine.suspended_ns)
            self._compare(reading, seen.utc_ns, true_ns)
            if seen is now:
                self.outcome.statuses[reading.status] += 1
                self.outcome.unbounded += not reading.is_bounded
                self._compare_with_last(page.epoch, reading.time_ns, true_ns)
        if self._pages and self._rng.random() < FORESIGHT:
            replaced = self._rng.choice(self._pages)
            ahead = pages.read(replaced, now.raw_ns, now.raw_ns, self._machine.suspended_ns)
            self._compare(ahead, now.utc_ns, true_ns)

    def _compare(self, reading: pages.Reading, utc_ns: int, true_ns: int) -> None:
        outcome = self.outcome
        outcome.digest = zlib.crc32(repr(reading).encode(), outcome.digest)
        if not self._premise.holds(self._machine.raw_ns(true_ns)):
            outcome.unpromised += 1
            return
        outcome.reads += 1
        if not reading.earliest_ns <= utc_ns <= reading.latest_ns:
            outcome.misses += 1
            beyond_ns = max(reading.earliest_ns - utc_ns, utc_ns - reading.latest_ns)
            self._blame(f"truth lies {beyond_ns} ns outside of {reading}", true_ns)

    def _compare_with_last(self, epoch: int, time_ns: int, true_ns: int) -> None:
        """Time runs forwards within an epoch, whoever is honest."""
        last_epoch, last_ns = self._last_output
        if epoch == last_epoch and time_ns < last_ns:
            self.outcome.backwards += 1
            self._blame(f"time ran back by {last_ns - time_ns} ns", true_ns)
        self._last_output = epoch, time_ns

    def _blame(self, what: str, true_ns: int) -> None:
        if not self.outcome.failure:
            at_s = (true_ns - self._setting.begin_ns) / S_NS
            verdicts = ", ".join(
                f"{v.source} {v.standing}" for v in self._judge.state.voted.verdicts
            )
            self.outcome.failure = f"at {at_s:.3f} s: {what}; {verdicts}"
