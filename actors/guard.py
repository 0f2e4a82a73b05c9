"""The only place that catches what nobody expected: an actor's init, and one message's handler.

A failing init becomes an answer that names its cause, since the supervisor cannot see inside a dead
child. A message whose handler raises three times in a row is buried as a dead letter, so that one
poisoned message cannot put its actor into a crash loop; its sender is told. Everything else that
goes wrong in an actor ends it: the supervisor knows what to do.
"""

import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final, assert_never

from actors import dead_letters
from actors.contract import Degraded, Ignore, Outcome, Ready, Request
from actors.mailbox import Mailbox
from hourbook.home import Home
from protocols import errors
from protocols.control import InitResult

__all__ = ["ATTEMPTS", "answer_init", "serve"]

ATTEMPTS: Final = 3
"""How often a handler may raise on one message."""
_TRACEBACK_LINES: Final = 12

_log = logging.getLogger(__name__)


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
    text = "".join(traceback.format_exception(last))
    path = dead_letters.bury(
        home.dead_letter_dir, mailbox.name, frame=frame, error=text, time_wall_ns=time_wall_ns
    )
    return errors.InternalError(
        f"Expected to handle {request.envelope.kind}, failed {ATTEMPTS} times:"
        f" {type(last).__name__}; the message is kept in {path}"
    )
