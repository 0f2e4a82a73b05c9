"""Branches begun, merged and ended: ``branch.create``, ``branch.merge``, ``branch.delete``.

A merge writes ordinary entries on the parent, the same as the branch's but for their place, and
then one that names base and head: nothing is moved, and both histories stay as they were. It is one
transaction, however long the branch: nobody ever sees half of a merge. Who appends waits for it.
"""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from hourbook.book.archive.detached import attach_beside
from hourbook.book.branches import DEPTH_MAX, Branch, find_branch, view_of
from hourbook.book.changes.locks import list_leases
from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.rows import ENTRY_COLUMNS, entry_from_row
from hourbook.book.store.rows import (
    KV_DELETE,
    KV_SET,
    decode_details,
    entity_of,
    row_of_details,
    split_entity,
)
from hourbook.book.store.stage import KeyRows
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
from protocols.change import Change, check_change, is_own_record
from protocols.names import check_name

__all__ = ["CREATE_BRANCH", "DELETE_BRANCH", "MERGE_BRANCH", "MERGE_ENTRIES_MAX"]

MERGE_ENTRIES_MAX: Final = 100_000
"""Of one merge: about 1.3 s of the writer's time."""
MERGE_BYTES_MAX: Final = 128 << 20
"""Of their details, which the writer holds a few times over."""
CONFLICTS_NAMED_MAX: Final = 20
"""In the refusal."""
CONFLICTS_KEPT_MAX: Final = 1000
"""In the record and in the answer: 1 MiB of names."""
_ATTACHED_AT_ONCE: Final = 1000


def _check(change: Change) -> None:
    check_change(change)
    name = getattr(change, "name", "")
    check_name(name, "name")
    if name == MAIN_NAME:
        raise errors.BadRequest(
            f"Expected the name of a branch beside main, got {MAIN_NAME!r}",
            field="name",
            value=name,
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
    theirs = _unmerged(scope, branch)
    if not theirs:
        return MergedBranch(0, 0, 0, [], 0)
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
    left = clashing if change.strategy == "ours" else frozenset()
    marked = clashing if change.strategy == "both" else frozenset()
    if not branch.parent:
        _require_unlocked(scope, {found.entity for found in theirs if found.entity not in left})
    keys = scope.store.rows(branch.parent)
    brought = _bring(scope, keys, theirs, branch.parent, left, marked)
    kept = conflicts[:CONFLICTS_KEPT_MAX]
    details = {
        "base": branch.parted_seq,
        "head": theirs[-1].seq,
        "into": branch.parent,
        "strategy": change.strategy,
        "seqs": _ranges(theirs, left),
        "conflicts": kept,
        "conflict_count": len(conflicts),
    }
    seq = scope.record(BRANCH_MERGE, "merged", change.name, details)
    scope.connection.execute(
        "UPDATE branch SET merged_head = ?, merged_seq = ? WHERE number = ?",
        (theirs[-1].seq, seq, branch.number),
    )
    if not branch.parent:
        scope.store.give_way(split_entity(found.entity) for found in theirs if found.kind == KV_SET)
    return MergedBranch(seq, brought, len(theirs) - brought, kept, len(conflicts))


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


def _unmerged(scope: Scope, branch: Branch) -> list[entry.Entry]:
    """Return the entries of a branch that were not merged yet, with their details.

    Raises:
        LimitExceeded: more than one merge may bring.
        ArchiveDamaged: details cannot be read; they would be lost on the way.
    """
    found: list[entry.Entry] = []
    size = 0
    for row in scope.connection.execute(
        f"SELECT {ENTRY_COLUMNS} FROM entry WHERE branch <> 0 AND branch = ?"  # noqa: S608 - constants
        " AND seq > ? ORDER BY seq",
        (branch.number, branch.merged_head),
    ):
        each = entry_from_row(row)
        if is_own_record(each.kind):
            continue
        found.append(each)
        size += len(each.details_raw or b"")
        _check_size(branch, len(found), size)
    for start in range(0, len(found), _ATTACHED_AT_ONCE):
        page = found[start : start + _ATTACHED_AT_ONCE]
        attached = attach_beside(scope.connection, page)
        if attached is page:
            continue
        for before, each in zip(page, attached, strict=True):
            if each.missing is not None and each.missing.cause == "unreadable":
                raise errors.ArchiveDamaged(
                    f"Expected the details of seq {each.seq}, got none: {each.missing.why}"
                )
            size += len(each.details_raw or b"") if before.details_raw is None else 0
        _check_size(branch, len(found), size)
        found[start : start + _ATTACHED_AT_ONCE] = attached
    return found


def _check_size(branch: Branch, count: int, size: int) -> None:
    if count > MERGE_ENTRIES_MAX or size > MERGE_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected at most {MERGE_ENTRIES_MAX} entries and {MERGE_BYTES_MAX >> 20} MiB of"
            f" details to merge, got more on {branch.name!r}",
            field="name",
            value=branch.name,
        )


