"""`instances`, `diff`, `updates`, `follow`: who is there, and what is new.

`instances` and `diff` read the book, and ask the tree only where it runs. `follow` and `updates`
need it: a feed outlives its tree, and would wait for the next one without a word.
"""

import sys
import time
from typing import Annotated

import msgspec
from cyclopts import Parameter

from hourbook.cli import exit_codes
from hourbook.cli.open_book import open_book
from hourbook.cli.options import BranchOption, HomeOption, JsonOption
from hourbook.cli.out import emit, emit_json, emit_rows, terminal_width
from hourbook.home import Home, find_home
from hourbook.tree_status import check_running
from hourbook.words import typed_text
from protocols.entry import Entry

__all__ = ["diff", "follow", "instances", "updates"]

Several = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]


def instances(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """List who is there and who was: alive, pid, last seen, how far each has read.

    Example: `hourbook instances --json | jq -c '.instances[] | select(.alive)'`
    """
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - completion needs no database
    from hourbook.cli.live_text import instance_json, instance_lines  # noqa: PLC0415 - the same
    from hourbook.instances import instance_statuses  # noqa: PLC0415 - the same
    from hourbook.process_identity import own_pid_ns  # noqa: PLC0415 - the same

    found = find_home(home)
    with BookReader(found) as reader:
        statuses = instance_statuses(found, reader)
    if json:
        emit_json({"instances": [instance_json(status) for status in statuses]})
    else:
        emit_rows(instance_lines(statuses, time.time_ns(), own_pid_ns()))
    return exit_codes.OK


def diff(a: str, b: str, /, *, json: JsonOption = False, home: HomeOption = None) -> int:
    """Compare two instances: what one has read and the other has not, and what both wrote.

    Example: `hourbook diff planner builder`

    Parameters
    ----------
    a:
        Name of an instance.
    b:
        Name of another.
    """
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - completion needs no database
    from hourbook.cli.live_text import diff_lines  # noqa: PLC0415 - the same
    from hourbook.instances import compare_instances  # noqa: PLC0415 - the same

    found = find_home(home)
    with BookReader(found) as reader:
        compared = compare_instances(found, reader, typed_text(a), typed_text(b))
    if json:
        emit_json(msgspec.to_builtins(compared))
    else:
        for line in diff_lines(compared):
            emit(line)
    return exit_codes.OK


def updates(
    name: str, /, *, since: str | None = None, json: JsonOption = False, home: HomeOption = None
) -> int:
    """Print what NAME has not read yet, and remember that it now has. Then end.

    The first time there is nothing to print: a name begins to read where it first asked.

    Example: `hourbook updates planner --json`

    Parameters
    ----------
    name:
        Whose place in the book it is; nobody else who lives may hold the name.
    since:
        Read again from here: the last seq already seen, or a time.
    """
    with (
        open_book(name, home) as book,
        book.updates(since and typed_text(since)) as waiting,
    ):
        while (entry := waiting.poll(0.0)) is not None:
            _print_entry(entry, json=json)
    return exit_codes.OK


def follow(
    *,
    since: str | None = None,
    action: Several = (),
    entity: Several = (),
    writer: Several = (),
    kind: Several = (),
    tag: Several = (),
    session: Several = (),
    branch: BranchOption = "",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Print each new entry as it is committed, until Ctrl-C. Nothing is missed.

    Filters are compared as they stand. Given several times, one means any of its values; different
    ones must all fit.

    Example: `hourbook follow --since 0 --action deployed --action decided --json`

    Parameters
    ----------
    since:
        Begin after this: the last seq already seen, or a time such as 2026-11-21T01:35:32Z.
    action:
        Only entries with this action.
    entity:
        Only entries with this entity.
    writer:
        Only what this instance wrote.
    kind:
        Only entries of this kind.
    tag:
        Only entries with this tag.
    session:
        Only what was written in this session.
    """
    from hourbook.book.entry_filter import make_filter  # noqa: PLC0415 - completion needs none
    from hourbook.faces.feed import Follower  # noqa: PLC0415 - the same

    found = find_home(home)
    check_running(found)
    wanted = make_filter(
        action=[typed_text(each) for each in action],
        entity=[typed_text(each) for each in entity],
        writer=[typed_text(each) for each in writer],
        kind=[typed_text(each) for each in kind],
        tag=[typed_text(each) for each in tag],
        session=[typed_text(each) for each in session],
        branch=_branch_number(found, branch),
    )
    begin = _seq_of(found, since)
    if begin is not None and begin > (head_seq := _head_seq(found)):
        sys.stderr.write(
            f"hourbook: the book ends at {head_seq}; waiting for what follows {begin}\n"
        )
    for entry in Follower(found, begin, wanted):
        _print_entry(entry, json=json)
    return exit_codes.OK


def _branch_number(home: Home, branch: str) -> int:
    from hourbook.book.branches import MAIN, branch_number  # noqa: PLC0415 - needs no database else
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - the same

    if not branch:
        return MAIN
    with BookReader(home) as reader:
        return reader.query(lambda connection: branch_number(connection, branch))


def _seq_of(home: Home, since: str | None) -> int | None:
    """Return the seq after which to begin; None for now."""
    from hourbook.book.as_of import seq_since  # noqa: PLC0415 - completion needs no database
    from hourbook.book.moment import parse_moment  # noqa: PLC0415 - the same
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - the same

    if since is None:
        return None
    moment = parse_moment(typed_text(since), "since")
    with BookReader(home) as reader:
        return reader.query(lambda connection: seq_since(home, connection, moment))


def _head_seq(home: Home) -> int:
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - completion needs no database

    with BookReader(home) as reader:
        return reader.head_seq()


def _print_entry(entry: Entry, *, json: bool) -> None:
    from hourbook.book.render import entry_json  # noqa: PLC0415 - completion needs no database
    from hourbook.cli.book_text import entry_line  # noqa: PLC0415 - the same

    if json:
        emit_json(entry_json(entry))
    else:
        emit(entry_line(entry, terminal_width()))
