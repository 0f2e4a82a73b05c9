"""clock_model's side of leap seconds: the table of this machine, and what is ahead of the clock.

An edge of clock_model: looks the table up and remembers what is to come. What a leap second does to
an interval is decided in :mod:`hourbook.clock.leaping`.
"""

import logging
from typing import Final

import msgspec

from hourbook.clock import leap, leap_file, leaping, model
from hourbook.clock.leap import Leaps
from hourbook.clock.leaping import Looked
from hourbook.clock.state import State
from hourbook.timebase import Timebase
from protocols.clock_messages import ClockEstimate
from protocols.why_messages import Why

__all__ = ["LOOK_PERIOD_S", "TABLE_PERIOD_S", "LeapSeconds"]

LOOK_PERIOD_S: Final = 1.0
"""How often the model looks at least; an event that is nearer is looked for at its instant."""
TABLE_PERIOD_S: Final = 86_400.0
"""Between looks for a newer table, which the system's updates bring."""
_S_NS: Final = 1_000_000_000


class LeapSeconds:
    """What is known of leap seconds."""

    def __init__(self, state: State, timebase: Timebase, log: logging.Logger) -> None:
        self._timebase = timebase
        self._log = log
        self.find_table()
        self._watch = leaping.watch_since(state, timebase.raw_ns(), self._table)

    def find_table(self) -> None:
        """Look the table up anew."""
        self._table = leap_file.find_table()
        if self._table is None:
            self._log.warning("no leap table: leap seconds and TAI - UTC stay unknown")

    def look(self, state: State, raw_ns: int) -> Looked:
        """Let a leap second happen if it is time; to be called before each sample, and often."""
        looked = leaping.look(self._watch, state, raw_ns, self._table)
        self._watch = looked.watch
        return looked

    def is_near(self, state: State, raw_ns: int) -> bool:
        """Say whether a sample of that instant may be on either scale."""
        return leaping.is_near(self._watch, state, raw_ns)

    @staticmethod
    def left_s(looked: Looked, raw_ns: int) -> float | None:
        """Return how soon to look again, None where the usual period will do."""
        if looked.happened == "leapt":
            return (looked.watch.over_raw_ns - raw_ns) / _S_NS
        if looked.happened or looked.watch.ahead is None:
            return None
        left_s = (looked.watch.ahead.utc_ns - model.estimate(looked.state, raw_ns).utc_ns) / _S_NS
        return left_s if 0 < left_s < LOOK_PERIOD_S else None

    def announce(self, estimate: ClockEstimate, state: State, leaps: Leaps) -> ClockEstimate:
        """Return an estimate with all that readers are told of leap seconds."""
        _, smear_kind, smear_length_s = _smear(state)
        return msgspec.structs.replace(
            estimate,
            leap_utc_s=leaps.utc_s,
            leap_tai_before_s=leaps.tai_before_s,
            leap_tai_after_s=leaps.tai_after_s,
            smear_kind=smear_kind,
            smear_length_s=smear_length_s,
        )

    def explain(self, why: Why, state: State, raw_ns: int) -> Why:
        """Return an explanation with where all that comes from."""
        leaps = leaping.look(self._watch, state, raw_ns, self._table).leaps
        return msgspec.structs.replace(
            why,
            leap_table=self._table.path if self._table else "",
            leap_expires_s=self._table.expires_s if self._table else 0,
            leap_utc_s=leaps.utc_s,
            tai_minus_utc_s=leaps.tai_before_s,
            smear=_smear(state)[0],
        )


def _smear(state: State) -> tuple[str, int, int]:
    """Return how most of the selected sources serve leap seconds: family, kind, length (s)."""
    sources = [state.sources[name].newest for name in state.voted.selected]
    return leap.smear_of([sample.smear for sample in sources])
