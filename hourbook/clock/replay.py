"""A recording told to the model as if it happened now: what would have been said of each row? Pure.

The columns of a recording speak of one local clock. It takes the part of both CLOCK_MONOTONIC_RAW
and CLOCK_REALTIME, and one source called ``replay`` measures it. What is predicted comes from
:func:`model.estimate`, as on a live machine, before the row itself is absorbed.

A measurement without a delay vouches for no interval, and without any the replay has none; the
centre is the same. `assume_delay_ns` stands in for delays that were not recorded.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from hourbook.clock import centre, model, state
from hourbook.clock.state import Limits, State
from hourbook.clock.trace import Row
from protocols.clock_messages import UNBOUNDED_NS, ClockSample

__all__ = ["UTC_BASE_NS", "Forecast", "Replayed", "replay"]

UTC_BASE_NS: Final = 2_000_000_000_000_000_000
"""UTC of the first row if its clock was right; any other would do as well."""
_RAW_BASE_NS: Final = 1_000_000_000
_STAMPS_NS: Final = 1_000
"""What six digits of milliseconds, and both stamps, may hide."""
_UNKNOWN_DELAY_NS: Final = 30_000_000
"""Of a path nobody measured: only a first guess of its noise, never of a bound."""
_POLL_S_MAX: Final = 1024
_S_NS: Final = 1_000_000_000


class Forecast(NamedTuple):
    """What was said of a row; offsets are true minus local, in nanoseconds.

    Attributes:
        offset_ns: the centre.
        sigma_ns: scale of the centre's own error.
        q68_ns: half-width that holds 68 % of next measurements.
        q95_ns: half-width that holds 95 % of them.
        interval_ns: the hard interval, None where nothing vouches for one.
        leader: the expert that counted most, "none" before the first measurement.
    """

    offset_ns: int
    sigma_ns: int
    q68_ns: int
    q95_ns: int
    interval_ns: tuple[int, int] | None
    leader: str


class Replayed(NamedTuple):
    """A row, and what was said of it.

    Attributes:
        row: the measurement, with the delay that was assumed where none was recorded.
        forecast: from what was known `horizon` before, or just before it.
        known: how many rows that rests on.
        state: the model that said it.
    """

    row: Row
    forecast: Forecast
    known: int
    state: State


def replay(
    rows: Iterable[Row],
    *,
    horizon_ns: int = 0,
    assume_delay_ns: int | None = None,
    limits: Limits | None = None,
    advise: Callable[[State], State] | None = None,
) -> Iterator[Replayed]:
    """Yield for every row what the model says of it before it has heard it.

    Args:
        rows: in the order of their times.
        horizon_ns: how much earlier than a row the last measurement that is known of may be (>= 0);
            0: everything before the row is known.
        assume_delay_ns: delay of rows that have none.
        limits: of the model.
        advise: called with the state after each sample, returns it with what others say, too.
    """
    waiting: deque[ClockSample] = deque()
    now: State | None = None
    origin_ns = delay_ns = before_ns = known = 0
    for row in rows:
        if now is None:
            origin_ns = _RAW_BASE_NS - row.t_ns
            now = state.initial(limits or Limits(), _RAW_BASE_NS, UTC_BASE_NS)
            delay_ns = _UNKNOWN_DELAY_NS
            before_ns = row.t_ns - _S_NS
        if row.delay_ns is None:
            row = row._replace(delay_ns=assume_delay_ns)  # noqa: PLW2901 - as if it were recorded
        raw_ns = row.t_ns + origin_ns
        while waiting and waiting[0].raw_ns <= raw_ns - horizon_ns:
            now = model.absorb(now, waiting.popleft())
            now = advise(now) if advise else now
            known += 1
        yield Replayed(row, _forecast(now, raw_ns, is_first=not known), known, now)
        delay_ns = delay_ns if row.delay_ns is None else row.delay_ns
        poll_s = min(max((row.t_ns - before_ns) // _S_NS, 1), _POLL_S_MAX)
        before_ns = row.t_ns
        waiting.append(_sample(row, raw_ns, delay_ns, poll_s))


def _sample(row: Row, raw_ns: int, delay_ns: int, poll_s: int) -> ClockSample:
    """Return a row as the sampler would have sent it; one without a delay has no bound."""
    return ClockSample(
        source="replay",
        raw_ns=raw_ns,
        utc_ns=UTC_BASE_NS + (raw_ns - _RAW_BASE_NS) + row.offset_ns,
        half_width_ns=UNBOUNDED_NS if row.delay_ns is None else (delay_ns + 1) // 2 + _STAMPS_NS,
        origin="ntp",
        poll_s=poll_s,
        realtime_offset_ns=row.offset_ns,
        delay_ns=delay_ns,
    )


def _forecast(now: State, raw_ns: int, *, is_first: bool) -> Forecast:
    said = model.estimate(now, raw_ns)
    offset_ns = said.utc_ns - UTC_BASE_NS - (raw_ns - _RAW_BASE_NS)
    interval = (offset_ns + said.earliest_off_ns, offset_ns + said.latest_off_ns)
    return Forecast(
        offset_ns=offset_ns,
        sigma_ns=said.sigma_offset_ns,
        q68_ns=said.q68_ns,
        q95_ns=said.q95_ns,
        interval_ns=interval if said.bounded else None,
        leader="none" if is_first else centre.leader(now.centre),
    )
