"""What a reload has to do: the difference between two configurations. Pure."""

from typing import Final

import msgspec

from supervisor.spec import ChildSpec, Settings, TreeSpec

__all__ = ["Difference", "diff"]

_NEEDS_NEW_PROCESS: Final = ("class_path", "config_type", "cpu", "env", "limits")
"""Fields that a process takes in at its birth."""


class Difference(msgspec.Struct, frozen=True):
    """Names of actors and nodes by what is to be done with them, in start order of the new tree.

    Attributes:
        removed: to be stopped and forgotten, in reverse start order.
        added: to be started.
        moved: under another node now; to be stopped and started there.
        replaced: need a new process.
        reconfigured: only their ``config`` changed; they may take it in while they run.
        respecified: only rules about them changed (restart, time-outs, back-off).
        enabled: to be started.
        disabled: to be stopped, their specs kept.
        nodes: added, removed or changed nodes.
        settings: keys of ``[supervisor]`` that changed.
    """

    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    reconfigured: tuple[str, ...] = ()
    respecified: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__struct_fields__)


def diff(
    old: TreeSpec,
    new: TreeSpec,
    old_settings: Settings | None = None,
    new_settings: Settings | None = None,
) -> Difference:
    """Compare two trees, and the settings beside them where both are given."""
    started = [name for name in new.actors_below("root") if name in old.actors]
    kinds = {name: _kind(old.actors[name], new.actors[name]) for name in started}

    def of(kind: str) -> tuple[str, ...]:
        return tuple(name for name in started if kinds[name] == kind)

    before, after = list(old.actors_below("root")), list(new.actors_below("root"))
    names = [*new.nodes, *(name for name in old.nodes if name not in new.nodes)]
    return Difference(
        removed=tuple(name for name in reversed(before) if name not in new.actors),
        added=tuple(name for name in after if name not in old.actors),
        moved=of("moved"),
        replaced=of("replaced"),
        reconfigured=of("reconfigured"),
        respecified=of("respecified"),
        enabled=of("enabled"),
        disabled=of("disabled"),
        nodes=tuple(name for name in names if old.nodes.get(name) != new.nodes.get(name)),
        settings=_changed_settings(old_settings, new_settings),
    )


def _kind(old: ChildSpec, new: ChildSpec) -> str:
    if old == new:
        return "same"
    if old.enabled != new.enabled:
        return "enabled" if new.enabled else "disabled"
    if old.node != new.node:
        return "moved"
    if any(getattr(old, name) != getattr(new, name) for name in _NEEDS_NEW_PROCESS):
        return "replaced"
    return "respecified" if old.config == new.config else "reconfigured"


def _changed_settings(old: Settings | None, new: Settings | None) -> tuple[str, ...]:
    if old is None or new is None:
        return ()
    return tuple(name for name in old.__struct_fields__ if getattr(old, name) != getattr(new, name))
