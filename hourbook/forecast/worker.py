"""The process in which one forecaster lives: foreign code, alone with two pipes.

Started by :mod:`hourbook.forecast.process`, with its forecaster's name and its parent's pid. It has
no descriptor but its three standard ones, an environment without secrets, and no way to gain
rights. It ends with its parent: on Linux the kernel sees to that, elsewhere the end of its
questions. Those it reads from its standard input, and it answers to what was its standard output;
whatever a library prints goes to standard error.

Nothing is caught here: a forecaster that raises ends its process, the traceback is the last thing
that the parent reads, and a fresh process is the only cure that helps against every fault.
"""

import ctypes
import faulthandler
import itertools
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from hourbook import forecasters
from hourbook.forecasters import Forecaster, Sample
from protocols import errors
from protocols.forecast_messages import (
    ANSWER_BYTES_MAX,
    HORIZONS_MAX,
    LEVELS_MAX,
    QUESTION_BYTES_MAX,
    Answer,
    Birth,
    FrameBuffer,
    Question,
    frame_of,
)

__all__ = ["main"]

_NICE: Final = 5
"""Forecasts are the last thing that a busy machine should work on."""
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


def main(name: str, parent_pid: int) -> int:
    """Answer until the parent closes its end; return the exit code."""
    _be_a_safe_child(parent_pid)
    questions, answers = _take_the_pipes()
    frames = _Frames(questions)
    birth = msgspec.msgpack.decode(frames.next(), type=Birth)
    try:
        forecaster = forecasters.load(name, birth.options)
    except errors.HourbookError as error:  # a mistake to be told in one line, without a traceback
        sys.stderr.write(f"{error}\n")
        return 1
    _write(answers, Answer(number=0))
    while frame := frames.next():
        question = msgspec.msgpack.decode(frame, type=Question)
        _write(answers, _answer(forecaster, question))
    return 0


def _answer(forecaster: Forecaster, question: Question) -> Answer:
    forecaster.fit(tuple(itertools.starmap(Sample, question.samples)))
    centre, quantiles = forecaster.predict(question.horizons_ns)
    return Answer(
        number=question.number, centre_ns=_floats(centre), quantiles_ns=_by_level(quantiles)
    )


def _write(pipe: int, answer: Answer) -> None:
    left = memoryview(frame_of(answer, ANSWER_BYTES_MAX))
    while left:
        left = left[os.write(pipe, left) :]


def _by_level(quantiles: Mapping[float, Sequence[float]]) -> dict[float, tuple[float, ...]]:
    some = itertools.islice(quantiles.items(), LEVELS_MAX + 1)
    return {float(level): _floats(series) for level, series in some}


def _floats(series: Sequence[float]) -> tuple[float, ...]:
    """Return plain numbers; one more than allowed, so that too many are seen as that."""
    return tuple(map(float, itertools.islice(series, HORIZONS_MAX + 1)))


class _Frames:
    """The questions, one by one; the last is empty."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._buffer = FrameBuffer(QUESTION_BYTES_MAX)
        self._waiting: list[bytes] = []

    def next(self) -> bytes:
        while not self._waiting:
            data = os.read(self._pipe, QUESTION_BYTES_MAX)
            if not data:
                return b""
            self._waiting = self._buffer.feed(data)
        return self._waiting.pop(0)


def _be_a_safe_child(parent_pid: int) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_NO_NEW_PRIVS, 1)):
            if libc.prctl(option, value, 0, 0, 0):
                raise OSError(ctypes.get_errno(), f"prctl({option})")
    if os.getppid() != parent_pid:  # it ended before the kernel knew that we end with it
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    os.nice(_NICE)


def _take_the_pipes() -> tuple[int, int]:
    """Move them away from the standard descriptors, where any library would write or read.

    They stay open until the process is gone: that is what their closing tells the parent.
    """
    questions, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return questions, answers


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
