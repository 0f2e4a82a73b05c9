"""clock_model's side of its forecasters: asks after each measurement, waits for nobody.

Owns the worker processes. Everything here runs in the actor's loop and returns at once: questions
go out after the sample was told to the publisher, answers come in when their pipe can be read, and
a worker whose patience is over is killed by a timer.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from actors.contract import Reactor
from actors.timers import Timer
from hourbook.clock import centre, forecast
from hourbook.clock import forecast_turns as turns
from hourbook.clock.forecast import Asked, Forecast
from hourbook.clock.forecast_turns import Patience, Reason, Turn
from hourbook.clock.state import State
from hourbook.forecast.process import WorkerProcess
from hourbook.timebase import Timebase
from protocols import errors
from protocols.control import Snapshot
from protocols.forecast_messages import Answer
from protocols.why_messages import ForecasterWhy

__all__ = ["Forecasting"]

_S_NS: Final = 1_000_000_000
_END_LOOK_S: Final = 0.05
"""Between looks whether a worker that was killed, or closed its pipe, is gone."""
_END_WAIT_S: Final = 1.0
"""How long a stop waits for a killed worker; the kernel ends it with us in any case."""

Join = Callable[[str, Forecast, float], None]
"""Called with a forecaster's name, its forecast, and the least handicap that it has earned."""


@dataclass(slots=True)
class _Desk:
    """One forecaster: its turn, and its worker where there is one."""

    name: str
    options: Mapping[str, Any]
    turn: Turn = field(default_factory=Turn)
    worker: WorkerProcess | None = None
    deadline: Timer | None = None
    asked: Asked | None = None
    said: Forecast | None = None
    least_handicap: float = 0.0


