"""The only place that catches what nobody expected: an init, a message's handler, a book's change.

A failing init becomes an answer that names its cause, since the supervisor cannot see inside a dead
child. A message whose handler raises three times in a row is buried as a dead letter, so that one
poisoned message cannot put its actor into a crash loop; its sender is told. So is the sender of a
change that fails while its group is written, which is not tried again: the group waits. Everything
else that goes wrong in an actor ends it: the supervisor knows what to do.
"""

import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, assert_never

import msgspec

from actors import dead_letters
from actors.contract import Degraded, Ignore, Outcome, Ready, Request
from actors.mailbox import Mailbox
from hourbook.home import Home
from protocols import errors, wire
from protocols.change import Change
from protocols.control import InitResult

__all__ = ["ATTEMPTS", "answer_init", "containing", "serve"]

ATTEMPTS: Final = 3
"""How often a handler may raise on one message."""
_TRACEBACK_LINES: Final = 12

_log = logging.getLogger(__name__)


class _Group(Protocol):
    """A group at work (``changes.group.GroupAtWork``)."""

    def run(self) -> None: ...
    def at_work(self) -> tuple[str, Change] | None: ...
    def refuse(self, error: errors.HourbookError) -> None: ...


def answer_init(name: str, incarnation: int, init: Callable[[], Outcome]) -> InitResult:
    """Run an actor's init and return the answer that the supervisor waits for."""
    try:
        outcome = init()
    except errors.HourbookError as error:
        return InitResult(name, incarnation, "error", str(error))
    except Exception as error:  # noqa: BLE001 - see the module: the cause must reach a person
        text = "".join(traceback.format_exception(error)).splitlines()
        reason = f"{type(error).__name__}: {error}"
        tail = "\n".join(text[-_TRACEBACK_LINES:])
        return InitResult(name, incarnation, "error", reason, tail)
    match outcome:
        case Ready(endpoints):
            return InitResult(name, incarnation, "ready", endpoints=dict(endpoints))
        case Degraded(reason):
            return InitResult(name, incarnation, "degraded", reason)
        case Ignore(reason):
            return InitResult(name, incarnation, "ignore", reason)
    assert_never(outcome)


def serve(
    mailbox: Mailbox,
    request: Request[Any],
    frame: bytes,
    home: Home,
    wall_ns: Callable[[], int],
) -> Mapping[str, Any] | object | None:
    """Call a request's handler; return the body of the reply, a HourbookError, or None."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return mailbox.handlers[request.envelope.kind].function(request)
        except errors.HourbookError as error:
            return error
        except Exception as error:  # noqa: BLE001 - see the module: buried after the third
            last = error
            _log.exception("attempt %d of %d at %s", attempt, ATTEMPTS, request.envelope.kind)
    kept = _bury(mailbox.name, frame, last, home, wall_ns())
    return errors.InternalError(
        f"Expected to handle {request.envelope.kind}, failed {ATTEMPTS} times:"
        f" {type(last).__name__}; {kept}"
    )


def containing(
    actor: str, home: Home, wall_ns: Callable[[], int], is_fatal: Callable[[Exception], bool]
) -> Callable[[_Group], None]:
    """Return how a writer applies a group: a bug of a change becomes a refusal of it alone.

    Args:
        actor: whose dead letters.
        home: where they are.
        wall_ns: UTC, for the letter.
        is_fatal: tells what is no bug of a change, and passes: the disk failed.
    """

    def attempt(group: _Group) -> None:
        while True:
            try:
                return group.run()
            except Exception as error:
                at_work = group.at_work()
                if at_work is None or is_fatal(error):
                    raise
                group.refuse(refusal_of(*at_work, error))

    def refusal_of(kind: str, change: Change, error: Exception) -> errors.InternalError:
        _log.exception("applying %s of %s", kind, change.writer)
        body = msgspec.Raw(msgspec.msgpack.encode(change))
        frame = wire.encode(wire.Envelope(kind=kind, id=0, src=change.writer, body=body))
        kept = _bury(actor, frame, error, home, wall_ns())
        return errors.InternalError(
            f"Expected to apply {kind}, got {type(error).__name__}; nothing of it was done, and"
            f" {kept}"
        )

    return attempt


def _bury(actor: str, frame: bytes, error: Exception, home: Home, time_wall_ns: int) -> str:
    """Keep a message that failed; say where it is, or why it is nowhere."""
    text = "".join(traceback.format_exception(error))
    try:
        path = dead_letters.bury(
            home.dead_letter_dir, actor, frame=frame, error=text, time_wall_ns=time_wall_ns
        )
    except OSError as problem:
        _log.error("a dead letter was lost: %s", problem)
        return f"the message could not be kept: {problem.strerror}"
    return f"the message is kept in {path}"
