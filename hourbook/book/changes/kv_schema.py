"""What new values of a namespace must look like: ``kv.schema``. Those that are there stay."""

from typing import Final

from hourbook.book.changes.scope import ChangeKind, Scope
from hourbook.book.store.json_schema import compile_schema
from hourbook.book.store.rows import KV_SCHEMA
from protocols.change import check_change
from protocols.kv_keys import check_namespace
from protocols.kv_messages import SchemaSet, SetSchema

__all__ = ["SET_SCHEMA"]


def _check(change: SetSchema) -> None:
    check_change(change)
    check_namespace(change.ns, "ns")
    if change.schema:
        compile_schema(change.schema)


def _set(change: SetSchema, scope: Scope) -> SchemaSet:
    action = "set" if change.schema else "removed"
    seq = scope.record(KV_SCHEMA, action, change.ns, {"schema": change.schema})
    connection = scope.connection
    connection.execute("DELETE FROM kv_schema WHERE ns = ?", (change.ns,))
    if change.schema:
        values = (change.ns, seq, change.schema)
        connection.execute("INSERT INTO kv_schema VALUES (?, ?, ?)", values)
    scope.store.schemas.clear()
    return SchemaSet(seq)


SET_SCHEMA: Final = ChangeKind("kv.schema", SetSchema, _check, _set)
