"""Branches begun, merged and ended: ``branch.create``, ``branch.merge``, ``branch.delete``.

A merge writes ordinary entries on the parent, the same as the branch's but for their place, and
then one that names base and head: nothing is moved, and both histories stay as they were.
"""

from typing import Any, Final

import msgspec

from hourbook.book.archive.detached import attach_beside
from hourbook.book.archive.retention import spans
from hourbook.book.branches import DEPTH_MAX, Branch, find_branch, view_of
from hourbook.book.changes.redaction import is_own_record
from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.rows import ENTRY_COLUMNS, entry_from_row
from protocols import entry, errors
from protocols.book_messages import NewEntry
from protocols.branch_messages import (
    BRANCH_CREATE,
    BRANCH_DELETE,
    BRANCH_MERGE,
    MAIN_NAME,
    CreateBranch,
    CreatedBranch,
    DeleteBranch,
    DeletedBranch,
    MergeBranch,
    MergedBranch,
)
from protocols.change import Change, check_change
from protocols.names import check_name

__all__ = ["CREATE_BRANCH", "DELETE_BRANCH", "MERGE_BRANCH", "MERGE_ENTRIES_MAX"]

MERGE_ENTRIES_MAX: Final = 8192
"""Of one merge: about 100 ms of the writer's time."""
CONFLICTS_NAMED_MAX: Final = 20


def _check(change: Change) -> None:
    check_change(change)
    name = getattr(change, "name", "")
    check_name(name, "name")
    if name == MAIN_NAME:
        raise errors.BadRequest(
            f"Expected the name of a branch, got {MAIN_NAME!r}", field="name", value=name
        )


def _create(change: CreateBranch, scope: Scope) -> CreatedBranch:
    connection, head = scope.connection, scope.head_seq
    known = connection.execute(
        "SELECT 1 FROM branch WHERE name = ? AND deleted_seq IS NULL", (change.name,)
    ).fetchone()
    if known is not None:
        raise errors.AlreadyPresent(
            f"Expected a name that no branch has, got {change.name!r}",
            field="name",
            value=change.name,
        )
    if change.parent and not _is_living(scope, change.parent):
        raise errors.UnknownName(
            f"Expected a branch to come from, got number {change.parent}", field="parent"
        )
    if change.base_seq > head:
        raise errors.NotInBook(
            f"Expected a base in 1..{head}, got {change.base_seq}", field="base_seq"
        )
    if len(view_of(connection, change.parent)) > DEPTH_MAX:
        raise errors.LimitExceeded(
            f"Expected branches of branches at most {DEPTH_MAX} deep, got more", field="parent"
        )
    base_seq = change.base_seq or head
    number = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM branch").fetchone()[0]
    details = {"number": number, "parent": change.parent, "base": base_seq}
    seq = scope.record(BRANCH_CREATE, "created", change.name, details)
    connection.execute(
        "INSERT INTO branch VALUES (?, ?, ?, ?, ?, 0, 0, NULL)",
        (number, change.name, change.parent, base_seq, seq),
    )
    return CreatedBranch(seq, number, base_seq)


