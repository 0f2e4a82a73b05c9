"""Specs of small trees, for tests with processes and without."""

from typing import Any

from supervisor.spec import ChildSpec, NodeSpec, TreeSpec

__all__ = ["node", "tree"]


def node(name: str = "root", **fields: Any) -> NodeSpec:
    """Return the spec of a node."""
    fields.setdefault("node", "" if name == "root" else "root")
    return NodeSpec(name=name, **fields)


def tree(*members: ChildSpec | NodeSpec, **root: Any) -> TreeSpec:
    """Return a tree of actors and nodes under a root with these fields."""
    nodes = [node(**root), *(m for m in members if isinstance(m, NodeSpec))]
    actors = [m for m in members if isinstance(m, ChildSpec)]
    return TreeSpec({n.name: n for n in nodes}, {a.name: a for a in actors})
