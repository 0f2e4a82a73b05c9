"""What a person may ask of a tree: OTP's ``start_child``, ``terminate_child`` and their kin.

Each request is checked first and changes nothing when it is refused. None of them blocks another:
a stop is honoured in every state, and a start or restart of what is already between two
incarnations is refused at once instead of queueing behind it.
"""

from collections.abc import Collection, Iterator

from protocols import errors
from supervisor import exit_codes
from supervisor.actions import Action
from supervisor.endings import Rules
from supervisor.machine import LIVE, RUNNING, Event, State
from supervisor.members import Actor, After, Member
from supervisor.restart import Delays
from supervisor.spec import ChildSpec, TreeSpec
from supervisor.turns import ROOT

__all__ = ["Requests"]


class Requests(Rules):
    """Start, stop, restart, add, remove, reshape."""

    def actors_below(self, name: str = ROOT) -> Iterator[Actor]:
        """Yield the actors under a node, or the actor itself, in start order.

        Raises:
            UnknownName: there is none of that name.
        """
        yield from self._actors_below(self._find(name))

    def stop_all(self, now_ns: int, code: int = exit_codes.OK) -> list[Action]:
        """Stop everything in reverse order, then finish with `code`; the first reason counts."""
        self._now_ns = now_ns
        self._end_tree(code)
        return self._advance()

    def kill_all(self, now_ns: int) -> list[Action]:
        """Stop everything at once and without asking."""
        self._now_ns = now_ns
        self._end_tree(exit_codes.OK)
        self._kill_below(self.nodes[ROOT])
        return self._advance()

    def start(self, name: str, now_ns: int) -> list[Action]:
        """Start an actor or a node that is down, and the nodes above it that are.

        Raises:
            UnknownName: there is none of that name.
            AlreadyPresent: it runs, or is about to.
            Restarting: what it belongs to is being stopped.
        """
        self._now_ns = now_ns
        member = self._find(name)
        if member.doomed or member.state in (*LIVE, State.PENDING, State.BACKOFF):
            raise errors.AlreadyPresent(
                f"Expected {name} to be down, got {member.state}", field="name", value=name
            )
        self._revive(member)
        return self._advance()

    def stop(self, name: str, now_ns: int, *, is_now: bool = False) -> list[Action]:
        """Stop an actor or a node, and keep it stopped; with `is_now` by SIGKILL.

        Raises:
            UnknownName: there is none of that name.
        """
        if name == ROOT:
            return self.kill_all(now_ns) if is_now else self.stop_all(now_ns)
        self._now_ns = now_ns
        member = self._find(name)
        member.wanted = False
        self._doom(member, After.REST)
        if is_now:
            self._kill_below(member)
        return self._advance()

    def restart(self, name: str, now_ns: int) -> list[Action]:
        """Restart an actor or a node gracefully; revive one that is down.

        Raises:
            UnknownName: there is none of that name.
            Restarting: it is between two incarnations already.
        """
        self._now_ns = now_ns
        member = self._find(name)
        self._refuse_restarting(member)
        if member.state in RUNNING:
            self._restart_gracefully(member)
        else:
            self._revive(member)
        return self._advance()

    def add(self, spec: ChildSpec, now_ns: int) -> list[Action]:
        """Start a dynamic child; if its init fails, the spec is discarded.

        Raises:
            AlreadyPresent: the name is taken.
            UnknownName: there is no such node.
            Restarting: the node is not up.
        """
        self._now_ns = now_ns
        if spec.name in self.actors or spec.name in self.nodes:
            raise errors.AlreadyPresent(
                f"Expected a new name, got {spec.name}", field="name", value=spec.name
            )
        node = self.nodes.get(spec.node)
        if node is None:
            raise _unknown(spec.node, "node")
        if not node.is_up:
            raise errors.Restarting(f"Expected node {spec.node} to be up, got {node.state}")
        actor = self._new_actor(spec)
        actor.dynamic = actor.is_trial = True
        node.children.append(spec.name)
        if actor.wanted:
            self._queue(actor, in_turn=False)
        return self._advance()

    def remove(self, name: str, now_ns: int) -> list[Action]:
        """Stop an actor and forget its spec.

        Raises:
            UnknownName: there is no such actor.
            Restarting: it is between two incarnations.
        """
        self._now_ns = now_ns
        actor = self.actors.get(name)
        if actor is None:
            raise _unknown(name, "name")
        self._refuse_restarting(actor)
        self._doom(actor, After.DROP)
        return self._advance()

    def reshape(self, spec: TreeSpec, restart: Collection[str], now_ns: int) -> list[Action]:
        """Take a changed tree into force, and restart the actors named in `restart`.

        An actor that moves to another node ends in the old one and starts in the new one.

        Raises:
            ConfigError: a node would move.
        """
        self._refuse_moves(spec)
        self._now_ns = now_ns
        known = {*self.actors, *self.nodes}
        removed = (self.spec.actors.keys() | self.spec.nodes.keys()) - spec.actors.keys()
        removed -= spec.nodes.keys()
        removed |= {
            n
            for n, a in spec.actors.items()
            if n in self.spec.actors and self.spec.actors[n].node != a.node
        }
        self.spec = spec
        for name in removed & known:
            self._doom(self._member(name), After.DROP)
        for name, node_spec in spec.nodes.items():
            if name in self.nodes:
                self.nodes[name].reshape(node_spec)
        for name in spec.nodes.keys() & known:
            self._rebuild(self.nodes[name])
        for child in map(self._member, (*spec.nodes, *spec.actors)):
            if child.name not in known and child.wanted and self.nodes[child.parent].is_up:
                self._queue(child, in_turn=True)
            elif isinstance(child, Actor) and child.name not in removed:
                self._renew(child, spec.actors[child.name], is_restarted=child.name in restart)
        return self._advance()

    # -- parts of it -----------------------------------------------------------------------------

    def _restart_gracefully(self, member: Member) -> None:
        member.in_turn = False
        if isinstance(member, Actor):
            member.delays.reset()
        self._doom(member, After.RUN)

    def _revive(self, member: Member) -> None:
        """Start what is down; where its node is down too, start that."""
        node = self.nodes.get(member.parent)
        if node is None or node.doomed:
            down = member.name if node is None else node.name
            raise errors.Restarting(f"Expected {down} to be up, got it being stopped")
        member.wanted = True
        if node.is_up:
            if isinstance(member, Actor):
                member.delays.reset()
            self._queue(member, in_turn=False)
        elif node.state is not State.PENDING:
            self._revive(node)

    def _renew(self, actor: Actor, spec: ChildSpec, *, is_restarted: bool) -> None:
        was_enabled = actor.spec.enabled
        if spec.backoff != actor.spec.backoff:
            actor.delays = Delays(spec.backoff)
        actor.spec = spec
        if spec.enabled != was_enabled:
            actor.wanted = spec.enabled
        if was_enabled and not spec.enabled:
            self._doom(actor, After.REST)
        elif spec.enabled and not was_enabled and self.nodes[actor.parent].is_up:
            self._queue(actor, in_turn=True)
        elif is_restarted and actor.is_live and not actor.doomed:
            self._restart_gracefully(actor)

    def _kill_below(self, member: Member) -> None:
        for actor in tuple(self._actors_below(member)):
            if actor.is_live:
                actor.why = actor.why or "requested"
                self._apply(actor, Event.KILL)

    def _actors_below(self, member: Member) -> Iterator[Actor]:
        if isinstance(member, Actor):
            yield member
            return
        for child in self.nodes[member.name].children:
            yield from self._actors_below(self._member(child))

    def _find(self, name: str) -> Member:
        member = self.actors.get(name) or self.nodes.get(name)
        if member is None:
            raise _unknown(name, "name")
        return member

    def _refuse_restarting(self, member: Member) -> None:
        between = (State.PENDING, State.STARTING, State.STOPPING, State.BACKOFF)
        if member.doomed or member.state in between:
            raise errors.Restarting(
                f"Expected {member.name} to be up or down, got {member.state}",
                field="name",
                value=member.name,
                hint=f"`supervisor stop {member.name}` works at any time",
            )

    def _refuse_moves(self, spec: TreeSpec) -> None:
        for name, node in spec.nodes.items():
            if name in self.spec.nodes and self.spec.nodes[name].node != node.node:
                raise errors.ConfigError(
                    f"node.{name}.node: {node.node}: cannot change while it runs",
                    field=f"node.{name}.node",
                    hint="stop and start the supervisor",
                )


def _unknown(name: str, field: str) -> errors.UnknownName:
    return errors.UnknownName(
        f"Expected an actor or node, got {name!r}",
        field=field,
        value=name,
        hint="`supervisor status` shows the actors",
    )
