"""Whose turn it is: the mechanics of a tree, on which its rules are written.

Members are *doomed* (must go down) or *queued* (PENDING). After every event two rules run until
nothing changes any more:

1. of the doomed members of a node, the last one in start order is ended first, and the next only
   when it is down (children added by command have no order among them and end together);
2. of the queued members, the first one is started, and the next only when it has answered; nothing
   queued starts beside a doomed sibling.

Restart strategies, escalation, roll-back and reload are all ways to doom and to queue. Knows no
process, socket or clock: what is to be done gathers in a list of actions.
"""

import random
from abc import ABC, abstractmethod
from typing import Final

from supervisor.actions import Action, Arm, Disarm, Drop, Note, Push, Spawn
from supervisor.machine import KILL_AGAIN_S, LIVE, Act, Event, Rung, State, ladder, step
from supervisor.members import Actor, After, Member, Node
from supervisor.restart import Delays, Window
from supervisor.spec import ChildSpec, NodeSpec, TreeSpec

__all__ = ["ROOT", "Turns"]

ROOT: Final = "root"
_S_NS: Final = 1_000_000_000
_OPEN: Final = (State.PENDING, State.STARTING, State.STOPPING, State.BACKOFF)
"""States in which it is not yet known how a start in turn ends."""
_NOTED: Final = (
    State.DISABLED,
    State.READY,
    State.DEGRADED,
    State.STOPPING,
    State.BACKOFF,
    State.GAVE_UP,
)


