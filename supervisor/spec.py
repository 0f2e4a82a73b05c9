"""What can be configured: frozen specs of children, nodes and the supervisor itself, checked whole.

The words and defaults are OTP's (``supervisor(3erl)``). Reading TOML and naming its mistakes is
``supervisor.config``; here a spec that exists is a spec that holds, and :func:`check_tree` says
what is wrong with a tree as a list of ``(path, problem)``.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Final, Literal

import msgspec

__all__ = [
    "BACKOFF_BASE_S",
    "BACKOFF_CAP_S",
    "Backoff",
    "ChildSpec",
    "Limits",
    "NodeSpec",
    "Settings",
    "TreeSpec",
    "backoff_ceiling_s",
    "check_tree",
    "empty_nodes",
]

Restart = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]
OnEscalation = Literal["escalate", "give_up"]
LogLevel = Literal["debug", "info", "warning", "error"]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
# A description is how a mistake is worded: "must be module:Class".
Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z][a-z0-9_]{0,62}\Z",
        description="a lower-case letter, then at most 62 of a-z, 0-9, _",
    ),
]
ClassPath = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z", description="module:Class")
]
ConfigPath = Annotated[
    str,
    msgspec.Meta(pattern=r"^(|[A-Za-z_][\w.]*:[A-Za-z_]\w*)\Z", description='module:Struct, or ""'),
]

BACKOFF_BASE_S: Final = 0.5
BACKOFF_CAP_S: Final = 30.0


class Backoff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Full-jitter delays before a restart: ``uniform(0, min(cap_s, base_s * 2**n))``, n from 1.

    The first restart (n = 0) is immediate.

    Attributes:
        base_s: (seconds, >= 0; 0 switches delays off).
        cap_s: the largest delay (seconds, >= 0).
        reset_s: READY for so long sets n back to 0 (seconds, > 0).
    """

    base_s: NotNegative = BACKOFF_BASE_S
    cap_s: NotNegative = BACKOFF_CAP_S
    reset_s: Positive = 60.0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one child may use; 0 is no limit.

    Attributes:
        rss_mib: above it the child is restarted gracefully (MiB, >= 0).
        open_files: RLIMIT_NOFILE (count, >= 0).
        core_mib: RLIMIT_CORE (MiB, >= 0): 0 writes no core file.
    """

    rss_mib: Annotated[int, msgspec.Meta(ge=0)] = 0
    open_files: Annotated[int, msgspec.Meta(ge=0)] = 0
    core_mib: Annotated[int, msgspec.Meta(ge=0)] = 0


class ChildSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One actor process.

    Attributes:
        class_path: ``module:Class``, imported in the child alone.
        config_type: ``module:Struct`` that its ``config`` must fit; light to import; "" takes any.
        node: the node that it belongs to.
        restart: permanent, transient or temporary.
        shutdown_s: until SIGKILL (seconds, > 0; "infinity" waits, "kill" asks nothing first).
        start_timeout_s: from spawn to the answer of init (seconds, > 0).
        watchdog_s: without a beat for so long it hangs (seconds, > 0).
        significant: see ``auto_shutdown`` of its node.
        backoff: delays before restarts.
        limits: memory, files, cores.
        cpu: processors it may run on; empty is all.
        env: added to its environment.
        config: handed to the actor.
        enabled: false keeps the spec and starts nothing.
    """

    name: Name
    class_path: ClassPath = msgspec.field(name="class")
    config_type: ConfigPath = ""
    node: Name = "root"
    restart: Restart = "permanent"
    shutdown_s: Positive | Literal["infinity", "kill"] = 5.0
    start_timeout_s: Positive = 30.0
    watchdog_s: Positive = 10.0
    significant: bool = False
    backoff: Backoff = Backoff()
    limits: Limits = Limits()
    cpu: tuple[Annotated[int, msgspec.Meta(ge=0)], ...] = ()
    env: dict[str, str] = {}
    config: dict[str, Any] = {}
    enabled: bool = True


class NodeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One inner supervisor: a strategy over an ordered list of actors and nodes.

    Attributes:
        strategy: what else restarts when one child dies.
        intensity: restarts allowed within the period (count, >= 0).
        period_s: (seconds, > 0).
        restart: what the parent does when this node gives up.
        order: names of its children, in the order of their start.
        auto_shutdown: whether the end of significant children ends the node.
        on_escalation: "give_up" leaves the node stopped and the rest of the tree running.
        significant: as for a child.
    """

    name: Name
    node: str = "root"
    strategy: Strategy = "one_for_one"
    intensity: Annotated[int, msgspec.Meta(ge=0)] = 5
    period_s: Positive = 60.0
    restart: Restart = "permanent"
    order: tuple[str, ...] = ()
    auto_shutdown: AutoShutdown = "never"
    on_escalation: OnEscalation = "escalate"
    significant: bool = False


class TreeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole tree. The node called ``root`` is the outermost; its ``node`` is ""."""

    nodes: dict[str, NodeSpec]
    actors: dict[str, ChildSpec]

    def children_of(self, node: str) -> tuple[str, ...]:
        """Return the names of a node's children in start order: those of `order`, then the rest."""
        listed = self.nodes[node].order
        nodes = [n for n, inner in self.nodes.items() if inner.node == node]
        actors = [n for n, actor in self.actors.items() if actor.node == node]
        return (*listed, *(n for n in (*nodes, *actors) if n not in listed and n != node))

    def actors_below(self, name: str) -> Iterator[str]:
        """Yield the actors under a node, or the actor itself, in start order."""
        if name in self.actors:
            yield name
            return
        for child in self.children_of(name):
            yield from self.actors_below(child)


