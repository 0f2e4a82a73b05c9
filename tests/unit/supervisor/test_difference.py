"""What a reload finds changed."""

from typing import Any

import pytest

from supervisor.difference import Difference, diff
from supervisor.spec import Backoff, ChildSpec, Limits, NodeSpec, Settings, TreeSpec


def tree(**changes: dict[str, Any] | None) -> TreeSpec:
    """Return a tree of actors a, b and c, changed or, with None, without one of them."""
    names = [
        name for name in {"a": 0, "b": 0, "c": 0} | changes if changes.get(name, {}) is not None
    ]
    actors = {
        name: ChildSpec(name=name, **({"class_path": "m:C"} | (changes.get(name) or {})))
        for name in names
    }
    return TreeSpec({"root": NodeSpec(name="root")}, actors)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"class_path": "m:D"}, "replaced"),
        ({"env": {"A": "1"}}, "replaced"),
        ({"cpu": (0,)}, "replaced"),
        ({"limits": Limits(open_files=9)}, "replaced"),
        ({"config_type": "m:T"}, "replaced"),
        ({"config": {"x": 1}}, "reconfigured"),
        ({"config": {"x": 1}, "shutdown_s": 3.0}, "reconfigured"),
        ({"config": {"x": 1}, "env": {"A": "1"}}, "replaced"),
        ({"shutdown_s": 3.0}, "respecified"),
        ({"backoff": Backoff(base_s=0)}, "respecified"),
        ({"restart": "transient"}, "respecified"),
        ({"node": "other"}, "moved"),
        ({"enabled": False}, "disabled"),
    ],
)
def test_change_of_an_actor_is_of_one_kind(change: dict[str, Any], kind: str) -> None:
    """Each change is put down once, as the most that it takes."""
    new = tree(b=change)
    if "node" in change:
        new.nodes["other"] = NodeSpec(name="other")

    found = diff(tree(), new)

    expected = {kind: ("b",)} | ({"nodes": ("other",)} if "node" in change else {})
    assert found == Difference(**expected)


def test_enabling_is_found() -> None:
    """An actor that is switched on is to be started."""
    assert diff(tree(a={"enabled": False}), tree()) == Difference(enabled=("a",))


def test_added_and_removed_come_in_start_and_stop_order() -> None:
    """Starts go forward, stops in reverse."""
    assert diff(tree(), tree(d={}, e={})).added == ("d", "e")
    assert diff(tree(), tree(a=None, b=None)).removed == ("b", "a")


def test_same_tree_has_no_difference() -> None:
    """A reload of an unchanged file does nothing."""
    assert not diff(tree(), tree(), Settings(), Settings())


def test_nodes_and_settings_are_compared() -> None:
    """A new intensity and a new log limit are found by name."""
    new = TreeSpec({"root": NodeSpec(name="root", intensity=9)}, tree().actors)

    found = diff(tree(), new, Settings(), Settings(log_files=9))

    assert found == Difference(nodes=("root",), settings=("log_files",))