class Turns(ABC):
    """The members of a tree, and the order in which they go up and down."""

    def __init__(self, spec: TreeSpec, rng: random.Random) -> None:
        self.spec = spec
        self.actors: dict[str, Actor] = {}
        self.nodes: dict[str, Node] = {}
        self._rng = rng
        self._now_ns = 0
        self._actions: list[Action] = []
        self._incarnations: dict[str, int] = {}
        self._is_dirty = False
        self.is_first_start = True
        self._rebuild(self._new_node(spec.nodes[ROOT]))

    # -- what rules are made of ------------------------------------------------------------------

    def _member(self, name: str) -> Member:
        return self.actors.get(name) or self.nodes[name]

    def _doom(self, member: Member, after: After) -> None:
        """Take a member down when its turn comes; `after` says what follows."""
        self._is_dirty = True
        member.doomed = True
        member.after = after
        if isinstance(member, Node):
            below = After.GIVE_UP if after is After.GIVE_UP else After.REST
            for child in map(self._member, tuple(member.children)):
                self._doom(child, After.DROP if child.dynamic else below)
        elif member.state not in LIVE:
            self._come_down(member)

    def _queue(self, member: Member, *, in_turn: bool) -> None:
        """Start a member that is down, when its turn comes or at once."""
        member.in_turn = in_turn
        self._is_dirty = True
        if isinstance(member, Actor):
            self._apply(member, Event.QUEUE)
        else:
            member.state = State.PENDING

    def _drop(self, member: Member) -> None:
        """Forget a member that is down."""
        self._is_dirty = True
        self.nodes[member.parent].children.remove(member.name)
        if isinstance(member, Node):
            for child in map(self._member, tuple(member.children)):
                self._drop(child)
            del self.nodes[member.name]
            return
        del self.actors[member.name]
        self._actions.append(Drop(member.name))
        moved = self.spec.actors.get(member.name)
        if moved is not None and moved.node != member.parent and moved.node in self.nodes:
            node = self.nodes[moved.node]
            self._rebuild(node)
            if moved.enabled and node.is_up:
                self._queue(self.actors[member.name], in_turn=True)

    def _apply(self, actor: Actor, event: Event) -> None:
        """Feed one event to an actor's machine and do what entering the new state asks for."""
        state, acts = step(actor.state, event)
        if state is not actor.state:
            self._is_dirty = True
            actor.state = state
            if state in _NOTED:
                self._note(actor.name, state.lower(), cause=actor.why, detail=actor.reason)
        for act in acts:
            self._do(actor, act)

    def _note(self, name: str, event: str, *, cause: str = "", detail: str = "") -> None:
        actor = self.actors.get(name)
        incarnation = actor.incarnation if actor else 0
        self._actions.append(Note(name, event, incarnation, cause, detail))

    @abstractmethod
    def _node_ended(self, node: Node) -> None:
        """Decide what follows when a node has ended by itself."""

    # -- turns -----------------------------------------------------------------------------------

    def _advance(self) -> list[Action]:
        """Run both rules until nothing changes; return and forget the actions gathered."""
        while self._is_dirty:
            self._is_dirty = False
            root = self.nodes[ROOT]
            was_doomed = root.doomed  # not what it becomes below, with children still up
            if not self._end_doomed(root) and was_doomed:
                self._come_down(root)
            self._start_queued(root)
        actions, self._actions = self._actions, []
        return actions

    def _end_doomed(self, node: Node) -> bool:
        """End the doomed below `node`, last first; return whether any of them is still up."""
        is_waiting = is_static_waiting = False
        for child in map(self._member, reversed(tuple(node.children))):
            if not child.doomed:
                if isinstance(child, Node):
                    self._end_doomed(child)
                continue
            if is_static_waiting or (is_waiting and not child.dynamic):
                continue
            if isinstance(child, Node):
                is_up = self._end_doomed(child)
                if not is_up:
                    self._come_down(child)
            else:
                is_up = self._end(child)
            if is_up:
                is_waiting = True
                is_static_waiting = not child.dynamic
        return is_waiting

    def _end(self, actor: Member) -> bool:
        assert isinstance(actor, Actor)
        if actor.is_live and actor.state is not State.STOPPING:
            actor.why = actor.why or "requested"
            self._apply(actor, Event.STOP)
        return actor.is_live

    def _come_down(self, member: Member) -> None:
        """A doomed member is down: do what was to follow."""
        after, member.doomed = member.after, False
        self._is_dirty = True
        if after is After.DROP:
            self._drop(member)
        elif isinstance(member, Actor):
            self._rest(member, after)
        else:
            self._close(self.nodes[member.name], after)

    def _close(self, node: Node, after: After) -> None:
        node.state = State.GAVE_UP if after is After.GIVE_UP else State.EXITED
        if after is After.RUN:
            self._queue(node, in_turn=node.in_turn)
            return
        self._note(node.name, node.state.lower(), cause=node.cause)
        if after is After.OWN_END or node.name == ROOT:
            self._node_ended(node)

    def _rest(self, actor: Actor, after: After) -> None:
        if after is After.RUN and actor.wanted:
            self._queue(actor, in_turn=actor.in_turn)
        elif after is After.GIVE_UP and actor.wanted:
            self._apply(actor, Event.GIVE_UP)
        elif not actor.spec.enabled:
            self._apply(actor, Event.DISABLE)
        else:
            self._apply(actor, Event.STOP)

    def _start_queued(self, node: Node) -> None:
        """Start what is queued below `node`, first first."""
        if not node.is_up:
            return
        children = [self._member(name) for name in node.children]
        waits = any(child.doomed for child in children) or (
            node.spec.strategy == "one_for_all"
            and any(child.state is State.BACKOFF for child in children)
        )
        is_settled = not any(child.doomed for child in children)
        for child in children:
            if child.state is State.PENDING and not child.doomed and not (waits and child.in_turn):
                self._start(child)
            if isinstance(child, Node):
                self._start_queued(child)
            if child.in_turn and child.state in _OPEN:
                waits = True
                is_settled = False
        if node.state is State.STARTING and is_settled:
            node.state = State.READY
            self._is_dirty = True
            self._note(node.name, "ready")
            if node.name == ROOT:
                self.is_first_start = False

    def _start(self, member: Member) -> None:
        if isinstance(member, Actor):
            self._apply(member, Event.SPAWN)
        else:
            self._open(self.nodes[member.name])

    def _open(self, node: Node) -> None:
        """Start a node anew: a clean window, its static children, in turn."""
        node.state = State.STARTING
        node.cause = ""
        node.window.clear()
        self._is_dirty = True
        self._rebuild(node)
        for child in map(self._member, node.children):
            if isinstance(child, Actor):
                child.delays.reset()
            if child.wanted:
                self._queue(child, in_turn=True)

    # -- one actor -------------------------------------------------------------------------------

    def _do(self, actor: Actor, act: Act) -> None:
        spec = actor.spec
        match act:
            case Act.SPAWN:
                self._be_born(actor)
            case Act.ARM_START:
                self._arm(actor, spec.start_timeout_s)
            case Act.ARM_WATCHDOG:
                self._arm(actor, spec.watchdog_s)
            case Act.ARM_DELAY:
                self._actions.append(Arm(actor.name, self._now_ns + actor.delay_ns))
            case Act.DISARM:
                self._actions.append(Disarm(actor.name))
            case Act.NEXT_RUNG:
                self._climb(actor, is_due=True)
            case _:
                actor.rungs = ladder(act, spec.shutdown_s)
                self._climb(actor, is_due=False)

    def _be_born(self, actor: Actor) -> None:
        actor.incarnation += 1
        self._incarnations[actor.name] = actor.incarnation
        actor.why = actor.reason = actor.traceback = ""
        actor.is_killed = False
        actor.ready_ns = 0
        self._actions.append(Spawn(actor.name, actor.incarnation))
        self._note(actor.name, "starting")

    def _climb(self, actor: Actor, *, is_due: bool) -> None:
        """Take the rungs whose time has come and set the timer for the next."""
        while actor.rungs and (is_due or actor.rungs[0].after_s == 0):
            rung, *rest = actor.rungs
            actor.rungs = tuple(rest)
            is_due = False
            self._actions.append(Push(actor.name, rung.deed, actor.why))
            if rung.deed == "kill":
                actor.is_killed = True
                actor.rungs = (Rung(KILL_AGAIN_S, "kill"),)
        if actor.rungs:
            self._arm(actor, actor.rungs[0].after_s)
        else:
            self._actions.append(Disarm(actor.name))

    def _arm(self, actor: Actor, delay_s: float) -> None:
        self._actions.append(Arm(actor.name, self._now_ns + round(delay_s * _S_NS)))

    def _rebuild(self, node: Node) -> None:
        """Give a node the children of its spec again; those it has are kept as they are."""
        listed = [n for n in self.spec.children_of(node.name) if not self._is_elsewhere(n, node)]
        kept = [n for n in node.children if n not in listed]  # dynamic, or on their way out
        node.children = [*listed, *kept]
        for name in node.children:
            if name in self.spec.nodes and name not in self.nodes:
                self._rebuild(self._new_node(self.spec.nodes[name]))
            elif name in self.spec.actors and name not in self.actors:
                self._new_actor(self.spec.actors[name])

    def _is_elsewhere(self, name: str, node: Node) -> bool:
        """Say whether a child that is to come under `node` still has to leave another one."""
        member = self.actors.get(name) or self.nodes.get(name)
        return member is not None and member.parent != node.name

    def _new_node(self, spec: NodeSpec) -> Node:
        node = Node(spec.name, spec.node, spec=spec, window=Window(spec.intensity, spec.period_s))
        self.nodes[spec.name] = node
        return node

    def _new_actor(self, spec: ChildSpec) -> Actor:
        actor = Actor(
            spec.name,
            spec.node,
            spec=spec,
            wanted=spec.enabled,
            state=State.EXITED if spec.enabled else State.DISABLED,
            delays=Delays(spec.backoff),
            incarnation=self._incarnations.get(spec.name, 0),
        )
        self.actors[spec.name] = actor
        return actor
