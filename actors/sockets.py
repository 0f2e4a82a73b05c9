"""How the sockets of the tree are made: limits, options, and mailboxes nobody else can open."""

import os
from typing import Any, Final

import zmq

from actors.router import Router
from hourbook.home import SOCKET_PATH_BYTES_MAX, Home
from protocols import errors, wire
from protocols.control import SUPERVISOR_NAME

__all__ = ["bind_control", "bind_mailbox", "connect_supervisor"]

_OWNER_ONLY: Final = 0o177


def bind_mailbox(router: Router, home: Home, name: str) -> None:
    """Have `router` be the mailbox of an actor, 0600 from the first instant.

    Raises:
        HomeUnusable: the path is too long for a socket, or cannot be bound.
    """
    path = _checked_path(home, name)
    try:
        router.bind(path)
    except OSError as error:
        raise errors.HomeUnusable(f"Expected to bind {path}, got: {error.strerror}") from None


def bind_control(socket: zmq.Socket[Any], home: Home, queue_max: int) -> None:
    """Set up a ROUTER as the supervisor's own mailbox, 0600 from the first instant.

    Args:
        socket: the ROUTER.
        home: whose tree.
        queue_max: messages that wait for a peer, or from it (count).

    Raises:
        HomeUnusable: the path is too long for a socket, or cannot be bound.
    """
    path = _checked_path(home, SUPERVISOR_NAME)
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


def connect_supervisor(socket: zmq.Socket[Any], home: Home, name: str) -> None:
    """Set up a DEALER to the supervisor, known there by the actor's name."""
    socket.set(zmq.IDENTITY, name.encode())
    socket.set(zmq.SNDHWM, 100)
    socket.set(zmq.LINGER, 500)
    socket.set(zmq.RECONNECT_IVL, 5)
    socket.set(zmq.RECONNECT_IVL_MAX, 40)  # while it is away, each try costs some 0.1 ms
    socket.connect(home.mailbox_uri(SUPERVISOR_NAME))


def _checked_path(home: Home, name: str) -> str:
    path = home.mailbox(name)
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise errors.HomeUnusable(
            f"Expected a socket path of at most {SOCKET_PATH_BYTES_MAX} bytes,"
            f" got {len(os.fsencode(path))}, at {path}"
        )
    return path
