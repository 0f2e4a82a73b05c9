"""Versions of keys that nobody needs any more: ``kv.compact``.

Compactor says which; what it says is held against the tables, so that whatever it asks for, the
store as of `first_seq` and of every later moment stays as it was. Only the list of versions
(`kv_log`) gets shorter: entries stay where they are, and a copy that is cut back to an earlier
commit makes the list anew from them.
"""

from typing import Final

from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.store.rows import FIND_LAST
from protocols import errors
from protocols.change import check_change
from protocols.kv_keys import check_key, check_namespace
from protocols.kv_messages import OPS_MAX, CompactKeys, KeysCompacted

__all__ = ["COMPACT_KEYS", "VERSIONS_MAX"]

VERSIONS_MAX: Final = 10_000
"""Of one change: some 20 ms."""
_FORGET: Final = "DELETE FROM kv_log WHERE branch = ? AND ns = ? AND key = ? AND seq < ?"
_RAISE_FLOOR: Final = (
    "INSERT INTO kv_floor VALUES (?, ?)"
    " ON CONFLICT (ns) DO UPDATE SET first_seq = max(first_seq, excluded.first_seq)"
)


def _check(change: CompactKeys) -> None:
    check_change(change)
    count = len(change.keys)
    if not 1 <= count <= OPS_MAX:
        raise errors.LimitExceeded(
            f"Expected 1..{OPS_MAX} keys to compact, got {count}", field="keys", value=str(count)
        )
    for each in change.keys:
        check_namespace(each.ns, "keys")
        check_key(each.key)


def _compact(change: CompactKeys, scope: Scope) -> KeysCompacted:
    """Forget versions, and say from where on the past is known.

    Raises:
        BadRequest: a version is needed: by a branch, or by a moment that is still known.
        LimitExceeded: more than VERSIONS_MAX.
    """
    connection, first_seq = scope.connection, change.first_seq
    sql = "SELECT min(base_seq) FROM branch WHERE deleted_seq IS NULL"
    (base_seq,) = connection.execute(sql).fetchone()
    end_seq = scope.head_seq if base_seq is None else min(scope.head_seq, base_seq)
    if first_seq > end_seq:
        raise errors.BadRequest(
            f"Expected `first_seq` up to {end_seq}, which the book and its branches need,"
            f" got {first_seq}",
            field="first_seq",
            value=str(first_seq),
        )
    floors: set[str] = set()
    count = 0
    for each in change.keys:
        name = (each.branch, each.ns, each.key)
        (last_seq,) = connection.execute(FIND_LAST, (*name, first_seq)).fetchone()
        if last_seq is None or each.below > last_seq:
            raise errors.BadRequest(
                f"Expected to keep what {each.ns}/{each.key} held at seq {first_seq},"
                f" version {last_seq or 'none'}, got {each.below}",
                field="keys",
                value=str(each.below),
            )
        forgotten = connection.execute(_FORGET, (*name, each.below)).rowcount
        if forgotten:
            floors.add(each.ns)
            count += forgotten
        if count > VERSIONS_MAX:
            raise errors.LimitExceeded(
                f"Expected at most {VERSIONS_MAX} versions to forget at once, got more",
                field="keys",
            )
    connection.executemany(_RAISE_FLOOR, [(ns, first_seq) for ns in sorted(floors)])
    return KeysCompacted(count)


COMPACT_KEYS: Final = ChangeKind("kv.compact", CompactKeys, _check, _compact)
