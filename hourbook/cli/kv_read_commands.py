"""`kv get | keys | history`: what the store holds, and held.

They read the files and ask nobody: a tree need not run.
"""

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from hourbook.cli import exit_codes
from hourbook.cli.options import AtOption, BranchOption, HomeOption, JsonOption
from hourbook.cli.out import emit, emit_json, emit_rows, terminal_width
from hourbook.home import find_home
from hourbook.words import typed_text, visible
from protocols import errors
from protocols.kv_keys import check_key, check_namespace

if TYPE_CHECKING:
    from hourbook.book.store.files import StoreFiles
    from hourbook.book.store.reading import KeyReader
    from hourbook.book.store.views import ViewReader

__all__ = ["get", "history", "keys"]

Flag = Annotated[bool, Parameter(negative="", show_default=False)]


def get(
    namespace: str,
    key: str,
    /,
    *,
    version: Annotated[int | None, Parameter(validator=Number(gte=1), show_default=False)] = None,
    at: AtOption = None,
    branch: BranchOption = "",
    raw: Flag = False,
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Print what a key holds: text on one line, anything else as JSON. Exit code 1: not there.

    Examples: `hourbook kv get config limits --json | jq .value`,
    `hourbook kv get config script --raw | sh`

    Parameters
    ----------
    namespace:
        Of the key.
    key:
        Its name.
    version:
        What it held at this version (see `kv history`).
    raw:
        Write text and bytes exactly as they are, and no line end.
    """
    from hourbook.cli.kv_text import item_json, raw_value, value_text  # noqa: PLC0415 - the same

    _refuse_both("--raw", raw, "--json", json)
    name = _checked(namespace, key)
    files, number = _open(home, branch)
    if version is None:
        item = _reader(files, namespace, number, at).find(name)
    else:
        past = _view(files, namespace, number, at).version(name, version)
        item = past.item if past.is_present else None
    if item is None:
        sys.stderr.write(f"hourbook: nothing under {visible(f'{namespace}/{name}')}\n")
        return exit_codes.FOUND_WRONG
    if json:
        emit_json(item_json(namespace, item))
    elif raw:
        sys.stdout.buffer.write(raw_value(item.value))
    else:
        emit(value_text(item.value))
    return exit_codes.OK


def keys(
    namespace: str,
    glob: str = "*",
    /,
    *,
    values: Flag = False,
    count: Flag = False,
    at: AtOption = None,
    branch: BranchOption = "",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """List the keys that fit a glob, one a line.

    Example: `hourbook kv keys task_results 'build/*' --values`

    Parameters
    ----------
    namespace:
        Of the keys.
    glob:
        `*` is any text, `?` one character, `[a-z]` one of a set, `[!a-z]` none of it.
    values:
        Print the values too.
    count:
        Print only how many there are.
    """
    from hourbook.book.render import json_value  # noqa: PLC0415 - completion needs none
    from hourbook.book.store.glob import parse_glob  # noqa: PLC0415 - the same
    from hourbook.cli.kv_text import pair_line  # noqa: PLC0415 - the same

    _refuse_both("--values", values, "--count", count)
    check_namespace(namespace)
    pattern = parse_glob(typed_text(glob))
    files, number = _open(home, branch)
    reader = _reader(files, namespace, number, at)
    if count:
        found = reader.count(pattern)
        emit_json({"count": found}) if json else emit(str(found))
    elif values and json:
        for key, value in reader.scan(pattern):
            emit_json({"key": key, "value": json_value(value)})
    elif values:
        width = terminal_width()
        emit_rows(pair_line(key, value, width) for key, value in reader.scan(pattern))
    else:
        for key in reader.keys(pattern):
            emit_json({"key": key}) if json else emit(visible(key))
    return exit_codes.OK


def history(
    namespace: str,
    key: str,
    /,
    *,
    count: Annotated[
        int, Parameter(name=["--count", "-n"], validator=Number(gte=1, lte=1_000_000))
    ] = 10,
    before: Annotated[int | None, Parameter(validator=Number(gte=1), show_default=False)] = None,
    branch: BranchOption = "",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Print what was done to a key, the newest first.

    Of keys of type transient and cached no past is kept.

    Example: `hourbook kv history config limits -n 3`

    Parameters
    ----------
    namespace:
        Of the key.
    key:
        Its name.
    count:
        How many writes.
    before:
        Only versions below this one, to read on.
    """
    from hourbook.cli.kv_text import version_json, version_line  # noqa: PLC0415 - completion: none

    name = _checked(namespace, key)
    files, number = _open(home, branch)
    width = terminal_width()
    for version in _view(files, namespace, number, None).history(name, count, before):
        if json:
            emit_json(version_json(version))
        else:
            emit(version_line(version, width))
    return exit_codes.OK


def _refuse_both(one: str, is_one: bool, other: str, is_other: bool) -> None:  # noqa: FBT001 - two flags
    if is_one and is_other:
        raise errors.BadRequest(f"Expected {one} or {other}, got both")


def _checked(namespace: str, key: str) -> str:
    check_namespace(namespace)
    name = typed_text(key)
    check_key(name)
    return name


def _open(home: str | None, branch: str) -> "tuple[StoreFiles, int]":
    """Return the files of the store, and the number of a branch."""
    from hourbook.book.branches import MAIN, branch_number  # noqa: PLC0415 - completion: no database
    from hourbook.book.store.files import StoreFiles  # noqa: PLC0415 - the same
    from hourbook.book.store.views import read_book  # noqa: PLC0415 - the same

    files = StoreFiles(find_home(home))
    if not branch:
        return files, MAIN
    return files, read_book(files, lambda connection: branch_number(connection, branch))


def _reader(
    files: "StoreFiles", namespace: str, branch: int, at: str | None
) -> "KeyReader | ViewReader":
    from hourbook.book.store.reading import KeyReader  # noqa: PLC0415 - completion: no database

    if at is None and not branch:
        return KeyReader(files, namespace)
    return _view(files, namespace, branch, at)


def _view(files: "StoreFiles", namespace: str, branch: int, at: str | None) -> "ViewReader":
    from hourbook.book.store.views import ViewReader, view_at  # noqa: PLC0415 - the same

    if at is None:
        return ViewReader(files, namespace, branch)
    return view_at(files, namespace, typed_text(at), branch)
