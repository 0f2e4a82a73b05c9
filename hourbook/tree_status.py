"""Ask the running supervisor how its tree is: one question, one answer. An edge.

The commands, the MCP tools and the metrics actor read the same status that ``supervisor status``
shows. Nothing here can change the tree, and nothing waits longer than it was told to.
"""

import socket
from typing import Final

import msgspec

from hourbook.home import Home
from protocols import control, errors, wire

__all__ = ["check_running", "fetch_status"]

STATUS_TIMEOUT_S: Final = 2.0
"""The supervisor answers within a millisecond; a loaded machine may need longer."""
_REQUEST_ID: Final = 1


def fetch_status(
    home: Home, *, src: str = "reader", timeout_s: float = STATUS_TIMEOUT_S
) -> control.Status:
    """Return the status of the tree that runs on `home`.

    Args:
        home: whose supervisor to ask.
        src: our name in the message, for its log.
        timeout_s: how long to wait for the answer (seconds, > 0).

    Raises:
        SupervisorUnreachable: nothing listens, it belongs to another user, or it stays silent.
    """
    import zmq  # noqa: PLC0415 - who only looks whether a tree runs needs no sockets

    check_running(home)
    path = home.mailbox(control.SUPERVISOR_NAME)
    body = msgspec.Raw(msgspec.msgpack.encode(control.Command()))
    request = wire.Envelope(kind="status", id=_REQUEST_ID, src=src, body=body)
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.set(zmq.LINGER, 0)
        dealer.set(zmq.MAXMSGSIZE, wire.FRAME_BYTES_MAX_WIRE)
        dealer.connect(home.mailbox_uri(control.SUPERVISOR_NAME))
        dealer.send(wire.encode(request))
        if not dealer.poll(int(timeout_s * 1000)):
            raise errors.SupervisorUnreachable(
                f"Expected a status within {timeout_s:g} s, got silence, at {path}",
                field=path,
                hint="it may be busy or stopped; see `supervisor status`",
            )
        reply = wire.decode_envelope(dealer.recv())
    if (error := wire.error_of(reply)) is not None:
        raise error
    return wire.decode_body(reply, control.Status)


def check_running(home: Home) -> None:
    """Fail at once, and in words, where ZeroMQ would try to connect for ever.

    Raises:
        SupervisorUnreachable: nothing listens on the control socket, or we may not connect.
    """
    path = home.mailbox(control.SUPERVISOR_NAME)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(path)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise errors.SupervisorUnreachable(
            f"Expected a running tree for the home {home.path}, got none, at {path}",
            field=path,
            hint="run `supervisor start`",
        ) from None
    except OSError as error:
        raise errors.SupervisorUnreachable(
            f"Expected to connect, got: {error.strerror}, at {path}",
            field=path,
            hint="run it as the user that started the tree",
        ) from None
