"""Applying the changes of one group, in the order in which they came, among its plain appends.

Each change works in a savepoint of its own, or on a draft of the store's keys alone: a refusal
undoes that change and leaves its group unharmed. So does a bug, where the writer was given an
`Attempt` that makes a refusal of it. The draft of a change that was done is kept here, too. Nothing
is hashed here; what the changes record becomes appends, in their place.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from hourbook.book.changes import outcomes
from hourbook.book.changes.outcomes import Outcome
from hourbook.book.changes.scope import ChangeKind, Scope
from protocols import errors
from protocols.book_messages import Append
from protocols.change import Change

__all__ = ["Attempt", "GroupAtWork", "Kinds", "attempt_bare"]

Kinds = Mapping[type[Change], ChangeKind[Any]]


class GroupAtWork:
    """A group, while its changes are applied inside the open transaction.

    A change that begins a group (``ChangeKind``) has nothing before it that means an entry.

    Attributes:
        scope: what they may see and do, and what they have recorded.
        outcomes: of each of them so far.
    """

    def __init__(self, kinds: Kinds, group: Sequence[Append | Change], scope: Scope) -> None:
        """Begin with nothing applied."""
        self._kinds, self._left, self.scope = kinds, iter(group), scope
        self._kind: ChangeKind[Any] | None = None  # of the change at work
        self.outcomes: list[Outcome] = []

    def run(self) -> None:
        """Apply what is left of the group.

        What a change raises that is no HourbookError ends the run, and leaves it at work: who takes
        it for a bug may :meth:`refuse` the change, and run the rest.
        """
        scope, store, kinds = self.scope, self.scope.store, self._kinds
        for request in self._left:
            if isinstance(request, Append):
                scope.add(request)
                continue
            kind = kinds[type(request)]
            assert not (kind.begins_group and scope.appends), "its group had begun"
            if not kind.is_staged:
                store.main.flush()
                scope.connection.execute("SAVEPOINT change")
            scope.request, scope.count = request, 0
            scope.is_volatile = scope.keeps_outcome = False
            self._kind = kind
            try:
                answer = kind.apply(request, scope)
                outcome = Outcome(outcomes.encode_answer(answer), None, scope.count)
                store.keep()
            except errors.HourbookError as error:
                self.refuse(error)
            else:
                self._end(kind, outcome)

    def at_work(self) -> tuple[str, Change] | None:
        """Return kind and body of the change that is being applied; None: none is."""
        return None if self._kind is None else (self._kind.name, self.scope.request)

    def refuse(self, error: errors.HourbookError) -> None:
        """Undo what the change at work had begun."""
        kind, self._kind = self._kind, None
        assert kind is not None, "no change is at work"
        if not kind.is_staged:
            self.scope.connection.execute("ROLLBACK TO change")
        self.scope.undo()
        self._end(kind, outcomes.refuse(error))

    def _end(self, kind: ChangeKind[Any], outcome: Outcome) -> None:
        """Take in what became of the change at work, and keep it where its entries do not tell."""
        self._kind, scope = None, self.scope
        if not kind.is_staged:
            scope.connection.execute("RELEASE change")
        if scope.is_volatile:
            stage = scope.store.require_volatile()
            stage.answer(len(self.outcomes), scope.request, outcome)
        elif (
            outcome.error is not None
            or kind.replay is None
            or not outcome.entries
            or scope.keeps_outcome
        ):
            outcomes.store(scope.connection, scope.request, outcome, scope.stamp.time_ns)
        self.outcomes.append(outcome)


Attempt: TypeAlias = Callable[[GroupAtWork], None]
"""Applies a group as :func:`attempt_bare`, and may refuse a change for an error of its own."""
attempt_bare: Final[Attempt] = GroupAtWork.run
"""For whoever wants to hear of bugs."""
