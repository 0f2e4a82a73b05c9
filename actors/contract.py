"""What an actor and the loop that runs it hand each other: plain values and two interfaces."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import msgspec
import zmq

from actors.timers import Timer
from protocols import errors, wire
from protocols.control import Snapshot

__all__ = [
    "ActorContext",
    "Behaviour",
    "Degraded",
    "Handler",
    "Ignore",
    "OnReply",
    "Outcome",
    "Reactor",
    "Ready",
    "Reporter",
    "Request",
]

BodyT = TypeVar("BodyT")
OnReply = Callable[[wire.Envelope | errors.HourbookError], None]
"""Called once with the answer to an ``ask``: an ``ok`` envelope, or why there is none."""


@dataclass(frozen=True, slots=True)
class ActorContext:
    """All that an incarnation is told at its birth; plain data, since it crosses a spawn."""

    name: str
    incarnation: int
    home_path: str
    run_dir: str
    config: dict[str, Any] = field(default_factory=dict)
    log_level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class Ready:
    """Init succeeded; `endpoints` are addresses for people, by purpose."""

    endpoints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Degraded:
    """Init found something missing; the actor runs, says why, and tries again by itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ignore:
    """There is nothing to do here; the process exits and its spec stays listed."""

    reason: str = ""


Outcome = Ready | Degraded | Ignore


class Request(msgspec.Struct, Generic[BodyT], eq=False):
    """One message in a mailbox, and the way back to its sender.

    Attributes:
        peer: who sent it.
        envelope: what it came in.
        body: what it says.
        answer: how it is answered; by :meth:`reply` and :meth:`refuse`.
    """

    peer: bytes
    envelope: wire.Envelope
    body: BodyT
    answer: Callable[["Request[Any]", Any], None]

    def reply(self, body: object) -> None:
        """Answer ``ok``; `body` is a Struct, a dict, or either of them encoded."""
        self.answer(self, body)

    def refuse(self, error: errors.HourbookError) -> None:
        """Answer ``error``."""
        self.answer(self, error)


class Handler(NamedTuple):
    """How one kind of message is served.

    The function returns the body of the ``ok`` reply, or None where the message wants no reply or
    gets it later through its :class:`Request`. A HourbookError that it raises is the reply.
    """

    body_type: type[Any]
    function: Callable[[Request[Any]], msgspec.Struct | Mapping[str, Any] | None]


class Reporter(Protocol):
    """What every loop offers: to say how the actor fares."""

    def degrade(self, reason: str) -> None:
        """Run on without something; shown in the status until :meth:`recover`."""

    def recover(self, endpoints: Mapping[str, str] | None = None) -> None:
        """Say that all is well again, with new endpoints where there are any."""

    def count(self, name: str, number: int = 1) -> None:
        """Add to one of the loop's counters, which ride in every beat."""


class Reactor(Reporter, Protocol):
    """What the loop of a synchronous actor offers. Callbacks run in it, one at a time."""

    def watch(self, source: int | zmq.Socket[bytes], callback: Callable[[], None]) -> None:
        """Call back whenever a file descriptor or socket can be read."""

    def unwatch(self, source: int | zmq.Socket[bytes]) -> None:
        """Stop watching."""

    def every(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """Call back every `period_s` (seconds, > 0), first after one period."""

    def after(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once after `delay_s` (seconds, >= 0)."""

    def tell(self, peer: str, kind: str, body: msgspec.Struct) -> bool:
        """Send without an answer; False when the peer's queue is full and the message dropped."""

    def ask(
        self, peer: str, kind: str, body: msgspec.Struct, on_reply: OnReply, timeout_s: float
    ) -> None:
        """Send, and call back with the answer or, after `timeout_s`, with ActorUnreachable."""


class Behaviour(Protocol):
    """What a loop needs to know of an actor."""

    frame_bytes_max: int
    drain_messages_max: int
    drain_bytes_max: int
    is_full: bool

    def init(self) -> Outcome:
        """Acquire what the actor owns."""

    def handlers(self) -> Mapping[str, Handler]:
        """Return how each kind of message is served."""

    def wants_company(self) -> bool:
        """Return whether what is gathered is worth waiting for more of it, for moments."""

    def after_drain(self) -> None:
        """Finish what a drain of the mailbox has gathered."""

    def reload(self, config: dict[str, Any]) -> bool:
        """Take a changed configuration into force; False asks for a restart."""

    def snapshot(self) -> Snapshot:
        """Return counters and gauges."""

    def stop(self) -> None:
        """Release what the actor owns."""
