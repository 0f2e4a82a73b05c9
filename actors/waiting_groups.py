"""What waits for journal_writer's next commits, as the groups that it will be committed in. Pure.

A group has at most BATCH_ENTRIES_MAX entries, as far as that is known before its changes are done.
A change that reads entries begins one (``ChangeKind.begins_group``): what came before it has to be
in the book by then. One that voids what others were let in for ends them all (``ends_groups``):
whoever comes after it is let in, or not, by what it has done.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

from actors.contract import Request
from hourbook.book.changes.scope import ChangeKind
from protocols import entry
from protocols.book_messages import Append
from protocols.change import Change

__all__ = ["Group", "WaitingGroups"]

Group: TypeAlias = list[Request[Any]]
"""Requests whose bodies are an ``Append`` or a ``Change``."""


class WaitingGroups:
    """Requests in the order in which they came.

    Attributes:
        entries: how many they mean.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.entries = self._room = 0
        self._is_full = False
        self._groups: list[Group] = []

    def add(self, request: Request[Any], entries: int, kind: ChangeKind[Any] | None = None) -> bool:
        """Take in a request that means so many entries; `kind` is that of a change.

        Return whether they are to be committed before anything else is heard.
        """
        if entries > self._room or (kind is not None and kind.begins_group):
            self._groups.append([])
            self._room = entry.BATCH_ENTRIES_MAX
        self._groups[-1].append(request)
        self._room -= entries
        self.entries += entries
        if self.entries >= entry.BATCH_ENTRIES_MAX or (kind is not None and kind.ends_groups):
            self._is_full = True
        return self._is_full

    def bodies(self) -> Iterator[Append | Change]:
        """Return what the requests ask for."""
        return (request.body for group in self._groups for request in group)

    def take(self) -> list[Group]:
        """Return the groups, and begin anew."""
        groups, self._groups = self._groups, []
        self.entries = self._room = 0
        self._is_full = False
        return groups
