"""`log` and `tail`: the book, for people and for scripts.

Reading opens the database read-only and needs no running tree; only `log` and `tail -f` speak to
it.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from hourbook.cli import exit_codes
from hourbook.cli.book_text import entry_line, entry_lines, parse_details
from hourbook.cli.open_book import open_book
from hourbook.cli.options import AtOption, BranchOption, HomeOption, JsonOption, WriterOption
from hourbook.cli.out import emit, emit_json, terminal_width
from hourbook.home import Home, find_home
from hourbook.tree_status import check_running
from hourbook.words import typed_text
from protocols import errors
from protocols.entry import ENTRY_BYTES_MAX, Entry

__all__ = ["log", "tail"]


def log(
    action: str,
    entity: str,
    details: str | None = None,
    /,
    *,
    tag: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    stdin: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    details_json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    writer: WriterOption = "cli",
    session: Annotated[str | None, Parameter(show_default=False)] = None,
    branch: BranchOption = "",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Append an entry; return once it is on disk, and print it with its hash and parent.

    Example: `hourbook log deployed api.example "FastAPI on 8080" --tag production`

    Parameters
    ----------
    action:
        What was done.
    entity:
        To what.
    details:
        Anything else, as text.
    tag:
        For finding it again; may be given several times.
    stdin:
        Read DETAILS from standard input instead (up to 16 MiB).
    details_json:
        DETAILS is JSON and is kept as a value: `'{"port": 8080}'`.
    session:
        The session to write in; without it, that of this writer's last entry. "" is none.
    """
    if stdin and details is not None:
        raise errors.BadRequest("Expected DETAILS or --stdin, got both", field="details")
    text = _read_stdin() if stdin else details and typed_text(details)
    value = parse_details(text, is_json=details_json)
    with open_book(writer, home, session=session or "", branch=branch) as book:
        if session is None:
            book.resume_session()
        tags = [typed_text(each) for each in tag]
        entry = book.log(typed_text(action), typed_text(entity), value, tags=tags)
    _print_entry(entry, json=json, lines=entry_lines)
    return exit_codes.OK


def tail(
    *,
    count: Annotated[
        int, Parameter(name=["--count", "-n"], validator=Number(gte=0, lte=1_000_000))
    ] = 10,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], negative="", show_default=False)
    ] = False,
    at: AtOption = None,
    branch: BranchOption = "",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Print the newest entries, oldest first, one a line.

    Example: `hourbook tail -n 100 --json | jq .entity`

    Parameters
    ----------
    count:
        How many.
    follow:
        Then print each new entry as it is committed, until Ctrl-C. Nothing is missed.
    """
    printed = 0
    if follow and at is not None:
        raise errors.BadRequest("Expected --follow or --at, got both", field="at")
    moment = at and typed_text(at)
    for entry in _entries(count, find_home(home), branch, follow=follow, at=moment):
        _print_entry(entry, json=json, lines=lambda e: [entry_line(e, terminal_width())])
        printed += 1
    if count and not printed and not json:
        sys.stderr.write("hourbook: the book is empty\n")
    return exit_codes.OK


def _entries(
    count: int, home: Home, branch: str, *, follow: bool, at: str | None
) -> Iterator[Entry]:
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - completion needs no database

    if at is not None:
        from hourbook.book.book_view import view_at  # noqa: PLC0415 - needed here alone

        with BookReader(home) as reader:
            yield from view_at(home, reader, at, branch).tail(count)
        return
    if not follow:
        with BookReader(home) as reader:
            yield from reader.tail(count, branch=branch)
        return
    from hourbook.faces.book import connect  # noqa: PLC0415 - plain reading needs no sockets

    # A feed outlives its tree, and would wait for the next one without a word.
    check_running(home)
    with connect("cli", home, shared=True, branch=branch) as book:
        newest = book.tail(max(1, count))
        yield from newest[len(newest) - count :] if count else ()
        yield from book.follow(since=newest[-1].seq if newest else 0)


def _read_stdin() -> str:
    """Return standard input; no more of it than shows that it is too long."""
    return sys.stdin.buffer.read(ENTRY_BYTES_MAX + 1).decode("utf-8", "surrogateescape")


def _print_entry(entry: Entry, *, json: bool, lines: Callable[[Entry], list[str]]) -> None:
    from hourbook.book.render import entry_json  # noqa: PLC0415 - completion needs no database

    if json:
        emit_json(entry_json(entry))
    else:
        for line in lines(entry):
            emit(line)
