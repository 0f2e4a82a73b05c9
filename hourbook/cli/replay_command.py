"""`hourbook clock replay`: what the clock would have said of a recording, row by row."""

import csv
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, TextIO

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from hourbook.cli.exit_codes import OK
from hourbook.cli.options import JsonOption
from hourbook.cli.out import emit, emit_json
from hourbook.cli.replay_text import COLUMNS, figures_line, replay_cells, score_lines
from hourbook.clock.replay import Replayed
from hourbook.clock.replay import replay as replay_rows
from hourbook.clock.scores import Scores
from hourbook.clock.state import State
from hourbook.clock.trace import LINE_BYTES_MAX, read_rows
from protocols import errors

__all__ = ["replay"]

_PROGRESS_PERIOD_S: Final = 0.5
_MS_NS: Final = 1_000_000
_S_NS: Final = 1_000_000_000


def replay(
    recording: Annotated[
        str, Parameter(name="IN", help="The recording; `-` is stdin.", allow_leading_hyphen=True)
    ],
    /,
    *,
    out: Annotated[str | None, Parameter(show_default=False)] = None,
    horizon: Annotated[float, Parameter(validator=Number(gte=0, lte=1e6))] = 0.0,
    assume_delay_ms: Annotated[
        float | None, Parameter(validator=Number(gte=0, lte=1e6), show_default=False)
    ] = None,
    plot: Annotated[str | None, Parameter(show_default=False)] = None,
    forecaster: Annotated[str | None, Parameter(show_default=False)] = None,
    forecaster_options: Annotated[str, Parameter(show_default=False)] = "{}",
    json: JsonOption = False,
) -> int:
    """Replay recorded measurements through the clock's model, and judge what it predicts.

    The recording is CSV with the columns `t_s`, `offset_ms` (true minus local) and, where it was
    recorded, `delay_ms`. Predictions go to stdout as CSV, unless another output is asked for.
    Example: `hourbook clock replay measured.csv --out predicted.csv`

    Parameters
    ----------
    out:
        File for the predictions; the figures are printed then.
    horizon:
        Predict so many seconds ahead instead of one row.
    assume_delay_ms:
        Delay of rows that recorded none, so that they have a hard interval.
    plot:
        File for a picture (PNG or SVG); needs `pip install 'hourbook[plot]'`.
    forecaster:
        Let this plug-in join, asked after each row.
    forecaster_options:
        What it is given, as JSON.
    """
    is_table = json or out is not None or plot is not None
    scores = Scores()
    sinks: list[Callable[[Replayed], None]] = [scores.add] if is_table else []
    if plot is not None:
        from hourbook.cli.replay_plot import Picture  # noqa: PLC0415 - needs an extra

        picture = Picture(plot)
        sinks.append(picture.add)
    with ExitStack() as open_files:
        rows = read_rows(_lines(recording, open_files), "stdin" if recording == "-" else recording)
        # What is no recording must not cost the file of an earlier run.
        rows = chain((next(rows),), rows)
        if out is not None:
            sinks.append(_rows_into(_created(out, recording, open_files)))
        elif not is_table:
            sinks.append(_rows_into(sys.stdout))
        replayed = replay_rows(
            rows,
            horizon_ns=round(horizon * _S_NS),
            assume_delay_ns=None if assume_delay_ms is None else round(assume_delay_ms * _MS_NS),
            advise=_adviser(forecaster, forecaster_options, open_files),
        )
        for one in _with_progress(replayed):
            for sink in sinks:
                sink(one)
    if plot is not None:
        picture.save(Path(recording).name, figures_line(scores.document()))
    if json:
        emit_json({"horizon_s": horizon, **scores.document()})
    elif is_table:
        for line in score_lines(scores.document()):
            emit(line)
    return OK


def _adviser(
    name: str | None, options: str, open_files: ExitStack
) -> Callable[[State], State] | None:
    if name is None:
        return None
    from hourbook.forecast.session import ForecastSession  # noqa: PLC0415 - only where asked for

    try:
        given = msgspec.json.decode(options, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise errors.BadRequest(f"Expected JSON for --forecaster-options: {error}") from None
    return open_files.enter_context(ForecastSession(name, given)).advise


def _lines(name: str, open_files: ExitStack) -> Iterator[str]:
    """Return the lines of a file of UTF-8, with or without a byte order mark."""
    if name == "-":
        return _decoded(sys.stdin.buffer, "stdin")
    return _decoded(open_files.enter_context(Path(name).open("rb")), name)


def _decoded(raw: BinaryIO, name: str) -> Iterator[str]:
    # One more than allowed, so that a file without line ends is refused before it fills the memory.
    pieces = iter(partial(raw.readline, LINE_BYTES_MAX + 1), b"")
    for number, line in enumerate(pieces, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            where = f"{name}, line {number}"
            raise errors.BadRequest(f"Expected UTF-8, got other bytes, at {where}") from None


def _created(out: str, recording: str, open_files: ExitStack) -> TextIO:
    path = Path(out)
    if recording != "-" and path.exists() and path.samefile(recording):
        raise errors.BadRequest(f"Expected another file than the recording for --out, got {out}")
    return open_files.enter_context(path.open("w", encoding="ascii", newline=""))


def _rows_into(file: TextIO) -> Callable[[Replayed], None]:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(one: Replayed) -> None:
        writer.writerow(replay_cells(one))

    return write


def _with_progress(replayed: Iterator[Replayed]) -> Iterator[Replayed]:
    """Pass rows on, and tell a person who waits how many there were."""
    if not sys.stderr.isatty():
        yield from replayed
        return
    due_s = time.monotonic() + _PROGRESS_PERIOD_S
    shown = ""
    for count, one in enumerate(replayed, start=1):
        yield one
        if time.monotonic() >= due_s:
            shown = f"{count} rows replayed"
            sys.stderr.write(f"\r{shown}")
            sys.stderr.flush()
            due_s = time.monotonic() + _PROGRESS_PERIOD_S
    if shown:
        sys.stderr.write("\r" + " " * len(shown) + "\r")
        sys.stderr.flush()
