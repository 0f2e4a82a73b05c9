"""Ask one actor one question, from outside the tree. An edge.

For commands: nothing is kept open, and nobody waits longer than told to.
"""

import os
from typing import Final, TypeVar

import msgspec
import zmq

from hourbook.home import Home
from protocols import errors, wire

__all__ = ["ask_actor"]

AnswerT = TypeVar("AnswerT", bound=msgspec.Struct)
ASK_TIMEOUT_S: Final = 2.0
"""An actor answers within a millisecond; a loaded machine may need longer."""
_REQUEST_ID: Final = 1
_HINT: Final = "see `supervisor status`"


def ask_actor(
    home: Home,
    actor: str,
    kind: str,
    question: msgspec.Struct,
    answer_type: type[AnswerT],
    timeout_s: float = ASK_TIMEOUT_S,
) -> AnswerT:
    """Return an actor's answer.

    Args:
        home: whose tree.
        actor: its name.
        kind: of the message.
        question: its body.
        answer_type: what the body of the answer is.
        timeout_s: how long to wait (seconds, > 0).

    Raises:
        ActorUnreachable: it does not run, is not ours to ask, or stays silent.
        HourbookError: it refused; the kind is its own.
    """
    path = home.mailbox(actor)
    if not os.access(path, os.W_OK):  # ZeroMQ would try to connect for ever
        raise errors.ActorUnreachable(
            f"Expected {actor} to have a mailbox, got none, at {path}", field=path, hint=_HINT
        )
    body = msgspec.Raw(msgspec.msgpack.encode(question))
    request = wire.Envelope(kind=kind, id=_REQUEST_ID, src="hourbook", body=body)
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.set(zmq.LINGER, 0)
        dealer.set(zmq.MAXMSGSIZE, wire.FRAME_BYTES_MAX_WIRE)
        dealer.connect(home.mailbox_uri(actor))
        dealer.send(wire.encode(request))
        if not dealer.poll(int(timeout_s * 1000)):
            raise errors.ActorUnreachable(
                f"Expected {actor} to answer within {timeout_s:g} s, got silence, at {path}",
                field=path,
                hint=_HINT,
            )
        reply = wire.decode_envelope(dealer.recv())
    if (error := wire.error_of(reply)) is not None:
        raise error
    return wire.decode_body(reply, answer_type)