def _bring(
    scope: Scope,
    keys: KeyRows,
    theirs: Sequence[entry.Entry],
    parent: int,
    left: Collection[str],
    marked: Collection[str],
) -> int:
    """Record entries anew on the parent, but for those about what is left; return how many."""
    count = 0
    for found in theirs:
        if found.entity in left or (found.kind == KV_SET and found.details_raw is None):
            continue  # a value that was dropped for good cannot be set anew
        tags = found.tags
        if found.entity in marked:
            tags = (*tags[: entry.TAGS_MAX - 1], "conflict")
        raw = msgspec.Raw(found.details_raw or entry.DETAILS_NONE)
        new = NewEntry(found.action, found.entity, raw, tags, found.kind)
        seq = scope.record_raw(new, parent)
        if found.kind in (KV_SET, KV_DELETE):
            _follow(keys, found, seq)
        count += 1
    return count


def _follow(keys: KeyRows, found: entry.Entry, seq: int) -> None:
    """Let a key of the parent hold what the branch's did, as the entry `seq` says."""
    name = split_entity(found.entity)
    row = None
    if found.kind == KV_SET and found.details_raw is not None:
        row = row_of_details(*name, seq, decode_details(found.details_raw))
    keys.put(name, row, seq)


def _ranges(theirs: Sequence[entry.Entry], left: Collection[str]) -> list[tuple[int, int]]:
    """Return what was brought as ranges (first, last): within each, all of the branch's entries."""
    found: list[tuple[int, int]] = []
    is_open = False
    for each in theirs:
        is_brought = each.entity not in left
        if is_brought and is_open:
            found[-1] = (found[-1][0], each.seq)
        elif is_brought:
            found.append((each.seq, each.seq))
        is_open = is_brought
    return found


def _conflicts(scope: Scope, branch: Branch, entities: set[str]) -> list[str]:
    """Return the entities that the parent has written about since, too."""
    rows = scope.connection.execute(
        "SELECT DISTINCT entity, kind FROM entry WHERE branch = ? AND seq > ?",
        (branch.parent, branch.parted_seq),
    )
    found = {entity for entity, kind in rows if entity in entities and not is_own_record(kind)}
    return sorted(found)


def _require_unlocked(scope: Scope, entities: Collection[str]) -> None:
    """Check that nobody holds the lock of a key that may be written under it alone.

    A merge names no tokens. What nobody holds it may write: it is over before anybody can.

    Raises:
        TokenStale: somebody does.
    """
    for lease in list_leases(scope.connection):
        if entity_of(*lease.name) not in entities:
            continue
        row = scope.store.main.find(lease.name)
        if row is not None and row.type == "locked":
            raise errors.TokenStale(
                f"Expected to merge locked keys whose locks are free, got {lease.ns}/{lease.key},"
                f" which {lease.writer} (process {lease.pid}, token {lease.token}) holds",
                field="token",
                value=str(lease.token),
                hint="merge again once it has let go",
            )


def _require_parent(scope: Scope, branch: Branch) -> None:
    if branch.parent and not _is_living(scope, branch.parent):
        raise errors.BadRequest(
            f"Expected a parent to merge into, got one that was deleted, of {branch.name!r}",
            field="name",
        )


def _is_living(scope: Scope, number: int) -> bool:
    sql = "SELECT 1 FROM branch WHERE number = ? AND deleted_seq IS NULL"
    return scope.connection.execute(sql, (number,)).fetchone() is not None


CREATE_BRANCH: Final = ChangeKind(BRANCH_CREATE, CreateBranch, _check, _create, begins_group=True)
MERGE_BRANCH: Final = ChangeKind(BRANCH_MERGE, MergeBranch, _check, _merge, begins_group=True)
DELETE_BRANCH: Final = ChangeKind(
    BRANCH_DELETE, DeleteBranch, _check, _delete, begins_group=True, ends_groups=True
)
