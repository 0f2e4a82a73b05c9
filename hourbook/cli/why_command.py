"""`hourbook clock why`: what every term of the interval is, and why the status is what it is."""

from hourbook.cli.exit_codes import OK
from hourbook.cli.options import HomeOption, JsonOption
from hourbook.cli.out import emit, emit_json
from hourbook.cli.why_text import why_lines
from hourbook.clock_face import Clock
from hourbook.clock_why import page_json
from hourbook.home import find_home

__all__ = ["why"]


def why(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """Explain the clock: status, interval and where each of its nanoseconds comes from."""
    document = page_json(Clock(find_home(home)).snapshot())
    if json:
        emit_json(document)
    else:
        for line in why_lines(document):
            emit(line)
    return OK