class Forecasting:
    """All forecasters of the model; see the head of the module."""

    def __init__(
        self,
        options: Mapping[str, Mapping[str, Any]],
        patience: Patience,
        reactor: Reactor,
        timebase: Timebase,
        join: Join,
    ) -> None:
        self._desks = {name: _Desk(name, options[name]) for name in options}
        self._patience = patience
        self._reactor = reactor
        self._timebase = timebase
        self._join = join
        self._log = logging.getLogger("forecasters")
        self._history = forecast.NO_HISTORY
        self._rate_ppb = 0.0
        self._questions = 0
        self._is_asking = False

    def heard(self, state: State) -> None:
        """Take note of a sample that the model has accepted, and ask as soon as there is time."""
        if not self._desks:
            return
        now = state.centre
        self._history = forecast.remember(self._history, now)
        self._rate_ppb = centre.rate(now, now.reference.raw_ns)[0]
        for desk in self._desks.values():
            beyond = forecast.loss_beyond_others(now, desk.name)
            desk.least_handicap = desk.least_handicap if beyond is None else beyond
        if not self._is_asking:
            self._is_asking = True
            self._reactor.after(0, self._ask_idle)

    def report(self, state: State, raw_ns: int) -> tuple[ForecasterWhy, ...]:
        """Return how each forecaster fares."""
        shares = centre.shares(state.centre, raw_ns)
        return tuple(_report(desk, shares, raw_ns) for desk in self._desks.values())

    def snapshot(self, state: State, raw_ns: int) -> Snapshot:
        """Return the same as numbers."""
        found: Snapshot = {}
        for one in self.report(state, raw_ns):
            label = f'forecaster="{one.forecaster}"'
            found[f"clock_forecaster_weight{{{label}}}"] = one.weight
            found[f"clock_forecaster_answers_total{{{label}}}"] = float(one.answers)
            if one.age_ns >= 0:
                found[f"clock_forecaster_age_seconds{{{label}}}"] = one.age_ns / _S_NS
            for reason, number in one.failures.items():
                key = f'clock_forecaster_failures_total{{{label},reason="{reason}"}}'
                found[key] = float(number)
        return found

    def stop(self) -> None:
        """End every worker."""
        for desk in self._desks.values():
            if desk.worker is not None:
                desk.worker.end_at_once(_END_WAIT_S)

    # -- asking ----------------------------------------------------------------------------------

    def _ask_idle(self) -> None:
        self._is_asking = False
        if len(self._history) < forecast.SAMPLES_MIN:
            return
        for desk in self._desks.values():
            if turns.may_begin(desk.turn, self._timebase.mono_ns()):
                self._begin(desk)
            elif desk.turn.phase == "idle":
                self._ask_of_news(desk)

    def _begin(self, desk: _Desk) -> None:
        try:
            desk.worker = worker = WorkerProcess(desk.name, desk.options)
        except (OSError, errors.LimitExceeded) as error:
            self._failed(desk, "crashed", f"cannot be started: {error}")
            return
        desk.turn = turns.moved(desk.turn, "loading")
        self._log.info("%s: begun, process %d", desk.name, worker.pid)
        self._reactor.watch(worker.fileno(), lambda: self._on_readable(desk, worker))
        self._set_deadline(desk, self._patience.load_s)

    def _ask_of_news(self, desk: _Desk) -> None:
        """Ask an idle worker, if there are measurements that its last forecast does not know."""
        if len(self._history) < forecast.SAMPLES_MIN:
            return  # a break came in the meantime
        if desk.said and desk.said.reference.raw_ns == self._history[-1].raw_ns:
            return
        assert desk.worker, "who is idle has a worker"
        self._questions += 1
        desk.asked = forecast.ask(self._history, self._rate_ppb, self._questions)
        desk.turn = turns.moved(desk.turn, "busy")
        self._set_deadline(desk, self._patience.answer_s)
        desk.worker.ask(desk.asked.question)

    # -- answers ---------------------------------------------------------------------------------

    def _on_readable(self, desk: _Desk, worker: WorkerProcess) -> None:
        if desk.worker is not worker or desk.turn.phase == "ending":
            return  # since this poll
        try:
            for frame in worker.receive():
                self._on_answer(desk, msgspec.msgpack.decode(frame, type=Answer))
        except EOFError:
            self._end(desk, "crashed")
        except (msgspec.DecodeError, errors.CallerError) as error:
            self._end(desk, "nonsense", str(error))

    def _on_answer(self, desk: _Desk, answer: Answer) -> None:
        if desk.turn.phase == "loading" and answer.number == 0:
            desk.turn = turns.moved(desk.turn, "idle")
            self._set_deadline(desk, None)
            self._ask_of_news(desk)
            return
        if desk.turn.phase != "busy" or desk.asked is None:
            raise errors.BadRequest(f"Expected no answer, got number {answer.number}")
        desk.said = said = forecast.understand(desk.asked, answer)
        desk.turn = turns.answered(desk.turn)
        self._set_deadline(desk, None)
        self._join(desk.name, said, desk.least_handicap)
        self._ask_of_news(desk)

    # -- failures --------------------------------------------------------------------------------

    def _set_deadline(self, desk: _Desk, delay_s: float | None) -> None:
        if desk.deadline is not None:
            desk.deadline.cancel()
        desk.deadline = None
        if delay_s is not None:
            words = f"{desk.turn.phase} for {delay_s:g} s"
            desk.deadline = self._reactor.after(delay_s, lambda: self._end(desk, "late", words))

    def _end(self, desk: _Desk, reason: Reason, words: str = "") -> None:
        """End a worker; without words, how it ended itself will say them."""
        worker = desk.worker
        assert worker, "who fails so has a worker"
        self._set_deadline(desk, None)
        self._reactor.unwatch(worker.fileno())
        desk.turn = turns.moved(desk.turn, "ending")
        desk.asked = None
        if words:
            worker.end()
        self._reactor.after(_END_LOOK_S, lambda: self._reap(desk, worker, reason, words))

    def _reap(self, desk: _Desk, worker: WorkerProcess, reason: Reason, words: str) -> None:
        if desk.worker is not worker:
            return  # stopped
        ending = worker.ending()
        if not ending:
            worker.end()  # it closed its pipe, and lives
            self._reactor.after(_END_LOOK_S, lambda: self._reap(desk, worker, reason, words))
            return
        worker.close()
        desk.worker = None
        self._failed(desk, reason, words or ending)

    def _failed(self, desk: _Desk, reason: Reason, words: str) -> None:
        self._log.warning("%s: %s, %s", desk.name, reason, words)
        now_ns = self._timebase.mono_ns()
        desk.turn = turns.failed(desk.turn, now_ns, self._patience, reason, words)
        # Measurements may be minutes apart: it begins again by itself, to be ready for the next.
        rest_s = (desk.turn.rests_until_mono_ns - now_ns) / _S_NS
        self._reactor.after(rest_s, self._ask_idle)


def _report(desk: _Desk, shares: Mapping[str, float], raw_ns: int) -> ForecasterWhy:
    said = desk.said
    return ForecasterWhy(
        forecaster=desk.name,
        phase=desk.turn.phase,
        weight=shares.get(forecast.expert_name(desk.name), 0.0),
        age_ns=raw_ns - said.reference.raw_ns if said else -1,
        horizon_ns=said.horizons_ns[-1] if said else 0,
        claimed_ns=round(said.claimed_ns) if said else 0,
        claimed_share=round(said.claimed_share, 6) if said else 0.0,
        answers=desk.turn.answers,
        failures={str(reason): number for reason, number in desk.turn.failures.items()},
        problem=desk.turn.problem,
    )
