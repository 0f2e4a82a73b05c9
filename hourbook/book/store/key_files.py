"""The keys of a home as its writer has them: those in the book, those of branches, volatile ones.

A key lies in one file. A write whose keys lie in both is refused: no transaction spans them.
"""

import sqlite3
from collections.abc import Collection, Iterable
from typing import Final

from hourbook.book.changes.outcomes import Outcome
from hourbook.book.store.branch_rows import BranchRows
from hourbook.book.store.decide import is_expired
from hourbook.book.store.rows import KEY_OF_ENTITY, NS_OF_ENTITY
from hourbook.book.store.stage import KeyRows, KvStage, Name
from hourbook.book.store.volatile import VolatileStage
from protocols import errors
from protocols.kv_messages import VOLATILE, Increment, KvWrite, Set

__all__ = ["KeyFiles", "find_due"]

_DUE_AT_ONCE: Final = 1000
_NOWHERE: Final[frozenset[Name]] = frozenset()
_DUE: Final = "SELECT ns, key, expires_ns FROM kv WHERE expires_ns <= ? ORDER BY expires_ns LIMIT ?"
_CURRENT: Final = (
    f"SELECT kv.ns, kv.key FROM entry JOIN kv ON kv.ns = {NS_OF_ENTITY}"  # noqa: S608 - constants
    f" AND kv.key = {KEY_OF_ENTITY} AND kv.version = entry.seq"
    " WHERE entry.seq = ? AND kind = 'kv.set' AND branch = 0"
)
_ERASE: Final = "UPDATE kv SET value = NULL, metadata = NULL, encoding = 0 WHERE ns = ? AND key = ?"


