"""Applying the changes of one group, in the order in which they came, among its plain appends.

Each change works in a savepoint of its own, or on a draft of the store's keys: a refusal undoes
that change and leaves its group unharmed. So does a bug, where the writer was given an `Attempt`
that makes a refusal of it. Nothing is hashed here; what the changes record becomes appends, in
their place.
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
Attempt = Callable[[str, Change, Callable[[], Outcome]], Outcome]
"""Calls the step that does a change of a kind, and may raise another error in place of its own."""


def attempt_bare(_kind: str, _change: Change, step: Callable[[], Outcome]) -> Outcome:
    """Do a change for whoever wants to hear of its bugs."""
    return step()


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
    appends: list[Append] = []
    results: list[Outcome] = []
    for request in group:
        if isinstance(request, Append):
            appends.append(request)
            head_seq += len(request.entries)
            continue
        kind = kinds[type(request)]
        assert not (kind.begins_group and appends), "its group had begun"
        scope = Scope(connection, request, head_seq, stamp, keys, shelf, store)
        outcome = _apply(kind, request, scope, attempt)
        if outcome.error is None or outcome.entries:
            appends += scope.appends
            head_seq += outcome.entries
        is_told = kind.replay is not None and outcome.entries and not scope.keeps_outcome
        if scope.is_volatile:
            store.require_volatile().answer(len(results), request, outcome)
        elif outcome.error is not None or not is_told:
            outcomes.store(connection, request, outcome, stamp.time_ns)
        results.append(outcome)
    store.main.flush()
    return appends, results


def _apply(kind: ChangeKind[Any], request: Change, scope: Scope, attempt: Attempt) -> Outcome:
    """Do one change, or undo what it had begun."""
    if kind.is_staged:
        try:
            return attempt(kind.name, request, lambda: _outcome_of(kind, request, scope))
        except errors.HourbookError as error:
            return outcomes.refuse(error)
    connection = scope.connection
    scope.store.main.flush()
    connection.execute("SAVEPOINT change")
    try:
        outcome = attempt(kind.name, request, lambda: _outcome_of(kind, request, scope))
    except errors.HourbookError as error:
        connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")
        return outcomes.refuse(error)
    connection.execute("RELEASE change")
    return outcome


def _outcome_of(kind: ChangeKind[Any], request: Change, scope: Scope) -> Outcome:
    answer = kind.apply(request, scope)
    if isinstance(answer, errors.HourbookError):
        return outcomes.refuse(answer, scope.count)
    assert isinstance(answer, msgspec.Struct)
    return outcomes.succeed(answer, scope.count)
