"""`query` and `schema`: the book in SQL, read-only, without a running tree."""

import sys
from typing import Annotated, Final

from cyclopts import Parameter

from hourbook.cli import exit_codes
from hourbook.cli.options import AtOption, HomeOption, JsonOption
from hourbook.cli.out import emit, emit_json, is_terminal, terminal_width
from hourbook.home import find_home
from hourbook.words import typed_text, visible
from protocols import errors

__all__ = ["query", "schema"]

LIMIT: Final = 10_000
TIMEOUT_S: Final = 5.0


def query(
    sql: str | None = None,
    /,
    *,
    stdin: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    at: AtOption = None,
    branch: Annotated[str | None, Parameter(show_default=False)] = None,
    param: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    limit: int = LIMIT,
    timeout: float = TIMEOUT_S,
    csv: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    table: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Ask the book in SQL: one SELECT over the views that `hourbook schema` prints.

    Examples: `hourbook query "SELECT entity, max(time) FROM entries GROUP BY entity"`,
    `hourbook query "SELECT details->>'version' FROM entries WHERE entity = :e" --param e=api`

    Parameters
    ----------
    sql:
        The SELECT.
    stdin:
        Read it from standard input instead.
    branch:
        Only entries that this branch, or `main`, sees; without it, those of every branch.
    param:
        A value for `:NAME` in it: `NAME=TEXT`, or `NAME:=JSON` for a number or null.
    limit:
        How many rows at most (0 to 1 000 000); a note on stderr says when there are more.
    timeout:
        How long it may take (seconds, up to 60).
    csv:
        Print CSV: a line of names, then one line a row.
    table:
        Print a table for people; so it is without this, too.
    """
    if sum((csv, table, json)) > 1:
        raise errors.BadRequest("Expected one of --json, --csv and --table, got several")
    if (sql is None) != stdin:
        given = "both" if stdin else "neither"
        raise errors.BadRequest(f"Expected a SELECT or --stdin, got {given}", field="sql")
    from hourbook.book.book_view import seq_at  # noqa: PLC0415 - the same
    from hourbook.book.sql import query as queries  # noqa: PLC0415 - completion needs no database
    from hourbook.book.sql.guard import SQL_BYTES_MAX  # noqa: PLC0415 - the same
    from hourbook.cli import query_text  # noqa: PLC0415 - the same
    from hourbook.cli.confinement import Confinement  # noqa: PLC0415 - the same

    found = find_home(home)
    text = sys.stdin.read(SQL_BYTES_MAX + 1) if sql is None else typed_text(sql)
    values = query_text.parse_parameters(param)
    queries.check_limits(limit, timeout)
    with Confinement(timeout):
        at_seq = None if at is None else seq_at(found, typed_text(at))
        result = queries.run_query(
            found, text, values, at_seq=at_seq, branch=branch, limit=limit, timeout_s=timeout
        )
    if json:
        emit_json(query_text.result_json(result))
    elif csv:
        lines = query_text.csv_text(result).removesuffix("\n")
        emit("\n".join(map(visible, lines.split("\n"))) if is_terminal() else lines)
    else:
        emit("\n".join(query_text.table_lines(result, terminal_width() or 0)))
    if result.is_truncated:
        sys.stderr.write(f"hourbook: only the first {limit} rows; --limit shows more\n")
    return exit_codes.OK


def schema(*, json: JsonOption = False) -> int:
    """Print the views that `hourbook query` reads, with the type and meaning of each column.

    Example: `hourbook schema --json | jq -r '.views[].name'`
    """
    from hourbook.cli import query_text  # noqa: PLC0415 - completion needs no database

    if json:
        emit_json(query_text.schema_json())
    else:
        emit("\n".join(query_text.schema_lines()))
    return exit_codes.OK
