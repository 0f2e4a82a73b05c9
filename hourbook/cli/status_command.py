"""`hourbook status`: the tree as its supervisor sees it, and beside it clock, book and segment.

What can be read without a running tree is shown without one; then the exit code says so.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from hourbook.book.reader import BookReader
from hourbook.book.render import commit_json
from hourbook.cli.clock_text import now_lines
from hourbook.cli.exit_codes import OK, exit_code_of
from hourbook.cli.options import HomeOption, JsonOption
from hourbook.cli.out import emit_json, emit_wrapped
from hourbook.clock_json import now_json
from hourbook.faces.clock import Clock
from hourbook.home import Home, find_home
from hourbook.tree_status import fetch_status
from hourbook.words import age_text, counted, size_text, visible
from protocols import control, errors
from shm import layout, segment

__all__ = ["status"]


def status(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """Print how the tree, the clock and the book are.

    Exits 6 when the tree is not running. `supervisor status` has more columns.

    Example: `hourbook status --json | jq -r .clock.status`
    """
    found = find_home(home)
    problems: list[errors.HourbookError] = []

    def ask(question: Callable[[Home], Any]) -> Any:  # noqa: ANN401 - whatever was asked for
        try:
            return question(found)
        except errors.HourbookError as error:
            problems.append(error)
            return None

    tree = ask(lambda h: fetch_status(h, src="hourbook"))
    reading = ask(lambda h: Clock(h).snapshot())
    seen = _disruptions(tree)
    document = {
        **_tree_json(tree),
        "clock": None if reading is None else {**now_json(reading), "disruptions": seen},
        "book": ask(_book_json),
        "segment": _segment_json(found),
        "problems": [str(problem) for problem in problems],
    }
    if json:
        emit_json(document)
    else:
        clock_lines = [] if reading is None else [*now_lines(reading), *_disruption_lines(seen)]
        emit_wrapped(_lines(tree, clock_lines, document), indent=10)
    return OK if tree is not None else exit_code_of(problems[0])


def _tree_json(tree: control.Status | None) -> dict[str, Any]:
    if tree is None:
        return {"supervisor": None, "actors": []}
    document: dict[str, Any] = msgspec.to_builtins(tree)
    return {"supervisor": document["supervisor"], "actors": document["actors"]}


def _disruptions(tree: control.Status | None) -> dict[str, int] | None:
    """Return what the publisher has seen since it was started, by cause; None: nobody to ask."""
    if tree is None or "shm_publisher" not in tree.snapshots:
        return None
    prefix, suffix = 'publisher_disruptions_total{cause="', '"}'
    return {
        name.removeprefix(prefix).removesuffix(suffix): int(number)
        for name, number in tree.snapshots["shm_publisher"].items()
        if name.startswith(prefix)
    }


def _disruption_lines(seen: dict[str, int] | None) -> list[str]:
    words = ", ".join(f"{cause} {number}" for cause, number in (seen or {}).items() if number)
    return [f"disrupted {words}"] if words else []


def _book_json(home: Home) -> dict[str, Any]:
    with BookReader(home) as book:
        commit = book.head()
    size = home.book_db.stat().st_size
    if commit is None:
        return {"path": str(home.book_db), "size_bytes": size, "seq": 0, "hash": None, "commit": 0}
    head = commit_json(commit)
    return {
        "path": str(home.book_db),
        "size_bytes": size,
        **{name: head[name] for name in ("seq", "hash", "commit")},
    }


def _segment_json(home: Home) -> dict[str, Any] | None:
    try:
        size = home.segment.stat().st_size
    except OSError:
        return None
    return {
        "path": str(home.segment),
        "size_bytes": size,
        "version": layout.VERSION,
        "state": segment.state_of(home.segment),
    }


def _lines(
    tree: control.Status | None, clock_lines: list[str], document: dict[str, Any]
) -> list[str]:
    lines = []
    if tree is not None:
        own = tree.supervisor
        lines.append(f"tree      {own.state}, version {own.version}, up {age_text(own.uptime_s)}")
        lines += [f"          {_actor_line(row)}" for row in tree.actors]
    if clock_lines:
        lines.append(f"clock     {clock_lines[0]}")
        lines += [f"          {line}" for line in clock_lines[1:]]
    if (book := document["book"]) is not None:
        size = size_text(book["size_bytes"])
        entries = counted(book["seq"], "entry", "entries")
        commits = counted(book["commit"], "commit", "commits")
        lines.append(f"book      {entries} in {commits}, {size}")
        lines.append(f"          {book['hash'] or 'empty'}")
    if (shared := document["segment"]) is not None:
        size = size_text(shared["size_bytes"])
        lines.append(f"segment   {shared['state']}, {shared['path']}, {size}")
    lines += [f"problem   {visible(problem)}" for problem in document["problems"]]
    return lines


def _actor_line(row: control.ActorRow) -> str:
    # Of one that runs, the cause is that of an earlier incarnation's end.
    ended = f"restarted: {row.cause}" if row.cause and row.pid is not None else row.cause
    where = " ".join(row.endpoints.values()) or row.reason or ended
    return f"{row.name:<15} {row.state:<9} {visible(where, 70)}".rstrip()
