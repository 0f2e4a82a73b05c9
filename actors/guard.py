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
from typing import Any, Final, Protocol, TypeVar, assert_never

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


class _Kind(Protocol):
    @property
    def name(self) -> str: ...


_KindT = TypeVar("_KindT", bound=_Kind)
_ScopeT = TypeVar("_ScopeT")
_OutcomeT = TypeVar("_OutcomeT")


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
    mailbox: Mailbox, request: Request[Any], frame: bytes, home: Home, time_wall_ns: int
) -> Mapping[str, Any] | object | None:
    """Call a request's handler; return the body of the reply, a HourbookError, or None."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return mailbox.serve(request)
        except errors.HourbookError as error:
            return error
        except Exception as error:  # noqa: BLE001 - see the module: buried after the third
            last = error
            _log.exception("attempt %d of %d at %s", attempt, ATTEMPTS, request.envelope.kind)
    kept = _bury(mailbox.name, frame, last, home, time_wall_ns)
    return errors.InternalError(
        f"Expected to handle {request.envelope.kind}, failed {ATTEMPTS} times:"
        f" {type(last).__name__}; {kept}"
    )


def containing(
    attempt_bare: Callable[[_KindT, Change, _ScopeT], _OutcomeT],
    actor: str,
    home: Home,
    wall_ns: Callable[[], int],
    is_fatal: Callable[[Exception], bool],
) -> Callable[[_KindT, Change, _ScopeT], _OutcomeT]:
    """Return how a writer attempts a change: a bug of it becomes a refusal of that change alone.

    Args:
        attempt_bare: does a change (``changes.group.attempt_bare``).
        actor: whose dead letters.
        home: where they are.
        wall_ns: UTC, for the letter.
        is_fatal: tells what is no bug of a change, and passes: the disk failed.
    """

    def attempt(kind: _KindT, change: Change, scope: _ScopeT) -> _OutcomeT:
        try:
            return attempt_bare(kind, change, scope)
        except errors.HourbookError:
            raise
        except Exception as error:
            if is_fatal(error):
                raise
            _log.exception("applying %s of %s", kind.name, change.writer)
            body = msgspec.Raw(msgspec.msgpack.encode(change))
            frame = wire.encode(wire.Envelope(kind=kind.name, id=0, src=change.writer, body=body))
            kept = _bury(actor, frame, error, home, wall_ns())
            raise errors.InternalError(
                f"Expected to apply {kind.name}, got {type(error).__name__}; nothing of it was"
                f" done, and {kept}"
            ) from error

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
