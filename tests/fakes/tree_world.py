"""The world of a tree without processes: it does what the tree asks, when the test says so."""

import random
from collections import deque
from typing import Any

from specs import node
from specs import tree as spec_of

from protocols.control import InitResult
from supervisor.actions import Action, Arm, Disarm, Drop, Finish, Note, Push, Spawn
from supervisor.causes import Exit
from supervisor.spec import ChildSpec, TreeSpec
from supervisor.tree import Tree

__all__ = ["TreeWorld", "actor", "node", "spec_of"]

S_NS = 1_000_000_000


def actor(name: str, **fields: Any) -> ChildSpec:
    """Return the spec of an actor."""
    return ChildSpec(name=name, class_path="m:C", **fields)


class TreeWorld:
    """Keeps processes as names, time as a number, and checks what must always hold.

    Attributes:
        living: incarnation of every process that exists.
        answers: what init says, by actor; "" says nothing. Else it is ready at once.
        deaf: actors that heed nothing but SIGKILL.
        is_immortal: not even that ends anybody.
        log: ``name event`` of every note.
    """

    def __init__(
        self, spec: TreeSpec, *, seed: int = 0, answers: dict[str, str] | None = None
    ) -> None:
        self.tree = Tree(spec, random.Random(seed))
        self.now_ns = S_NS
        self.living: dict[str, int] = {}
        self.timers: dict[str, int] = {}
        self.answers = answers or {}
        self.deaf: set[str] = set()
        self.is_immortal = False
        self.log: list[str] = []
        self.notes: list[Note] = []
        self.pushes: list[tuple[str, str]] = []
        self.exit_code: int | None = None
        self._to_react: deque[Action] = deque()  # a loop, since restarts may follow for long
        self._is_reacting = False
        self.do(self.tree.begin(self.now_ns))

    @property
    def states(self) -> dict[str, str]:
        """Return the state of every actor."""
        return {name: str(actor.state) for name, actor in self.tree.actors.items()}

    def do(self, actions: list[Action]) -> None:  # noqa: C901 - one case for each action
        """Do what the tree asked for, and what follows."""
        for action in actions:
            match action:
                case Spawn(name, incarnation):
                    assert name not in self.living, f"a second {name}"
                    assert self.exit_code is None, "a birth after the end"
                    self.living[name] = incarnation
                case Push(name, deed, _):
                    self.pushes.append((name, deed))
                case Arm(name, due_ns):
                    assert due_ns >= self.now_ns
                    self.timers[name] = due_ns
                case Disarm(name):
                    self.timers.pop(name, None)
                case Note():
                    self.notes.append(action)
                    self.log.append(f"{action.name} {action.event}")
                case Drop(name):
                    assert name not in self.living, f"{name} dropped alive"
                    self.timers.pop(name, None)
                case Finish(code):
                    assert not self.living, f"{self.living} left behind"
                    self.exit_code = code
        self._to_react.extend(actions)
        if self._is_reacting:
            return
        self._is_reacting = True
        while self._to_react:
            action = self._to_react.popleft()
            if isinstance(action, Spawn):
                self._be_born(action.name)
            elif isinstance(action, Push):
                self._be_pushed(action)
        self._is_reacting = False

    def answer(self, name: str, status: Any = "ready", reason: str = "") -> None:
        """Say how the init of the living incarnation ended."""
        result = InitResult(name, self.living[name], status, reason)
        self.do(self.tree.answered(result, self.now_ns))
        if status == "error" and name in self.living:
            self.end(name, 1)
        elif status == "ignore" and name in self.living:
            self.end(name, 0)

    def end(self, name: str, code: int = -9, last_words: str = "") -> None:
        """End a process."""
        del self.living[name]
        self.do(self.tree.gone(name, Exit(code), self.now_ns, last_words))

    def advance(self, seconds: float, *, beating: bool = True) -> None:
        """Let time pass, timer by timer; living actors beat before each."""
        end_ns = self.now_ns + round(seconds * S_NS)
        while due := sorted((t, n) for n, t in self.timers.items() if t <= end_ns):
            due_ns, name = due[0]
            self.now_ns = max(self.now_ns, due_ns)
            if beating and str(self.tree.actors[name].state) in ("READY", "DEGRADED"):
                self.do(self.tree.beat(name, "", self.now_ns))
                continue
            del self.timers[name]
            self.do(self.tree.timer(name, self.now_ns))
        self.now_ns = end_ns

    def _be_born(self, name: str) -> None:
        answer = self.answers.get(name, "ready")
        if answer and name in self.living:
            self.answer(name, answer)

    def _be_pushed(self, push: Push) -> None:
        if push.name not in self.living or self.is_immortal:
            return
        if push.deed == "kill":
            self.end(push.name, -9)
        elif push.name not in self.deaf:
            self.end(push.name, {"ask": 0, "terminate": -15, "abort": -6}[push.deed])
