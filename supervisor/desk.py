"""Where the command line is served: each command checked, carried out, and answered when it is so.

Nothing waits here: a command whose outcome takes time leaves a :class:`Pending` question, which is
asked again after every turn of the loop until it has an answer. So no command ever holds up another
one, or a stop.
"""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from protocols import control, errors, wire
from supervisor.actions import Action
from supervisor.config import parse_spec
from supervisor.control import Control, Incoming
from supervisor.events import EventLog
from supervisor.machine import RUNNING, State
from supervisor.tree import ROOT, Tree

__all__ = ["Desk", "Engine", "Pending"]

EVENTS_WAIT_NS: Final = 1_000_000_000
PENDING_MAX: Final = 1000
"""Commands that wait for their outcome; more are refused."""
Answer = msgspec.Struct | errors.HourbookError | None
"""The reply, the refusal, or None while the outcome is open."""


class Pending(msgspec.Struct):
    """A command that has no answer yet."""

    peer: bytes
    request_id: int
    answer: Callable[[], Answer]


class Engine(Protocol):
    """What the desk asks of the engine."""

    def perform(self, actions: list[Action]) -> None:
        """Do what the tree decided."""

    def now_ns(self) -> int:
        """Return monotonic time."""

    def wake_at(self, due_mono_ns: int) -> None:
        """Turn the loop at this time, whatever else happens."""

    def status(self) -> control.Status:
        """Return how everything is."""

    def reload(self) -> Callable[[], Answer]:
        """Begin a reload; the question has its outcome."""


