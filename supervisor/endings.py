"""What follows when a member of a tree ends: OTP's ``supervisor``, on top of whose turn it is.

Where we differ from OTP: delays before restarts; a node may give up by itself instead of taking its
parent along (``on_escalation``); a failed *first* start rolls the whole tree back; what a person
stopped stays stopped when its group restarts.
"""

from typing import Final

from supervisor import exit_codes, strategy
from supervisor.actions import Finish
from supervisor.machine import Event, State
from supervisor.members import Actor, After, Member, Node
from supervisor.spec import NodeSpec
from supervisor.turns import ROOT, Turns

__all__ = ["Rules"]

MAX_RESTARTS: Final = "max_restarts"
AUTO_SHUTDOWN: Final = "auto_shutdown"


class Rules(Turns):
    """Restart, escalate, give up, roll back, shut down by itself."""

    exit_code: int | None = None
    """What the supervisor exits with once everything is down; None while it shall run."""

    def _ended(self, member: Member, *, is_normal: bool) -> None:
        """A member that nobody asked to stop is down: decide what follows."""
        if isinstance(member, Actor) and not member.has_answered:
            said = "\n".join(part for part in (member.reason, member.traceback) if part)
            if member.is_trial:
                self._note(member.name, "start_failed", cause=member.cause, detail=said)
                self._drop(member)
                return
            if self.is_first_start:
                self._note(member.name, "start_failed", cause=member.cause, detail=said)
                self._end_tree(exit_codes.FIRST_START)
                return
        restart = member.spec.restart
        if strategy.is_restarted(restart, is_normal=is_normal):
            self._restart(member)
            return
        node = self.nodes[member.parent]
        was_significant = member.spec.significant
        if restart == "temporary":
            self._drop(member)
        if was_significant and strategy.ends_node(
            node.spec.auto_shutdown, significant_left=self._count_significant(node, member)
        ):
            node.cause = AUTO_SHUTDOWN
            self._end_by_itself(node)

    def _restart(self, member: Member) -> None:
        node = self.nodes[member.parent]
        if node.window.add(self._now_ns):
            self._escalate(node)
            return
        others = strategy.others_concerned(node.spec.strategy, node.children, member.name)
        for other in map(self._member, others):
            other.in_turn = True
            is_dropped = other.spec.restart == "temporary"
            self._doom(other, After.DROP if is_dropped else After.RUN)
        in_turn = node.spec.strategy != "one_for_one"
        if isinstance(member, Actor):
            member.restarts += 1
            member.restart_times_ns.append(self._now_ns)
            ready_for_ns = self._now_ns - member.ready_ns if member.ready_ns else 0
            member.delay_ns = member.delays.next_ns(ready_for_ns, self._rng)
            if member.delay_ns:
                member.in_turn = in_turn
                self._apply(member, Event.DELAY)
                return
        self._queue(member, in_turn=in_turn)

    def _escalate(self, node: Node) -> None:
        """Too many restarts: the node ends, and its parent decides, or it gives up alone."""
        self._note(node.name, MAX_RESTARTS, detail=_limit_of(node.spec))
        node.cause = MAX_RESTARTS
        if node.name == ROOT:
            self._end_tree(exit_codes.GAVE_UP)
        elif node.spec.on_escalation == "give_up":
            self._doom(node, After.GIVE_UP)
        else:
            self._doom(node, After.OWN_END)

    def _end_by_itself(self, node: Node) -> None:
        self._note(node.name, node.cause)
        if node.name == ROOT:
            self._end_tree(exit_codes.OK)
        else:
            self._doom(node, After.OWN_END)

    def _node_ended(self, node: Node) -> None:
        if node.name == ROOT:
            assert self.exit_code is not None, "only the end of the tree dooms its root"
            self._actions.append(Finish(self.exit_code))
            return
        # To its parent a node always ends as OTP's `shutdown` does: permanent ones are restarted.
        self._ended(node, is_normal=True)

    def _end_tree(self, code: int) -> None:
        """Take everything down and exit with `code`; the first reason counts."""
        if self.exit_code is None:
            self.exit_code = code
            self._note(ROOT, "stopping")
        self._doom(self.nodes[ROOT], After.REST)

    def _count_significant(self, node: Node, ended: Member) -> int:
        siblings = (self._member(name) for name in node.children if name != ended.name)
        return sum(
            1
            for sibling in siblings
            if sibling.spec.significant
            and sibling.wanted
            and sibling.state not in (State.EXITED, State.DISABLED)
        )


def _limit_of(spec: NodeSpec) -> str:
    return f"more than {spec.intensity} restarts in {spec.period_s:g} s"
