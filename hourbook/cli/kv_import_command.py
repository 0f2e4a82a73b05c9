"""`kv import FILE` and `kv schema set|show|clear NS`: what comes from files."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from hourbook.cli import exit_codes
from hourbook.cli.book_text import parse_details
from hourbook.cli.options import HomeOption, JsonOption, WriterOption
from hourbook.cli.out import emit, emit_json
from hourbook.home import find_home
from hourbook.tree_status import check_running
from hourbook.words import counted, visible
from protocols import errors

if TYPE_CHECKING:
    from hourbook.faces.store_import import SharedImport

__all__ = ["import_", "schema"]

FILE_BYTES_MAX = 256 << 20
PROBLEMS_SHOWN = 20


def import_(
    file: Path,
    /,
    *,
    dry_run: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    writer: WriterOption = "cli",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Bring the keys of a `shared-memory.json` into the store, each once.

    Nothing that is there is overwritten, and run again it changes nothing. What is not understood
    is reported, and kept in namespace `imported`. Exits 1 where there is anything to report.

    Example: `hourbook kv import .hive-mind/shared-memory.json --dry-run`

    Parameters
    ----------
    file:
        JSON: entries by name, by namespace and name, or a list of them.
    dry_run:
        Only say what would become of them.
    """
    import msgspec  # noqa: PLC0415 - completion needs none

    from hourbook.book.store.foreign import read_shared_memory  # noqa: PLC0415 - the same
    from hourbook.faces.book import connect  # noqa: PLC0415 - the same
    from hourbook.faces.store_import import import_keys  # noqa: PLC0415 - the same

    found = find_home(home)
    if not dry_run:
        check_running(found)
    data = _read(file)
    with _naming(file):
        keys = read_shared_memory(data, time.time_ns())
    with connect(writer, found, shared=True) as book:
        report = import_keys(book, keys, dry_run=dry_run)
    if json:
        emit_json(msgspec.to_builtins(report))
    else:
        for line in _lines(report, dry_run=dry_run):
            emit(line)
    return exit_codes.FOUND_WRONG if report.problems else exit_codes.OK


def schema(
    action: Literal["set", "show", "clear"],
    namespace: str,
    file: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    writer: WriterOption = "cli",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Set, show or clear the JSON Schema that new values of a namespace must fit.

    Example: `hourbook kv schema set config limits.schema.json`

    Parameters
    ----------
    action:
        What to do.
    namespace:
        Whose values.
    file:
        Of `set`: the schema; `-` is standard input.
    """
    from hourbook.faces.book import connect  # noqa: PLC0415 - completion needs no sockets

    if (file is not None) != (action == "set"):
        raise errors.BadRequest("Expected a FILE with `set`, and with nothing else", field="file")
    said = None
    if file is not None:
        data = sys.stdin.buffer.read(FILE_BYTES_MAX) if str(file) == "-" else _read(file)
        with _naming(file):
            said = parse_details(data.decode("utf-8", "surrogateescape"), is_json=True, what="FILE")
    found = find_home(home)
    if action != "show":
        check_running(found)
    with connect(writer, found, shared=True) as book:
        store = book.store(namespace)
        if action != "show":
            with _naming(file):
                store.set_schema(said)
        kept = store.schema()
    if json:
        emit_json({"namespace": namespace, "schema": kept})
    elif kept is None:
        emit(f"{namespace}: any value fits")
    else:
        import msgspec  # noqa: PLC0415 - the same

        emit(visible(msgspec.json.encode(kept).decode()))
    return exit_codes.OK


@contextlib.contextmanager
def _naming(file: Path | None) -> Iterator[None]:
    """Say of what is refused in which file it stood; None: in none."""
    try:
        yield
    except errors.BadRequest as error:
        if file is None:
            raise
        raise errors.BadRequest(f"{error}, at {visible(str(file))}", field="file") from None


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected a file of at most {FILE_BYTES_MAX} bytes, got a larger one, at {file}",
            field="file",
        )
    return data


def _lines(report: "SharedImport", *, dry_run: bool) -> list[str]:
    done = "would be imported" if dry_run else "imported"
    counts = (
        f"{counted(report.total, 'key', 'keys')}: {report.imported} {done},"
        f" {report.unchanged} unchanged, {report.kept} kept as they are here,"
        f" {report.expired} expired, {report.preserved} not understood and preserved"
    )
    if report.refused:
        counts += f", {report.refused} refused"
    shown = report.problems[:PROBLEMS_SHOWN]
    lines = [counts]
    lines += [f"  {visible(each['path'])}: {visible(each['problem'])}" for each in shown]
    if len(report.problems) > len(shown):
        lines.append(f"  and {len(report.problems) - len(shown)} more (--json has them)")
    return lines