class KeyFiles:
    """Both files, in the hands of the one writer.

    Attributes:
        main: keys of the book.
        volatile: the others; None where there is no place for them.
        schemas: of the namespaces.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        main: KvStage,
        volatile: VolatileStage | None = None,
    ) -> None:
        """Begin with nothing changed; `connection` is that of `main`, and of branches."""
        self._connection, self.main, self.volatile = connection, main, volatile
        self.schemas = main.schemas()
        self._branches: dict[int, BranchRows] = {}

    def rows_of(self, change: KvWrite, usual: str) -> KeyRows:
        """Return the keys that a write is about, inside the open transaction.

        A key is where it is; one that is nowhere goes where its type says, or the `usual` one of
        its namespace.

        Raises:
            MixedDurability: some are durable, and some are not.
            BadRequest: volatile keys on a branch.
            UnknownName: there is no such branch.
            HomeUnusable: there is no place for volatile keys.
        """
        ns, branch = change.ns, change.branch
        durable = self.rows(branch) if branch else self.main
        elsewhere = _NOWHERE if branch or self.volatile is None else self.volatile.weights.names
        if _are_durable(change, usual, elsewhere):
            return durable  # as nearly all are
        is_here, is_there = _places_of(change, usual, durable, elsewhere)
        if is_here and is_there:
            raise errors.MixedDurability(
                f"Expected keys of {ns} that all outlive a reboot, or all do not, got both",
                field="ops",
                hint="write them one after the other, or delete first what shall change its type",
            )
        if not is_here and not is_there:
            is_there = usual in VOLATILE and not branch
        if not is_there:
            return durable
        if branch:
            raise errors.BadRequest(
                "Expected a type that is journaled, got a volatile one, on a branch", field="type"
            )
        return self.require_volatile()

    def require_volatile(self) -> VolatileStage:
        """Return where volatile keys are.

        Raises:
            HomeUnusable: nowhere.
        """
        if self.volatile is None:
            raise errors.HomeUnusable(
                "Expected a database for volatile keys, got none: it could not be made",
                hint="see the log of journal_writer",
            )
        return self.volatile

    def rows(self, branch: int) -> KeyRows:
        """Return the durable keys of main (0) or of a branch, inside the open transaction.

        Raises:
            UnknownName: there is no such branch.
        """
        if not branch:
            return self.main
        self.main.flush()
        if branch not in self._branches:
            self._branches[branch] = BranchRows(self._connection, branch)
        return self._branches[branch]

    def is_over(self, name: Name, now_ns: int) -> bool:
        """Return whether a key of main is still there though its time has come (UTC)."""
        volatile = self.volatile
        is_there = volatile is not None and name in volatile.weights.names
        row = volatile.find(name) if volatile is not None and is_there else self.main.find(name)
        return row is not None and is_expired(row, now_ns)

    def erase(self, connection: sqlite3.Connection, seqs: Collection[int]) -> None:
        """Drop the values that entries have given, where their keys still hold them."""
        for seq in seqs:
            row = connection.execute(_CURRENT, (seq,)).fetchone()
            if row is not None:
                connection.execute(_ERASE, row)
                self.main.note(row)

    def give_way(self, names: Iterable[Name]) -> None:
        """Drop volatile keys that the book has, too, since a change that did not look for them."""
        if (volatile := self.volatile) is None:
            return
        for name in names:
            if name in volatile.weights.names and self.main.find(name) is not None:
                volatile.hold(name, None)

    def keep(self) -> None:
        """Take over what the change at work has done.

        Raises:
            LimitExceeded: transient keys would weigh more than they may; nothing was taken over.
        """
        volatile = self.volatile
        if volatile is not None and volatile.draft:
            volatile.keep()  # first: it may refuse
        for branch in self._branches:
            self._branches[branch].keep()
        self.main.keep()

    def undo(self) -> None:
        """Forget what the change at work has done: it was refused."""
        self.main.undo()
        for branch in self._branches.values():
            branch.undo()
        if self.volatile is not None:
            self.volatile.undo()

    def announce(self) -> None:
        """Tell readers what the COMMIT that follows may change.

        Raises:
            DiskFull: it would take a key from the book that the other file has no room to lose:
                readers would find there what it held before it moved.
        """
        main, volatile = self.main, self.volatile
        if volatile is not None and volatile.owed:
            back = volatile.owed.intersection(main.touched)
            if any(main.find(name) is None for name in back):
                volatile.pay()
        main.announce()

    def commit_volatile(self, results: list[Outcome], time_ns: int) -> None:
        """Write what the group has done to volatile keys, now that the book has the rest of it.

        Raises:
            sqlite3.Error: the database failed.
        """
        if self.volatile is not None and (left := self.volatile.commit(results, time_ns)):
            self.volatile.owe(name for name in left if self.main.find(name) is not None)

    def settle(self) -> None:
        """Begin anew, once the transaction has ended."""
        self._branches = {}
        self.main.settle()

    def abandon(self) -> None:
        """Forget what the group has done: it was not committed."""
        self._branches = {}
        self.schemas.clear()
        self.main.abandon()
        if self.volatile is not None:
            self.volatile.abandon()

    @property
    def soonest_ns(self) -> int | None:
        """When the next value's time comes, at the earliest (UTC); None: never."""
        durable_ns = self.main.soonest_ns
        if self.volatile is None or (volatile_ns := self.volatile.soonest_ns) is None:
            return durable_ns
        return volatile_ns if durable_ns is None else min(durable_ns, volatile_ns)


def _are_durable(change: KvWrite, usual: str, elsewhere: set[Name] | frozenset[Name]) -> bool:
    """Return whether no step is about a volatile key, or asks for one."""
    ops, ns = change.ops, change.ns
    types = {op.type for op in ops if type(op) is Set or type(op) is Increment}
    if usual in VOLATILE or not types.isdisjoint(VOLATILE):
        return False
    return not elsewhere or elsewhere.isdisjoint([(ns, op.key) for op in ops])


def _places_of(
    change: KvWrite, usual: str, durable: KeyRows, elsewhere: Collection[Name]
) -> tuple[bool, bool]:
    """Return whether a write is about durable keys, and whether about volatile ones."""
    is_here = is_there = False
    placed: set[Name] = set()
    for op in change.ops:
        name = (change.ns, op.key)
        if name in placed:
            continue
        type_ = (op.type or usual) if type(op) is Set or type(op) is Increment else ""
        if name in elsewhere:
            is_there = True
        elif (type_ and type_ not in VOLATILE) or durable.find(name) is not None:
            is_here = True
        elif type_:
            is_there = True
        else:
            continue
        placed.add(name)
    return is_here, is_there


def find_due(connection: sqlite3.Connection, now_ns: int) -> list[tuple[Name, int]]:
    """Return keys whose time has come (UTC), at most _DUE_AT_ONCE of them, and when it did."""
    rows = connection.execute(_DUE, (now_ns, _DUE_AT_ONCE)).fetchall()
    return [((ns, key), expires_ns) for ns, key, expires_ns in rows]
