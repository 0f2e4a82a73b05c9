"""The MCP server actor: owns the MCP endpoint, and lends agents the tools of ``hourbook mcp``.

It reads the clock and the book like any other agent and writes through journal_writer's mailbox, so
that it holds nothing that could be lost. Tool calls that wait for another process run in threads;
the loop, and with it the beat, never waits for them.
"""

import asyncio
import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors.async_loop import AsyncActor
from actors.base import Degraded, Outcome, Ready
from actors.config import McpServerConfig
from actors.listen import RETRY_S, bind_listener, endpoint_url
from protocols import errors

if TYPE_CHECKING:
    import socket

    from hourbook.mcp_tools import HourbookTools

__all__ = ["McpServer", "read_token"]

TOKEN_BYTES_MIN: Final = 16
"""A shorter secret can be tried out over a network."""
_FOR_OTHERS: Final = 0o077


class McpServer(AsyncActor[McpServerConfig]):
    """Serves the tools over streamable HTTP at the configured address."""

    config_type = McpServerConfig

    def init(self) -> Outcome:
        """Bind the address; a port in use or an unusable token is retried."""
        self._listener: socket.socket | None = None
        self._tools: HourbookTools | None = None
        self._app: Any = None
        if not self.log.isEnabledFor(logging.DEBUG):  # it logs the end of every single request
            logging.getLogger("mcp.server.streamable_http").setLevel(logging.WARNING)
        try:
            return Ready(self._open())
        except errors.OperatorError as error:
            return Degraded(str(error))

    async def serve(self) -> None:
        """Serve requests; while the address is not ours, try again."""
        while self._listener is None:
            await asyncio.sleep(RETRY_S)
            try:
                self.reporter.recover(self._open())
            except errors.OperatorError as error:
                self.reporter.degrade(str(error))
        from actors.mcp_http import serve_app  # noqa: PLC0415 - 0.6 s, paid once, in init

        await serve_app(self._app, self._listener)

    def stop(self) -> None:
        """Close the endpoint and the connection to the book."""
        if self._listener is not None:
            self._listener.close()
        if self._tools is not None:
            self._tools.close()

    def _open(self) -> dict[str, str]:
        """Bind first, since that can fail; import the rest while clients already queue."""
        token = read_token(self.config)
        listener = bind_listener(self.config.listen)
        from actors.mcp_http import MCP_PATH, build_app  # noqa: PLC0415 - see serve
        from hourbook.mcp_tools import HourbookTools, build_server  # noqa: PLC0415 - see serve

        self._tools = HourbookTools(self.home, writer=self.context.name)
        self._app = build_app(
            build_server(self._tools),
            port=listener.getsockname()[1],
            allowed_hosts=self.config.allowed_hosts,
            allowed_origins=self.config.allowed_origins,
            token=token,
            count_status=self._count_status,
        )
        self._listener = listener
        return {"mcp": endpoint_url(listener, MCP_PATH)}

    def _count_status(self, status: int) -> None:
        self.reporter.count(f'mcp_requests_total{{status="{status}"}}')


def read_token(config: McpServerConfig) -> bytes | None:
    """Return the bearer token that clients must present; None where none is configured.

    Raises:
        ConfigError: it is configured, and missing, too short, or readable by others. Such a server
            must not serve: who asked for a token did not ask for an open door.
    """
    if config.token_file and config.token_env:
        raise errors.ConfigError("Expected token_file or token_env, got both", field="token_file")
    if config.token_file:
        return _checked(_read_private(Path(config.token_file)), f"file {config.token_file}")
    if config.token_env:
        value = os.environb.get(os.fsencode(config.token_env), b"")
        return _checked(value, f"environment variable {config.token_env}")
    return None


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & _FOR_OTHERS:
                raise errors.ConfigError(
                    f"Expected a token file of mode 0600, got {mode:04o}, at {path}",
                    field="token_file",
                    hint=f"chmod 600 {path}",
                )
            return file.read(4096)
    except OSError as error:
        raise errors.ConfigError(
            f"Expected a token file, got: {error.strerror}, at {path}", field="token_file"
        ) from None


def _checked(value: bytes, where: str) -> bytes:
    token = value.strip()
    if len(token) < TOKEN_BYTES_MIN:
        raise errors.ConfigError(
            f"Expected a token of at least {TOKEN_BYTES_MIN} bytes, got {len(token)}, in {where}",
            field="token_file",
        )
    return token
