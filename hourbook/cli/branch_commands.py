"""`branch create | list | log | diff | merge | delete`: lines of the book beside main."""

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from hourbook.cli import exit_codes
from hourbook.cli.book_text import entry_line
from hourbook.cli.open_book import open_book
from hourbook.cli.options import AtOption, HomeOption, JsonOption, WriterOption
from hourbook.cli.out import emit, emit_json, terminal_width
from hourbook.home import Home, find_home
from hourbook.words import counted, typed_text

if TYPE_CHECKING:
    from hourbook.book.branches import BranchDiff
    from protocols.entry import Entry

__all__ = ["create", "delete", "diff", "list_all", "log", "merge"]


def create(
    name: str,
    /,
    *,
    at: AtOption = None,
    parent: Annotated[str, Parameter(name="--from")] = "main",
    writer: WriterOption = "cli",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Begin a branch. What is written on it is hidden from all who do not ask for it.

    Example: `hourbook branch create plan-b && hourbook log tried x --branch plan-b`

    Parameters
    ----------
    name:
        Of the branch.
    parent:
        The branch that it comes from.
    """
    with open_book(writer, home) as book:
        done = book.create_branch(name, at=at and typed_text(at), parent=parent)
    if json:
        emit_json({"name": name, **msgspec.structs.asdict(done)})
    else:
        emit(f"branch {name} begins after entry {done.base_seq} (entry {done.seq})")
    return exit_codes.OK


def list_all(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """List every branch that there ever was.

    Example: `hourbook branch list --json | jq -r '.branches[].name'`
    """
    from hourbook.book.branches import list_branches  # noqa: PLC0415 - completion: no database
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - the same
    from hourbook.cli.branch_text import branch_lines  # noqa: PLC0415 - the same

    with BookReader(find_home(home)) as reader:
        found = reader.query(list_branches)
    if json:
        emit_json({"branches": [msgspec.structs.asdict(branch) for branch in found]})
    else:
        _emit_lines(branch_lines(found))
    return exit_codes.OK


def log(
    name: str,
    /,
    *,
    count: Annotated[
        int, Parameter(name=["--count", "-n"], validator=Number(gte=0, lte=1_000_000))
    ] = 10,
    at: AtOption = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Print the newest entries as the branch sees them: its own after its parent's.

    Example: `hourbook branch log plan-b -n 20`

    Parameters
    ----------
    name:
        Of the branch.
    count:
        How many.
    """
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - completion needs no database

    found = find_home(home)
    until_seq = _seq_at(found, at)
    with BookReader(found) as reader:
        for entry in reader.tail(count, branch=name, until_seq=until_seq):
            _emit_entry(entry, json=json)
    return exit_codes.OK


def diff(
    a: str, b: str, /, *, at: AtOption = None, json: JsonOption = False, home: HomeOption = None
) -> int:
    """Print what two branches do not share, and which entities both have written about.

    Example: `hourbook branch diff main plan-b`

    Parameters
    ----------
    a:
        Name of a branch, or main.
    b:
        Name of another.
    """
    from hourbook.book.branches import diff_branches  # noqa: PLC0415 - completion: no database
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - the same
    from hourbook.cli.branch_text import diff_lines  # noqa: PLC0415 - the same

    where = find_home(home)
    until_seq = _seq_at(where, at)
    with BookReader(where) as reader:
        found = reader.query(lambda connection: diff_branches(connection, a, b, until_seq))
    if json:
        emit_json(_diff_json(found))
    else:
        _emit_lines(diff_lines(found))
    return exit_codes.OK


def merge(
    name: str,
    /,
    *,
    strategy: Annotated[
        Literal["ours", "theirs", "both"] | None, Parameter(show_default=False)
    ] = None,
    writer: WriterOption = "cli",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Bring what was written on a branch to its parent.

    Example: `hourbook branch merge plan-b --strategy theirs`

    Parameters
    ----------
    name:
        Of the branch.
    strategy:
        For entities that both have written about: `ours` leaves the branch's entries about them
        behind, `theirs` brings them along, `both` does so with the tag `conflict`. Without it such
        a merge is refused, and the entities are named.
    """
    from hourbook.cli.branch_text import merge_lines  # noqa: PLC0415 - completion: no database

    with open_book(writer, home) as book:
        done = book.merge_branch(name, strategy or "")
    if json:
        emit_json({"name": name, **msgspec.structs.asdict(done)})
    else:
        _emit_lines(merge_lines(name, done))
    return exit_codes.OK


def delete(
    name: str,
    /,
    *,
    writer: WriterOption = "cli",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """End a branch: its entries stay in the book, its name is free.

    Example: `hourbook branch delete plan-b`

    Parameters
    ----------
    name:
        Of the branch.
    """
    with open_book(writer, home) as book:
        done = book.delete_branch(name)
    if json:
        emit_json({"name": name, **msgspec.structs.asdict(done)})
    else:
        left = counted(done.unmerged, "entry", "entries")
        emit(f"deleted branch {name} (entry {done.seq}); {left} never merged")
    return exit_codes.OK


def _seq_at(home: Home, at: str | None) -> int | None:
    from hourbook.book.book_view import seq_at  # noqa: PLC0415 - needed here alone

    return None if at is None else seq_at(home, typed_text(at))


def _diff_json(diff: "BranchDiff") -> dict[str, object]:
    from hourbook.book.render import entry_json  # noqa: PLC0415 - completion: no database

    return {
        "a": diff.a,
        "b": diff.b,
        "base_seq": diff.base_seq,
        "only_a": [entry_json(entry) for entry in diff.only_a],
        "only_b": [entry_json(entry) for entry in diff.only_b],
        "conflicts": diff.conflicts,
    }


def _emit_entry(entry: "Entry", *, json: bool) -> None:
    from hourbook.book.render import entry_json  # noqa: PLC0415 - completion: no database

    if json:
        emit_json(entry_json(entry))
    else:
        emit(entry_line(entry, terminal_width()))


def _emit_lines(lines: list[str]) -> None:
    for line in lines:
        emit(line)
