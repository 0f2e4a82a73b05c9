"""Bind the address that a configuration names, and say in words why it cannot be bound. An edge.

Both faces of the edge (MCP, metrics) are *degraded* while somebody else holds their port: they say
who is missing what, and try again by themselves.
"""

import socket
from typing import Final

from protocols import errors

__all__ = ["RETRY_S", "bind_listener", "endpoint_url", "split_listen"]

RETRY_S: Final = 5.0
"""How often an address that could not be bound is tried again."""
PORT_MAX: Final = 65_535
_BACKLOG: Final = 128


def split_listen(listen: str) -> tuple[str, int]:
    """Split ``host:port`` or ``[v6]:port``; port 0 means any free one.

    Raises:
        ConfigError: no port, or one above 65535.
    """
    host, colon, digits = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and digits.isascii() and digits.isdigit() and int(digits) <= PORT_MAX):
        raise errors.ConfigError(
            f"Expected `listen` as host:port with a port in 0..{PORT_MAX}, got {listen!r}",
            field="listen",
            value=listen,
        )
    return host, int(digits)


def bind_listener(listen: str) -> socket.socket:
    """Return a listening TCP socket at `listen`.

    Raises:
        ConfigError: `listen` is no address.
        AddressUnusable: in use, not of this machine, not allowed, or the name does not resolve.
    """
    host, port = split_listen(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise _unusable(listen, error.strerror or str(error)) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _unusable(listen, error.strerror or str(error)) from None
    return listener


def endpoint_url(listener: socket.socket, path: str) -> str:
    """Return the URL of `path` at a bound socket, with the port it really has."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"


def _unusable(listen: str, reason: str) -> errors.AddressUnusable:
    return errors.AddressUnusable(
        f"Expected to listen at {listen}, got: {reason}",
        field="listen",
        value=listen,
        hint="free the port, or set another `listen`",
    )
