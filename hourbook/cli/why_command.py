"""`hourbook clock why`: what every term of the interval is, and why the status is what it is."""

import shutil

from hourbook.cli.exit_codes import OK
from hourbook.cli.options import HomeOption, JsonOption
from hourbook.cli.out import emit, emit_json
from hourbook.cli.why_text import why_lines
from hourbook.clock_why import why_json
from hourbook.faces.clock import Clock
from hourbook.home import find_home
from hourbook.link.actor_question import ask_actor
from hourbook.source_json import sources_json
from hourbook.source_status import fetch_sources
from protocols import errors
from protocols.why_messages import WHY_KIND, AskWhy, Why

__all__ = ["why"]


def why(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """Explain the clock: its status, and where each nanosecond of its interval comes from.

    The page that everybody reads is explained without a running tree; the sources only with one.

    Example: `hourbook clock why --json | jq .interval`
    """
    found = find_home(home)
    page = Clock(found).snapshot()
    model, problem, sources = None, "", None
    try:
        model = ask_actor(found, "clock_model", WHY_KIND, AskWhy(), Why)
        sources = sources_json(*fetch_sources(found))
    except errors.HourbookError as error:  # no tree, or one of an older version
        problem = str(error)
    document = why_json(page, model, problem, sources)
    if json:
        emit_json(document)
    else:
        # A pipe has no width: nothing is broken for it.
        for line in why_lines(document, shutil.get_terminal_size((0, 0)).columns):
            emit(line)
    return OK
