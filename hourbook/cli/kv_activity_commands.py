"""`kv stats | watch | locks`: what is in the store, what is done to it, and who holds it.

`stats` reads the files, and what was counted only where a tree runs; the others need one.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from hourbook.cli import exit_codes
from hourbook.cli.options import HomeOption, JsonOption
from hourbook.cli.out import emit, emit_json, emit_rows, terminal_width
from hourbook.home import find_home
from hourbook.tree_status import check_running
from hourbook.words import typed_text
from protocols import errors
from protocols.kv_keys import check_namespace

if TYPE_CHECKING:
    from hourbook.home import Home
    from protocols.kv_figures import StoreFigures

__all__ = ["locks", "stats", "watch"]


def stats(namespace: str = "", /, *, json: JsonOption = False, home: HomeOption = None) -> int:
    """Print which namespaces there are; or of one what all processes have done with it, too.

    Keys by type, their size and locks; and of one, while journal_writer runs, reads, hits, writes,
    watches.

    Examples: `hourbook kv stats`, `hourbook kv stats app`

    Parameters
    ----------
    namespace:
        Of the keys; without it a line for each.
    """
    from hourbook.book.store.files import StoreFiles  # noqa: PLC0415 - completion: no database
    from hourbook.cli import kv_text  # noqa: PLC0415 - the same
    from hourbook.faces.store_stats import gather_holding, gather_holdings  # noqa: PLC0415 - the same

    if namespace:
        check_namespace(namespace)
    files = StoreFiles(find_home(home))
    if not namespace:
        holdings = gather_holdings(files)
        if json:
            for each in holdings:
                emit_json(kv_text.holding_json(each))
        else:
            emit_rows(kv_text.holding_lines(holdings))
        return exit_codes.OK
    held, of_all = gather_holding(files, namespace), _figures(files.home, namespace)
    if json:
        emit_json(kv_text.stats_json(held, of_all))
    else:
        for line in kv_text.stats_lines(held, of_all):
            emit(line)
    return exit_codes.OK


def watch(
    namespace: str,
    glob: str = "*",
    /,
    *,
    since: Annotated[str | None, Parameter(show_default=False)] = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Print what is done to the keys that fit, and to their locks, as it happens, until Ctrl-C.

    Keys of type transient and cached are not journaled, and so not shown.

    Example: `hourbook kv watch task_results 'build/*' --json`

    Parameters
    ----------
    namespace:
        Of the keys.
    glob:
        As of `kv keys`.
    since:
        Begin after this: the last seq already seen, or a time such as 2026-11-21T01:35:32Z.
    """
    from hourbook.book.store.glob import parse_glob  # noqa: PLC0415 - completion needs none
    from hourbook.cli.kv_text import event_json, event_line  # noqa: PLC0415 - the same
    from hourbook.faces.watch import Watch  # noqa: PLC0415 - the same

    check_namespace(namespace)
    pattern = parse_glob(typed_text(glob))
    found = find_home(home)
    check_running(found)
    for event in Watch(found, namespace, pattern, None if since is None else typed_text(since)):
        if json:
            emit_json(event_json(event))
        else:
            emit(event_line(event, terminal_width()))
    return exit_codes.OK


def locks(namespace: str = "", /, *, json: JsonOption = False, home: HomeOption = None) -> int:
    """List the locks that are held: by whom, under which token, and who waits.

    Example: `hourbook kv locks app`

    Parameters
    ----------
    namespace:
        Only its locks.
    """
    from hourbook.cli.kv_text import lock_json, lock_lines  # noqa: PLC0415 - completion: none
    from hourbook.link.actor_question import ask_actor  # noqa: PLC0415 - the same
    from protocols.change import JOURNAL_WRITER  # noqa: PLC0415 - the same
    from protocols.kv_messages import ListLocks, Locks  # noqa: PLC0415 - the same

    if namespace:
        check_namespace(namespace)
    found = find_home(home)
    check_running(found)
    held = ask_actor(found, JOURNAL_WRITER, "lock.list", ListLocks(namespace), Locks).locks
    if json:
        emit_json({"locks": [lock_json(lock) for lock in held]})
    else:
        emit_rows(lock_lines(held))
    return exit_codes.OK


def _figures(home: "Home", namespace: str) -> "StoreFigures | None":
    """Return what journal_writer has counted; None where nobody answers."""
    from hourbook.link.actor_question import ask_actor  # noqa: PLC0415 - completion: no sockets
    from protocols.change import JOURNAL_WRITER  # noqa: PLC0415 - the same
    from protocols.kv_figures import FIGURES_KIND, AskFigures, StoreFigures  # noqa: PLC0415

    with suppress(errors.WorldError):
        check_running(home)
        return ask_actor(home, JOURNAL_WRITER, FIGURES_KIND, AskFigures(namespace), StoreFigures)
    return None
