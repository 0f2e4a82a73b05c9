"""Applying the changes of one group, in the order in which they came, among its plain appends.

Each change works in a savepoint of its own: a refusal undoes that change and leaves its group
unharmed. Nothing is hashed here; what the changes record becomes appends, in their place.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hourbook.book.archive_shelf import ArchiveShelf
from hourbook.book.changes import outcomes
from hourbook.book.changes.outcomes import Outcome
from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.journal import Stamp
from hourbook.book.key_ring import KeyRing
from protocols import errors
from protocols.book_messages import Append
from protocols.change import Change

__all__ = ["Kinds", "apply_group"]

Kinds = Mapping[type[Change], ChangeKind[Any]]


def apply_group(
    connection: sqlite3.Connection,
    kinds: Kinds,
    group: Sequence[Append | Change],
    head_seq: int,
    stamp: Stamp,
    keys: KeyRing,
    shelf: ArchiveShelf,
) -> tuple[list[Append], list[Outcome]]:
    """Apply the changes of `group` inside the open transaction.

    Returns:
        Every append of the group, those of the changes in their places; and the outcome of each
        change, in their order.
    """
    appends: list[Append] = []
    results: list[Outcome] = []
    for request in group:
        if isinstance(request, Append):
            appends.append(request)
            head_seq += len(request.entries)
            continue
        kind = kinds[type(request)]
        scope = Scope(connection, request, head_seq, stamp, keys, shelf)
        outcome = _apply(kind, request, scope)
        if outcome.error is None or outcome.entries:
            appends += scope.appends
            head_seq += outcome.entries
        if outcome.error is not None or kind.replay is None or not outcome.entries:
            outcomes.store(connection, request, outcome, stamp.time_ns)
        results.append(outcome)
    return appends, results


def _apply(kind: ChangeKind[Any], request: Change, scope: Scope) -> Outcome:
    """Do one change, or undo what it had begun."""
    connection = scope.connection
    connection.execute("SAVEPOINT change")
    try:
        answer = kind.apply(request, scope)
    except errors.HourbookError as error:
        connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")
        return outcomes.refuse(error)
    connection.execute("RELEASE change")
    if isinstance(answer, errors.HourbookError):
        return outcomes.refuse(answer, scope.count)
    assert isinstance(answer, msgspec.Struct)
    return outcomes.succeed(answer, scope.count)
