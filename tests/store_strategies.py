"""Any steps of writes that chance comes up with, few keys and values among them, for models."""

from typing import Any, Final

from hypothesis import strategies as st
from store_model import Step

from hourbook.faces.store_steps import check_step, delete_step, increment_step, set_step
from protocols.kv_messages import Op

__all__ = [
    "KEYS",
    "NAMESPACES",
    "S_NS",
    "clients",
    "keys",
    "namespaces",
    "op_of",
    "sets",
    "steps",
    "values",
]

S_NS: Final = 1_000_000_000
NAMESPACES: Final = ("notes", "config", "temp", "task_results")
KEYS: Final = ("a", "b", "job/1", "ключ*")

namespaces = st.sampled_from(NAMESPACES)
keys = st.sampled_from(KEYS)
clients = st.sampled_from([0, 1])
values = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([None, True, "", b"\xff", 1.5, (1 << 63) - 1, [1, ["x"]], {"a": b"1"}]),
    st.builds("x".__mul__, st.just(3000)),
    st.builds(bytes, st.just(600)),
)
types = st.sampled_from(
    ["", "", "", "", "persistent", "versioned", "shared", "locked", "transient", "cached"]
)
ttls = st.sampled_from([None, None, None, S_NS, 10 * S_NS, 3600 * S_NS, 9_000_000_000 * S_NS])
metadatas = st.sampled_from([None, None, {"by": "me"}])
added = st.sampled_from([1, -2, 0.5, 1 << 62, -(1 << 63)])
versions = st.sampled_from([None, None, None, "current", "current", "absent", "stale"])
tokens = st.sampled_from([None, None, "held", "stale"])
common = {"key": keys, "if_version": versions, "token": tokens}


def draw_steps(op: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    """Return a strategy for steps of one kind."""
    return st.fixed_dictionaries({**common, **fields}).map(lambda drawn: Step(op, **drawn))


sets = draw_steps(
    "set", value=values, type=types, ttl_ns=ttls, keep_ttl=st.booleans(), metadata=metadatas
).map(lambda step: step._replace(keep_ttl=step.keep_ttl and step.ttl_ns is None))
increments = draw_steps("increment", value=added, type=types, ttl_ns=ttls)
deletes = draw_steps("delete")
checks = draw_steps("check")
steps = st.one_of(sets, sets, increments, deletes, checks)


def op_of(step: Step) -> Op:
    """Return what is sent."""
    named: Any = {"if_version": step.if_version, "token": step.token}
    ttl_s = None if step.ttl_ns is None else step.ttl_ns // S_NS
    if step.op == "set":
        fields: Any = {"type": step.type, "metadata": step.metadata, "keep_ttl": step.keep_ttl}
        return set_step(step.key, step.value, ttl_s=ttl_s, **fields, **named)
    if step.op == "increment":
        kind: Any = step.type
        return increment_step(step.key, step.value, ttl_s=ttl_s, type=kind, **named)
    if step.op == "delete":
        return delete_step(step.key, **named)
    return check_step(step.key, **named)
