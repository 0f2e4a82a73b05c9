"""Applying the changes of one group, in the order in which they came, among its plain appends.

Each change works in a savepoint of its own, or on a draft of the store's keys alone: a refusal
undoes that change and leaves its group unharmed. So does a bug, where the writer was given an
`Attempt` that makes a refusal of it. The draft of a change that was done is kept here, too. Nothing
is hashed here; what the changes record becomes appends, in their place.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from hourbook.book.archive.shelf import ArchiveShelf
from hourbook.book.changes import outcomes
from hourbook.book.changes.outcomes import Outcome
from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.journal import Stamp
from hourbook.book.proof.key_ring import KeyRing
from hourbook.book.store.key_files import KeyFiles
from protocols import errors
from protocols.book_messages import Append
from protocols.change import Change

__all__ = ["Attempt", "Kinds", "apply_group", "attempt_bare"]

Kinds = Mapping[type[Change], ChangeKind[Any]]
Attempt = Callable[[ChangeKind[Any], Change, Scope], Outcome]
"""Does a change as :func:`attempt_bare`, and may raise another error in place of its own."""


def attempt_bare(kind: ChangeKind[Any], change: Change, scope: Scope) -> Outcome:
    """Do a change, and keep what it did to keys, for whoever wants to hear of its bugs."""
    answer = kind.apply(change, scope)
    scope.store.keep()
    if isinstance(answer, errors.HourbookError):
        return outcomes.refuse(answer, scope.count)
    assert isinstance(answer, msgspec.Struct)
    return outcomes.succeed(answer, scope.count)


def apply_group(
    connection: sqlite3.Connection,
    kinds: Kinds,
    group: Sequence[Append | Change],
    head_seq: int,
    stamp: Stamp,
    keys: KeyRing,
    shelf: ArchiveShelf,
    store: KeyFiles,
    attempt: Attempt = attempt_bare,
) -> tuple[list[Append], list[Outcome]]:
    """Apply the changes of `group` inside the open transaction.

    A change that begins a group (``ChangeKind``) has nothing before it that means an entry.

    Returns:
        Every append of the group, those of the changes in their places; and the outcome of each
        change, in their order.
    """
    scope = Scope(connection, head_seq, stamp, keys, shelf, store)
    results: list[Outcome] = []
    for request in group:
        if isinstance(request, Append):
            scope.add(request)
            continue
        kind = kinds[type(request)]
        assert not (kind.begins_group and scope.appends), "its group had begun"
        scope.begin(request)
        outcome = (_apply if kind.is_staged else _apply_to_tables)(kind, request, scope, attempt)
        if scope.is_volatile:
            store.require_volatile().answer(len(results), request, outcome)
        elif (
            outcome.error is not None
            or kind.replay is None
            or not outcome.entries
            or scope.keeps_outcome
        ):
            outcomes.store(connection, request, outcome, stamp.time_ns)
        results.append(outcome)
    store.main.flush()
    return scope.appends, results


def _apply(kind: ChangeKind[Any], request: Change, scope: Scope, attempt: Attempt) -> Outcome:
    """Do one change, or undo what it had begun."""
    try:
        return attempt(kind, request, scope)
    except errors.HourbookError as error:
        scope.undo()
        return outcomes.refuse(error)


def _apply_to_tables(
    kind: ChangeKind[Any], request: Change, scope: Scope, attempt: Attempt
) -> Outcome:
    """Do the same for a change that works on the tables themselves."""
    connection = scope.connection
    scope.store.main.flush()
    connection.execute("SAVEPOINT change")
    try:
        outcome = attempt(kind, request, scope)
    except errors.HourbookError as error:
        connection.execute("ROLLBACK TO change")
        scope.undo()
        outcome = outcomes.refuse(error)
    connection.execute("RELEASE change")
    return outcome
