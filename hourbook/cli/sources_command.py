"""`hourbook sources`: whom the clock asks, what they answer, and who is believed."""

import shutil

from hourbook.cli.exit_codes import OK
from hourbook.cli.options import HomeOption, JsonOption
from hourbook.cli.out import emit, emit_json
from hourbook.cli.sources_text import sources_lines
from hourbook.home import find_home
from hourbook.source_json import sources_json
from hourbook.source_status import fetch_sources

__all__ = ["sources"]


def sources(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """Print every source of time: what it says, how good that is, and why it is not believed.

    Example: `hourbook sources --json | jq -r '.sources[] | [.source, .state] | @tsv'`
    """
    document = sources_json(*fetch_sources(find_home(home)))
    if json:
        emit_json(document)
    else:
        for line in sources_lines(document, shutil.get_terminal_size().columns):
            emit(line)
    return OK
