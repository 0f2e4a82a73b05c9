"""How the sockets of an actor are made: limits, options, and a mailbox nobody else can open."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import zmq

from hourbook.home import SOCKET_PATH_BYTES_MAX, Home
from protocols import errors, wire
from protocols.control import SUPERVISOR_NAME

__all__ = ["bind_mailbox", "connect_supervisor", "unbind_mailbox"]

MAILBOX_QUEUE_MAX: Final = 10_000
"""Messages per client that wait in a mailbox before its sender is slowed down."""
_OWNER_ONLY: Final = 0o177


def bind_mailbox(
    socket: zmq.Socket[Any], home: Home, name: str, *, queue_max: int = MAILBOX_QUEUE_MAX
) -> None:
    """Set up a ROUTER as the mailbox `name`, 0600 from the first instant.

    Raises:
        HomeUnusable: the path is too long for a socket, or cannot be bound.
    """
    path = home.mailbox(name)
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise errors.HomeUnusable(
            f"Expected a socket path of at most {SOCKET_PATH_BYTES_MAX} bytes,"
            f" got {len(os.fsencode(path))}, at {path}"
        )
    socket.set(zmq.ROUTER_HANDOVER, 1)
    socket.set(zmq.ROUTER_MANDATORY, 1)
    socket.set(zmq.MAXMSGSIZE, wire.FRAME_BYTES_MAX_WIRE)
    socket.set(zmq.RCVHWM, queue_max)
    socket.set(zmq.SNDHWM, queue_max)
    socket.set(zmq.LINGER, 500)
    previous = os.umask(_OWNER_ONLY)
    try:
        socket.bind(f"ipc://{path}")
    except zmq.ZMQError as error:
        raise errors.HomeUnusable(f"Expected to bind {path}, got: {error.strerror}") from None
    finally:
        os.umask(previous)


def unbind_mailbox(socket: zmq.Socket[Any], home: Home, name: str) -> None:
    """Close a mailbox and remove its path, which libzmq leaves behind.

    Ours to remove: the next incarnation is not born before this one has ended.
    """
    socket.close()
    with suppress(FileNotFoundError):
        Path(home.mailbox(name)).unlink()


def connect_supervisor(socket: zmq.Socket[Any], home: Home, name: str) -> None:
    """Set up a DEALER to the supervisor, known there by the actor's name."""
    socket.set(zmq.IDENTITY, name.encode())
    socket.set(zmq.SNDHWM, 100)
    socket.set(zmq.LINGER, 500)
    socket.set(zmq.RECONNECT_IVL, 5)
    socket.connect(home.mailbox_uri(SUPERVISOR_NAME))
