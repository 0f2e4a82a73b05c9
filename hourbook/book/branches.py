"""What a branch is made of, and which entries it sees. Reads only.

The view of a branch is its own entries, after its parent's view up to its base; so a view is a few
stretches of seqs, one for each level, and never more than DEPTH_MAX.
"""

import sqlite3
from typing import Any, Final, NamedTuple

import msgspec

from hourbook.book.archive.detached import attach_beside
from hourbook.book.rows import ENTRY_COLUMNS, entry_from_row
from protocols import errors
from protocols.branch_messages import MAIN_NAME
from protocols.change import is_own_record
from protocols.entry import Entry
from protocols.names import check_name
from protocols.wire import printable

__all__ = [
    "DEPTH_MAX",
    "MAIN",
    "Branch",
    "BranchDiff",
    "Stretch",
    "branch_number",
    "diff_branches",
    "find_branch",
    "list_branches",
    "tail_of",
    "view_of",
]

DEPTH_MAX: Final = 16
MAIN: Final = 0
_ENDLESS: Final = (1 << 63) - 1
_THEN: Final = "created_seq <= :at AND (deleted_seq IS NULL OR deleted_seq > :at)"
_COLUMNS: Final = (
    "number, name, parent, base_seq, created_seq, merged_head, merged_seq, deleted_seq"
)
DIFF_ENTRIES_MAX: Final = 10_000


class Branch(msgspec.Struct, frozen=True):
    """One branch.

    Attributes:
        number: as in its entries.
        name: of it.
        parent: number of the branch that it comes from; 0 is main.
        base_seq: the last entry of the parent that it sees.
        created_seq: its `branch.create`.
        merged_head: its last entry that was merged; 0: none.
        merged_seq: its last `branch.merge`; 0: never.
        deleted_seq: its `branch.delete`; None: it is there.
    """

    number: int
    name: str
    parent: int
    base_seq: int
    created_seq: int
    merged_head: int
    merged_seq: int
    deleted_seq: int | None

    @property
    def parted_seq(self) -> int:
        """The seq of the parent since which the two may differ."""
        return max(self.base_seq, self.merged_seq)


class Stretch(NamedTuple):
    """Entries of one branch up to a seq."""

    number: int
    last_seq: int


class BranchDiff(msgspec.Struct, frozen=True):
    """What two branches do not share.

    Attributes:
        a: name of the one.
        b: name of the other.
        base_seq: the last entry that both see.
        only_a: entries that only `a` sees, rising; at most DIFF_ENTRIES_MAX. What was merged stands
            on both sides, once as it was written and once as it was brought.
        only_b: entries that only `b` sees.
        conflicts: entities that both have written about since, but for the book's own records.
    """

    a: str
    b: str
    base_seq: int
    only_a: list[Entry]
    only_b: list[Entry]
    conflicts: list[str]


def find_branch(connection: sqlite3.Connection, name: str, at_seq: int | None = None) -> Branch:
    """Return the branch that has a name, or that had it as of a seq.

    Raises:
        BadRequest, UnknownName: no name; none is, or was then, called so.
    """
    check_name(name, "branch")
    there = "deleted_seq IS NULL" if at_seq is None else _THEN
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM branch WHERE name = :name AND {there}",  # noqa: S608 - constants
        {"name": name, "at": at_seq},
    ).fetchone()
    if row is None:
        then = "" if at_seq is None else f" that was there at seq {at_seq}"
        raise errors.UnknownName(
            f"Expected the name of a branch{then}, got {name!r}",
            field="branch",
            value=name,
            hint="`hourbook branch list` shows them",
        )
    return Branch(*row)


def branch_number(connection: sqlite3.Connection, name: str, at_seq: int | None = None) -> int:
    """Return the number of a branch; ``main`` and "" are main.

    Raises:
        BadRequest, UnknownName: as :func:`find_branch`.
    """
    return MAIN if name in ("", MAIN_NAME) else find_branch(connection, name, at_seq).number