def backoff_ceiling_s(backoff: Backoff, attempt: int) -> float:
    """Return the largest delay before restart `attempt` (counts from 0, which is immediate)."""
    if attempt == 0:
        return 0.0
    return min(backoff.cap_s, backoff.base_s * 2.0 ** min(attempt, 64))


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The supervisor's own settings.

    Attributes:
        log_level: the least that the supervisor and its actors log.
        log_file_mib: a log file is rotated at this size (MiB, 1..4096).
        log_files: log files kept for each actor, the newest included (count, 1..100).
        log_line_bytes: longer lines are cut (bytes, 80..1048576).
    """

    log_level: LogLevel = "info"
    log_file_mib: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 16
    log_files: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4
    log_line_bytes: Annotated[int, msgspec.Meta(ge=80, le=1_048_576)] = 8192


def check_tree(tree: TreeSpec) -> list[tuple[str, str]]:
    """Return each mistake that only the whole tree shows, as ``(path, problem)``; [] when sound."""
    problems = [
        *_check_names(tree),
        *_check_parents(tree),
        *_check_orders(tree),
    ]
    return problems or [*_check_windows(tree), *_check_significant(tree)]


def empty_nodes(tree: TreeSpec, names: AbstractSet[str]) -> list[tuple[str, str]]:
    """Return those of the nodes `names` that have no child, as :func:`check_tree` does.

    A tree with them holds, since children may be added while it runs; in a file such a node is
    most likely a name misspelt.
    """
    have = ", ".join(sorted(tree.nodes.keys() - names))
    return [
        (f"node.{name}", f"has no actor or node; misspelt? (have: {have})")
        for name in sorted(names)
        if not tree.children_of(name)
    ]


def _check_names(tree: TreeSpec) -> Iterator[tuple[str, str]]:
    if "root" not in tree.nodes:
        yield "node", "expected a node called root"
    for name in sorted(tree.nodes.keys() & tree.actors.keys()):
        yield f"actor.{name}", "duplicate: a node has this name too"
    if "supervisor" in tree.actors:
        yield "actor.supervisor", "reserved for the supervisor itself"


def _check_parents(tree: TreeSpec) -> Iterator[tuple[str, str]]:
    for kind, specs in _kinds(tree):
        for name, spec in specs:
            if name != "root" and spec.node not in tree.nodes:
                known = ", ".join(sorted(tree.nodes))
                yield f"{kind}.{name}.node", f"{spec.node}: no such node (have: {known})"
    for name in tree.nodes:
        trail = _trail(tree, name)
        if len(trail) != len(set(trail)):
            yield f"node.{name}.node", f"cycle: {' -> '.join(trail)}"


def _trail(tree: TreeSpec, name: str) -> list[str]:
    """Follow the parents of a node up to the root, to an unknown node, or once around a cycle."""
    trail = [name]
    while trail[-1] != "root" and trail[-1] in tree.nodes:
        trail.append(tree.nodes[trail[-1]].node)
        if trail[-1] in trail[:-1]:
            break
    return trail


def _check_orders(tree: TreeSpec) -> Iterator[tuple[str, str]]:
    for name, node in tree.nodes.items():
        path = f"node.{name}.order"
        for child in dict.fromkeys(c for c in node.order if node.order.count(c) > 1):
            yield path, f"{child}: duplicate"
        for child in dict.fromkeys(node.order):
            spec = tree.actors.get(child) or tree.nodes.get(child)
            if spec is None or child == "root":
                yield path, f"{child}: no such actor or node"
            elif spec.node != name:
                yield path, f"{child}: belongs to node {spec.node}"


def _check_windows(tree: TreeSpec) -> Iterator[tuple[str, str]]:
    """Refuse a node that could restart one child for ever: delays so long that it never trips."""
    for name, node in tree.nodes.items():
        for child in tree.children_of(name):
            spec = tree.actors.get(child)
            if spec is None or spec.restart == "temporary":
                continue
            # The window trips at restart number intensity + 1; between its first and its last
            # attempt lie the delays before attempts 1..intensity, each at most its ceiling.
            spread_s = sum(backoff_ceiling_s(spec.backoff, n) for n in range(1, node.intensity + 1))
            if spread_s >= node.period_s:
                window = f"{node.intensity} in {node.period_s:g} s"
                took = f"the back-off of {child} alone may take {spread_s:g} s"
                yield f"node.{name}.intensity", f"{window} can never trip: {took}"


def _check_significant(tree: TreeSpec) -> Iterator[tuple[str, str]]:
    for kind, specs in _kinds(tree):
        for name, spec in specs:
            if not spec.significant or name == "root":
                continue
            if spec.restart == "permanent":
                yield f"{kind}.{name}.significant", "true: a permanent child cannot be significant"
            elif tree.nodes[spec.node].auto_shutdown == "never":
                yield (
                    f"{kind}.{name}.significant",
                    f"true: node {spec.node} has auto_shutdown never",
                )


def _kinds(
    tree: TreeSpec,
) -> tuple[tuple[str, list[tuple[str, ChildSpec | NodeSpec]]], ...]:
    return (("node", [*tree.nodes.items()]), ("actor", [*tree.actors.items()]))