def _merge(change: MergeBranch, scope: Scope) -> MergedBranch:
    branch = find_branch(scope.connection, change.name)
    _require_parent(scope, branch)
    theirs = _entries_since(scope, branch.number, branch.merged_head, MERGE_ENTRIES_MAX + 1)
    if len(theirs) > MERGE_ENTRIES_MAX:
        raise errors.LimitExceeded(
            f"Expected at most {MERGE_ENTRIES_MAX} entries to merge, got more", field="name"
        )
    if not theirs:
        return MergedBranch(0, 0, 0, [])
    conflicts = _conflicts(scope, branch, {found.entity for found in theirs})
    if conflicts and not change.strategy:
        named = ", ".join(repr(entity) for entity in conflicts[:CONFLICTS_NAMED_MAX])
        raise errors.BranchConflict(
            f"Expected no entity that {change.name} and its parent have both written about since"
            f" seq {branch.parted_seq}, got {len(conflicts)}: {named}",
            field="strategy",
            value=named,
            hint="choose --strategy ours, theirs or both",
        )
    clashing = set(conflicts)
    brought = [e for e in theirs if change.strategy != "ours" or e.entity not in clashing]
    for found in brought:
        tags = found.tags
        if change.strategy == "both" and found.entity in clashing:
            tags = (*tags[: entry.TAGS_MAX - 1], "conflict")
        raw = msgspec.Raw(found.details_raw or entry.DETAILS_NONE)
        new = NewEntry(found.action, found.entity, raw, tags, found.kind)
        scope.record_raw(new, branch.parent)
    details = {
        "base": branch.parted_seq,
        "head": theirs[-1].seq,
        "into": branch.parent,
        "strategy": change.strategy,
        "seqs": spans(found.seq for found in brought),
        "conflicts": conflicts,
    }
    seq = scope.record(BRANCH_MERGE, "merged", change.name, details)
    scope.connection.execute(
        "UPDATE branch SET merged_head = ?, merged_seq = ? WHERE number = ?",
        (theirs[-1].seq, seq, branch.number),
    )
    return MergedBranch(seq, len(brought), len(theirs) - len(brought), conflicts)


def _delete(change: DeleteBranch, scope: Scope) -> DeletedBranch:
    connection = scope.connection
    branch = find_branch(connection, change.name)
    child = connection.execute(
        "SELECT name FROM branch WHERE parent = ? AND deleted_seq IS NULL", (branch.number,)
    ).fetchone()
    if child is not None:
        raise errors.BadRequest(
            f"Expected a branch that no other comes from, got {change.name!r}, from which"
            f" {child[0]!r} does",
            field="name",
            value=change.name,
        )
    unmerged = connection.execute(
        "SELECT count(*) FROM entry WHERE branch <> 0 AND branch = ? AND seq > ?",
        (branch.number, branch.merged_head),
    ).fetchone()[0]
    details = {"number": branch.number, "unmerged": unmerged}
    seq = scope.record(BRANCH_DELETE, "deleted", change.name, details)
    connection.execute("UPDATE branch SET deleted_seq = ? WHERE number = ?", (seq, branch.number))
    return DeletedBranch(seq, unmerged)


def _entries_since(scope: Scope, number: int, after_seq: int, limit: int) -> list[entry.Entry]:
    rows: list[Any] = scope.connection.execute(
        f"SELECT {ENTRY_COLUMNS} FROM entry WHERE branch <> 0 AND branch = ?"  # noqa: S608 - constants
        " AND seq > ? ORDER BY seq LIMIT ?",
        (number, after_seq, limit),
    ).fetchall()
    found = [entry_from_row(row) for row in rows if not is_own_record(row[8])]
    return attach_beside(scope.connection, found)


def _conflicts(scope: Scope, branch: Branch, entities: set[str]) -> list[str]:
    """Return the entities that the parent has written about since, too."""
    rows = scope.connection.execute(
        "SELECT DISTINCT entity FROM entry WHERE branch = ? AND seq > ?"
        " AND kind NOT GLOB 'branch.*'",
        (branch.parent, branch.parted_seq),
    )
    return sorted(entity for (entity,) in rows if entity in entities)


def _require_parent(scope: Scope, branch: Branch) -> None:
    if branch.parent and not _is_living(scope, branch.parent):
        raise errors.BadRequest(
            f"Expected a parent to merge into, got one that was deleted, of {branch.name!r}",
            field="name",
        )


def _is_living(scope: Scope, number: int) -> bool:
    sql = "SELECT 1 FROM branch WHERE number = ? AND deleted_seq IS NULL"
    return scope.connection.execute(sql, (number,)).fetchone() is not None


CREATE_BRANCH: Final = ChangeKind(BRANCH_CREATE, CreateBranch, _check, _create)
MERGE_BRANCH: Final = ChangeKind(BRANCH_MERGE, MergeBranch, _check, _merge)
DELETE_BRANCH: Final = ChangeKind(BRANCH_DELETE, DeleteBranch, _check, _delete)
