"""`context`, `summary` and `session`: what has been going on, for agents and for people.

All of them read the book alone, except for `session start`, which writes into it.
"""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from hourbook.cli import exit_codes
from hourbook.cli.open_book import open_book
from hourbook.cli.options import HomeOption, JsonOption, WriterOption
from hourbook.cli.out import emit, emit_json, emit_rows
from hourbook.home import find_home
from hourbook.tree_status import check_running
from hourbook.words import typed_text
from protocols import errors

__all__ = ["context", "session_list", "session_start", "session_summary", "summary"]

Format = Literal["markdown", "json", "compact"]


def context(
    *,
    format: Format = "markdown",  # noqa: A002 - the option's name
    json: JsonOption = False,
    out: Annotated[Path | None, Parameter(show_default=False)] = None,
    every: Annotated[float | None, Parameter(show_default=False)] = None,
    home: HomeOption = None,
) -> int:
    """Print what an agent should know: actions, state, decisions, shared keys, who is there.

    At most 16 000 characters. With `--out` it goes into a file, which is replaced in one step; with
    `--every` too, again and again, until Ctrl-C: whenever the book has grown, and only then.

    Example: `hourbook context --out context.md --every 0.1`

    Parameters
    ----------
    format:
        `markdown`, `compact` (a line each), or `json` (also `--json`).
    out:
        The file to write, instead of standard output. One that is there keeps its mode.
    every:
        The least time between two refreshes (seconds, 0.001 or more).
    """
    from hourbook.book.digest import DigestLimits  # noqa: PLC0415 - completion needs no database
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - the same
    from hourbook.book.stamps import StampSource  # noqa: PLC0415 - the same
    from hourbook.context_file import keep_context, read_context, replace_file  # noqa: PLC0415
    from hourbook.context_text import render_digest  # noqa: PLC0415 - the same
    from hourbook.timebase import SystemTimebase  # noqa: PLC0415 - the same

    form: Format = "json" if json else format
    found = find_home(home)
    if every is not None:
        if out is None:
            raise errors.BadRequest("Expected --out FILE with --every, got none", field="out")
        check_running(found)
        keep_context(found, out, form, every)
    now_ns = StampSource(found, SystemTimebase()).time_ns()
    with BookReader(found) as reader:
        text = render_digest(read_context(reader, DigestLimits(), now_ns), form)
    if out is None:
        emit(text.rstrip("\n"))
    else:
        replace_file(out, text)
    return exit_codes.OK


def summary(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """Print recent actions, the state of each entity and decisions, of the last 20 000 entries.

    Example: `hourbook summary --json | jq '.decisions[].entity'`
    """
    return _summarise(None, json=json, home=home)


def session_start(
    name: str,
    purpose: str = "",
    /,
    *,
    writer: WriterOption = "cli",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Begin a session, or go on with one: what `log` writes next is in it.

    Example: `hourbook session start infrastructure-work "Move the API to FastAPI"`

    Parameters
    ----------
    name:
        Of the session: `[a-z0-9._-]{1,64}`.
    purpose:
        What it is for.
    """
    from hourbook.book.render import entry_json  # noqa: PLC0415 - completion needs no database
    from hourbook.cli.book_text import entry_lines  # noqa: PLC0415 - the same

    with open_book(writer, home) as book:
        entry = book.start_session(typed_text(name), typed_text(purpose))
    if json:
        emit_json(entry_json(entry))
    else:
        for line in entry_lines(entry):
            emit(line)
    return exit_codes.OK


def session_list(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """List the sessions that entries were written in, the last written first.

    Example: `hourbook session list --json | jq -r '.sessions[0].name'`
    """
    from hourbook.book.digest import list_sessions  # noqa: PLC0415 - completion needs no database
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - the same
    from hourbook.cli.live_text import session_lines  # noqa: PLC0415 - the same
    from hourbook.context_text import session_json  # noqa: PLC0415 - the same

    with BookReader(find_home(home)) as reader:
        sessions = reader.query(list_sessions)
    if json:
        emit_json({"sessions": [session_json(each) for each in sessions]})
    else:
        emit_rows(session_lines(sessions))
    return exit_codes.OK


def session_summary(
    name: str | None = None, /, *, json: JsonOption = False, home: HomeOption = None
) -> int:
    """Print recent actions, the state of each entity and decisions of one session.

    Example: `hourbook session summary infrastructure-work`

    Parameters
    ----------
    name:
        Of the session; without it, the one that was written in last.
    """
    from hourbook.book.digest import list_sessions  # noqa: PLC0415 - completion needs no database
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - the same

    if name is None:
        with BookReader(find_home(home)) as reader:
            sessions = reader.query(list_sessions)
        if not sessions:
            raise errors.UnknownName(
                "Expected a session, got none: none was ever started",
                field="session",
                hint="see `hourbook session start --help`",
            )
        name = sessions[0].name
    return _summarise(typed_text(name), json=json, home=home)


def _summarise(session: str | None, *, json: bool, home: str | None) -> int:
    from hourbook.book.digest import SUMMARY_LIMITS, digest_of  # noqa: PLC0415 - as above
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - the same
    from hourbook.book.stamps import StampSource  # noqa: PLC0415 - the same
    from hourbook.context_text import digest_json, render_digest  # noqa: PLC0415 - the same
    from hourbook.timebase import SystemTimebase  # noqa: PLC0415 - the same

    which = find_home(home)
    now_ns = StampSource(which, SystemTimebase()).time_ns()
    with BookReader(which) as reader:
        found = reader.query(lambda opened: digest_of(opened, session, SUMMARY_LIMITS, now_ns))
    if json:
        emit_json(digest_json(found))
    else:
        emit(render_digest(found, "markdown").rstrip("\n"))
    return exit_codes.OK