class Desk:
    """Serves the commands of ``protocols.control.COMMAND_KINDS``."""

    def __init__(self, engine: Engine, tree: Tree, control_socket: Control, log: EventLog) -> None:
        self._engine = engine
        self._tree = tree
        self._control = control_socket
        self._log = log
        self._pending: list[Pending] = []
        self._has_stopped = False
        self._commands: dict[str, Callable[[control.Command], Answer | Callable[[], Answer]]] = {
            "status": lambda _: engine.status(),
            "events": self._events,
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
            "add": self._add,
            "remove": self._remove,
            "reload": lambda _: engine.reload(),
        }

    def serve(self, incoming: Incoming) -> None:
        """Carry out one command; answer at once, or leave the question pending."""
        envelope = incoming.envelope
        try:
            outcome = self._carry_out(envelope)
        except errors.HourbookError as error:
            outcome = error
        if callable(outcome):
            self._pending.append(Pending(incoming.peer, envelope.id, outcome))
        else:
            self._reply(incoming.peer, envelope.id, outcome)

    def settle(self) -> None:
        """Ask every pending question again; answer those that can be."""
        if not self._pending:
            return
        asked, self._pending = self._pending, []
        for pending in asked:
            answer = pending.answer()
            if answer is None:
                self._pending.append(pending)
            else:
                self._reply(pending.peer, pending.request_id, answer)

    def close(self) -> None:
        """Answer whoever still waits: the tree has stopped."""
        self._has_stopped = True
        self.settle()
        gone = errors.SupervisorUnreachable("Expected an outcome, got the end of the whole tree")
        for pending in self._pending:
            self._reply(pending.peer, pending.request_id, gone)
        self._pending.clear()

    # -- commands --------------------------------------------------------------------------------

    def _carry_out(self, envelope: wire.Envelope) -> Answer | Callable[[], Answer]:
        command = self._commands.get(envelope.kind)
        if command is None:
            raise errors.UnknownKind(
                f"Expected one of {', '.join(control.COMMAND_KINDS)},"
                f" got {wire.printable(envelope.kind)!r}, at supervisor",
                field="kind",
                value=wire.printable(envelope.kind),
            )
        if len(self._pending) >= PENDING_MAX:
            raise errors.LimitExceeded(f"Expected at most {PENDING_MAX} commands to wait, got more")
        return command(wire.decode_body(envelope, control.Command))

    def _events(self, command: control.Command) -> Callable[[], Answer]:
        deadline_ns = self._engine.now_ns() + EVENTS_WAIT_NS
        self._engine.wake_at(deadline_ns)

        def answer() -> Answer:
            events = self._log.since(command.since)
            if events or self._engine.now_ns() >= deadline_ns:
                return control.Events(events)
            return None

        return answer

    def _start(self, command: control.Command) -> Callable[[], Answer]:
        born = self._incarnations(command.name)
        self._engine.perform(self._tree.start(command.name, self._engine.now_ns()))
        return self._until_up(command.name, born)

    def _restart(self, command: control.Command) -> Callable[[], Answer]:
        born = self._incarnations(command.name)
        self._engine.perform(self._tree.restart(command.name, self._engine.now_ns()))
        return self._until_up(command.name, born)

    def _add(self, command: control.Command) -> Callable[[], Answer]:
        spec = parse_spec(command.spec)
        self._engine.perform(self._tree.add(spec, self._engine.now_ns()))
        if not spec.enabled:
            return lambda: control.Done(f"{spec.name} is DISABLED", added=[spec.name])
        until_up = self._until_up(spec.name, {})

        def answer() -> Answer:
            outcome = until_up()
            is_done = isinstance(outcome, control.Done)
            return control.Done(f"added {spec.name}", added=[spec.name]) if is_done else outcome

        return answer

    def _remove(self, command: control.Command) -> Callable[[], Answer]:
        name = command.name
        self._engine.perform(self._tree.remove(name, self._engine.now_ns()))
        done = control.Done(f"removed {name}", removed=[name])
        return lambda: None if name in self._tree.actors else done

    def _stop(self, command: control.Command) -> Callable[[], Answer]:
        name = command.name or ROOT
        actions = self._tree.stop(name, self._engine.now_ns(), is_now=command.now)
        self._engine.perform(actions)
        if name == ROOT:
            return lambda: control.Done("stopped") if self._has_stopped else None

        def answer() -> Answer:
            try:
                is_up = any(actor.is_live for actor in self._tree.actors_below(name))
            except errors.UnknownName:
                is_up = False
            return None if is_up else control.Done(f"stopped {name}")

        return answer

    # -- outcomes --------------------------------------------------------------------------------

    def _incarnations(self, name: str) -> dict[str, int]:
        return {actor.name: actor.incarnation for actor in self._tree.actors_below(name)}

    def _until_up(self, name: str, born: dict[str, int]) -> Callable[[], Answer]:
        """Ask until each actor under `name` has answered with an incarnation after `born`."""
        since_seq = self._log.last_seq

        def answer() -> Answer:
            try:
                actors = list(self._tree.actors_below(name))
            except errors.UnknownName:
                return self._start_error(name, since_seq)
            for actor in actors:
                is_new = actor.incarnation > born.get(actor.name, 0)
                if not actor.wanted or (is_new and actor.state in (*RUNNING, State.DISABLED)):
                    continue
                if is_new and actor.state in (State.EXITED, State.BACKOFF, State.GAVE_UP):
                    return self._start_error(actor.name, since_seq)
                return None
            words = [f"{a.name} is {a.state}{': ' if a.reason else ''}{a.reason}" for a in actors]
            return control.Done("; ".join(words), restarted=[a.name for a in actors])

        return answer

    def _start_error(self, name: str, since_seq: int) -> errors.StartFailed:
        """Return what the event log says of the start that failed."""
        ends = [e for e in self._log.since(since_seq) if e.name == name and e.cause]
        last = max(ends, key=lambda e: (len(e.detail), e.seq), default=None)
        cause, detail = (last.cause, last.detail) if last else ("unknown", "")
        joint = ":\n" if detail[:1] == " " else ": "  # the former: in the midst of a traceback
        return errors.StartFailed(
            f"Expected {name} to start, got {cause}{joint if detail else ''}{detail}",
            field="name",
            value=name,
        )

    def _reply(self, peer: bytes, request_id: int, answer: Answer) -> None:
        if isinstance(answer, errors.HourbookError):
            self._control.refuse(peer, request_id, answer)
        elif answer is not None:
            self._control.reply(peer, request_id, answer)
