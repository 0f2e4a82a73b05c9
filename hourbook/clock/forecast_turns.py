"""Whose turn it is: one forecaster's worker from rest to rest. Pure.

    resting --began--> loading --answered--> idle --asked--> busy --answered--> idle
       ^                  |                   |               |
    failed <-- ending <---+---- late, crashed, nonsense ------+

A worker that fails is ended; once it is gone its forecaster rests, first `backoff_base_s`, twice as
long after each further failure, up to `backoff_cap_s`. An answer that was understood forgives all
failures. So a plug-in that is broken for good costs one process start every few minutes, and there
are never two processes of one forecaster.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal

__all__ = [
    "Patience",
    "Phase",
    "Reason",
    "Turn",
    "answered",
    "failed",
    "may_begin",
    "moved",
]

Phase = Literal["resting", "loading", "idle", "busy", "ending"]
Reason = Literal["late", "crashed", "nonsense"]
_S_NS: Final = 1_000_000_000
_DOUBLINGS_MAX: Final = 32
_NONE: Final[Mapping[Reason, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what may take.

    Attributes:
        load_s: from the birth of a worker until its forecaster is loaded.
        answer_s: from a question to its answer.
        backoff_base_s: rest after the first failure.
        backoff_cap_s: longest rest.
    """

    load_s: float = 60.0
    answer_s: float = 5.0
    backoff_base_s: float = 1.0
    backoff_cap_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Turn:
    """How a forecaster fares.

    Attributes:
        phase: see the head of the module.
        rests_until_mono_ns: no worker is started before.
        failed_in_a_row: failures since the last answer.
        answers: understood so far.
        failures: by reason.
        problem: the last failure in words; "" once it has answered again.
    """

    phase: Phase = "resting"
    rests_until_mono_ns: int = 0
    failed_in_a_row: int = 0
    answers: int = 0
    failures: Mapping[Reason, int] = field(default_factory=lambda: _NONE)
    problem: str = ""


def may_begin(turn: Turn, now_mono_ns: int) -> bool:
    """Say whether a worker may be started."""
    return turn.phase == "resting" and now_mono_ns >= turn.rests_until_mono_ns


def moved(turn: Turn, phase: Phase) -> Turn:
    """Return the turn in another phase."""
    return replace(turn, phase=phase)


def answered(turn: Turn) -> Turn:
    """Return the turn after an answer was understood."""
    return replace(turn, phase="idle", failed_in_a_row=0, answers=turn.answers + 1, problem="")


def failed(turn: Turn, now_mono_ns: int, patience: Patience, reason: Reason, words: str) -> Turn:
    """Return the turn once a worker is gone that was ended for a reason, or ended itself."""
    doublings = min(turn.failed_in_a_row, _DOUBLINGS_MAX)
    rest_s = min(patience.backoff_base_s * 2**doublings, patience.backoff_cap_s)
    return replace(
        turn,
        phase="resting",
        rests_until_mono_ns=now_mono_ns + round(rest_s * _S_NS),
        failed_in_a_row=turn.failed_in_a_row + 1,
        failures=MappingProxyType({**turn.failures, reason: turn.failures.get(reason, 0) + 1}),
        problem=words,
    )
