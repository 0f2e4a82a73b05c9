"""The MCP endpoint over streamable HTTP: who may ask, and how it is served. An edge.

Three guards stand before a tool: the Host header must name us (a web page that rebinds its DNS name
to 127.0.0.1 is refused), an Origin header must be a local one, and, where a token is configured,
the bearer token must match, compared in constant time. Requests carry no session, so that a client
does not notice when this actor was restarted between two of them.

Importing this module imports mcp, starlette and uvicorn: 0.6 s, paid by the actor's child alone.
"""

import asyncio
import contextlib
import hmac
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["MCP_PATH", "build_app", "serve_app"]

MCP_PATH: Final = "/mcp"
LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
CONNECTIONS_MAX: Final = 256
"""Requests and connections at once; more are answered 503."""
DRAIN_S: Final = 1
"""How long a request under way may take to finish when the actor stops."""
_TICK_OF_A_SECOND: Final = 0
"""uvicorn counts its ticks, and at every tenth does what is due each second."""


def build_app(
    server: MCPServer,
    *,
    port: int,
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
    token: bytes | None = None,
    count_status: Callable[[int], None] = lambda _status: None,
) -> ASGIApp:
    """Return the guarded ASGI application.

    Args:
        server: whose tools are served.
        port: that we listen at; the Host of a local client carries it.
        allowed_hosts: further Host headers, such as ``hourbook.lan:8807``.
        allowed_origins: further Origin headers of browsers, such as ``https://agents.lan``.
        token: what a client must present; None asks for none.
        count_status: called with the HTTP status of each answer.
    """
    local = [f"{host}:{port}" for host in LOOPBACK_HOSTS]
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[*local, *allowed_hosts],
        allowed_origins=[*(f"http://{host}" for host in local), *allowed_origins],
    )
    app: ASGIApp = server.streamable_http_app(
        streamable_http_path=MCP_PATH,
        json_response=True,
        stateless_http=True,
        transport_security=security,
    )
    if token is not None:
        app = _BearerGuard(app, token)
    return _StatusCounter(app, count_status)


async def serve_app(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until cancelled, then let requests under way finish."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.leave()
        await serving
        raise


class _Server(uvicorn.Server):
    """Waits to be told to leave, where uvicorn looks ten times a second whether it should."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told_to_leave = asyncio.Event()

    def leave(self) -> None:
        """Take no more connections, let requests under way finish, return from ``serve``."""
        self.should_exit = True
        self._told_to_leave.set()

    async def main_loop(self) -> None:
        """Renew the Date header each second until told to leave."""
        while not await self.on_tick(_TICK_OF_A_SECOND):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told_to_leave.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close; uvicorn sleeps for 0.1 s first, which only open connections are worth."""
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
        await self.lifespan.shutdown()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the actor's loop has them."""
        yield


class _BearerGuard:
    """Refuses requests without the token."""

    def __init__(self, app: ASGIApp, token: bytes) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_allowed(scope):
            await self._app(scope, receive, send)
            return
        headers = [(b"www-authenticate", b'Bearer realm="hourbook"'), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _is_allowed(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")
        return hmac.compare_digest(token.strip(), self._token) and scheme.lower() == b"bearer"


class _StatusCounter:
    """Reports the status of every answer."""

    def __init__(self, app: ASGIApp, count_status: Callable[[int], None]) -> None:
        self._app = app
        self._count_status = count_status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count_status(message["status"])
            await send(message)

        await self._app(scope, receive, counted)
