"""`now`, `monitor`, `snapshot`: the clock, read from shared memory like any agent reads it."""

import time
from itertools import count as count_up
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from hourbook.cli.clock_text import monitor_line, now_lines, snapshot_lines
from hourbook.cli.exit_codes import OK
from hourbook.cli.options import HomeOption, JsonOption
from hourbook.cli.out import emit, emit_json
from hourbook.clock_json import now_json, snapshot_json
from hourbook.faces.clock import Clock
from hourbook.home import find_home

__all__ = ["monitor", "now", "snapshot"]


def now(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """Print UTC, the interval that it lies in, and how far to trust it.

    Example: `hourbook now --json | jq -r .time`
    """
    reading = Clock(find_home(home)).snapshot()
    if json:
        emit_json(now_json(reading))
    else:
        for line in now_lines(reading):
            emit(line)
    return OK


def monitor(
    *,
    interval: Annotated[float, Parameter(validator=Number(gte=0.01, lte=3600))] = 1.0,
    count: Annotated[
        int | None, Parameter(name=["--count", "-n"], validator=Number(gte=1), show_default=False)
    ] = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Print the time again and again, until Ctrl-C.

    Example: `hourbook monitor --interval 0.1 -n 50`

    Parameters
    ----------
    interval:
        Between two lines (seconds, 0.01 to 3600).
    count:
        End after so many lines.
    """
    clock = Clock(find_home(home))
    due_s = time.monotonic()
    for printed in count_up(1):
        reading = clock.snapshot()
        if json:
            emit_json(now_json(reading))
        else:
            emit(monitor_line(reading))
        if printed == count:
            break
        due_s += interval
        time.sleep(max(0.0, due_s - time.monotonic()))
    return OK


def snapshot(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """Print every field of the shared time page, and what follows from it (docs/SEGMENT.md).

    Example: `hourbook snapshot --json | jq .growth_ppb`
    """
    taken = Clock(find_home(home)).snapshot()
    document = snapshot_json({name: getattr(taken, name) for name in taken.__match_args__})
    if json:
        emit_json(document)
    else:
        for line in snapshot_lines(document):
            emit(line)
    return OK
