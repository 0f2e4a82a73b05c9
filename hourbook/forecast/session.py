"""A forecaster asked by somebody who has time to wait: for replays, where rows are not due.

The live clock never waits for a forecaster (``actors/forecasting.py``); what is asked, what is
understood and how it joins is the same. Here a forecaster that fails ends the session: a replay is
to judge it, and half of one would mislead.
"""

import select
import time
from collections.abc import Mapping
from typing import Any, Final, Self

import msgspec

from hourbook import forecasters
from hourbook.clock import centre, forecast
from hourbook.clock.state import State
from hourbook.forecast.process import WorkerProcess
from protocols import errors
from protocols.forecast_messages import Answer

__all__ = ["ForecastSession"]

_LOAD_S: Final = 60.0
_ANSWER_S: Final = 60.0
_END_WAIT_S: Final = 5.0
_MS: Final = 1000


class ForecastSession:
    """One forecaster and its worker; a context manager.

    Raises:
        ConfigError: none of this name is installed.
        ForecasterFailed: it crashed, hung or answered nonsense, here and in every function.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        if forecasters.unknown([name]):
            known = ", ".join(forecasters.installed()) or "none is"
            raise errors.ConfigError(f"Expected an installed forecaster ({known}), got {name!r}")
        self._name = name
        self._history = forecast.NO_HISTORY
        self._questions = 0
        self._handicap = 0.0
        self._worker = WorkerProcess(name, options)

    def __enter__(self) -> Self:
        try:
            self._answer(_LOAD_S)
        except errors.ForecasterFailed:
            self._worker.end_at_once(_END_WAIT_S)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.end_at_once(_END_WAIT_S)

    def advise(self, state: State) -> State:
        """Return the state after a sample with what the forecaster says of the next ones."""
        now = state.centre
        self._history = forecast.remember(self._history, now)
        beyond = forecast.loss_beyond_others(now, self._name)
        self._handicap = self._handicap if beyond is None else beyond
        if len(self._history) < forecast.SAMPLES_MIN:
            return state
        self._questions += 1
        rate_ppb = centre.rate(now, now.reference.raw_ns)[0]
        asked = forecast.ask(self._history, rate_ppb, self._questions)
        self._worker.ask(asked.question)
        try:
            said = forecast.understand(asked, self._answer(_ANSWER_S))
        except errors.BadRequest as error:
            raise self._failed(str(error)) from None
        return forecast.join(state, self._name, said, self._handicap)

    def _answer(self, timeout_s: float) -> Answer:
        poll = select.poll()
        poll.register(self._worker.fileno(), select.POLLIN)
        deadline_s = time.monotonic() + timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            if not poll.poll(left_s * _MS):
                continue
            try:
                for frame in self._worker.receive():
                    return msgspec.msgpack.decode(frame, type=Answer)
            except EOFError:
                self._worker.wait_end(_END_WAIT_S)
                raise self._failed(self._worker.ending() or "the end of its pipe") from None
            except (msgspec.DecodeError, errors.CallerError) as error:
                raise self._failed(str(error)) from None
        raise self._failed(f"no answer within {timeout_s:g} s")

    def _failed(self, words: str) -> errors.ForecasterFailed:
        return errors.ForecasterFailed(f"Expected a forecast of {self._name}, got: {words}")