def list_branches(connection: sqlite3.Connection) -> list[Branch]:
    """Return every branch that there ever was, oldest first."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM branch ORDER BY number").fetchall()  # noqa: S608 - constants
    return [Branch(*row) for row in rows]


def view_of(
    connection: sqlite3.Connection, number: int, until_seq: int | None = None
) -> list[Stretch]:
    """Return the stretches that a branch sees up to a seq, its own first, main's last."""
    found, last_seq = [], _ENDLESS if until_seq is None else until_seq
    while number != MAIN:
        found.append(Stretch(number, last_seq))
        parent, base_seq = connection.execute(
            "SELECT parent, base_seq FROM branch WHERE number = ?", (number,)
        ).fetchone()
        number, last_seq = parent, min(last_seq, base_seq)
    return [*found, Stretch(MAIN, last_seq)]


def tail_of(
    connection: sqlite3.Connection, number: int, count: int, until_seq: int | None = None
) -> list[Entry]:
    """Return the last `count` entries (>= 0) up to a seq that a branch sees, oldest first."""
    if not _is_count(count):
        raise errors.BadRequest(
            f"Expected `count` as an integer in 0..2^63-1, got {printable(repr(count))}",
            field="count",
        )
    found: list[Entry] = []
    for stretch in view_of(connection, number, until_seq):
        if len(found) < count:
            found += _entries(connection, stretch, 0, count - len(found))
    return attach_beside(connection, found[::-1])


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 1 << 63


def diff_branches(
    connection: sqlite3.Connection, a: str, b: str, until_seq: int | None = None
) -> BranchDiff:
    """Return what two branches, or a branch and ``main``, do not share, or did not as of a seq.

    Raises:
        BadRequest, UnknownName: no such branch.
        LimitExceeded: they differ by more entries than anybody reads.
    """
    numbers = [branch_number(connection, name, until_seq) for name in (a, b)]
    views = [view_of(connection, number, until_seq) for number in numbers]
    common = next(number for number, _ in views[0] if any(number == other for other, _ in views[1]))
    base_seq = min(dict(view)[common] for view in views)
    head = connection.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0]
    only = [_beyond(connection, view, common, base_seq) for view in views]
    written = [{each.entity for each in side if not is_own_record(each.kind)} for side in only]
    return BranchDiff(a, b, min(base_seq, head), only[0], only[1], sorted(written[0] & written[1]))


def _beyond(
    connection: sqlite3.Connection, view: list[Stretch], common: int, base_seq: int
) -> list[Entry]:
    """Return the entries of a view after the base that it shares with another."""
    found: list[Entry] = []
    for stretch in view:
        after_seq = base_seq if stretch.number == common else 0
        found += _entries(connection, stretch, after_seq, DIFF_ENTRIES_MAX + 1)
        if len(found) > DIFF_ENTRIES_MAX:
            raise errors.LimitExceeded(
                f"Expected branches that differ by at most {DIFF_ENTRIES_MAX} entries, got more"
            )
        if stretch.number == common:
            break
    return attach_beside(connection, found[::-1])


def _entries(
    connection: sqlite3.Connection, stretch: Stretch, after_seq: int, limit: int
) -> list[Entry]:
    """Return entries of one branch, newest first."""
    # Written out for each, since the index of branches is partial.
    which = "branch = 0" if stretch.number == MAIN else "branch <> 0 AND branch = :branch"
    rows: list[Any] = connection.execute(
        f"SELECT {ENTRY_COLUMNS} FROM entry WHERE {which}"  # noqa: S608 - constants
        " AND seq > :after AND seq <= :last ORDER BY seq DESC LIMIT :limit",
        {
            "branch": stretch.number,
            "after": after_seq,
            "last": stretch.last_seq,
            "limit": limit,
        },
    ).fetchall()
    return [entry_from_row(row) for row in rows]
