"""Small real actors that the tests run as real processes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from actors.async_loop import AsyncActor
from actors.base import Actor, Handler, Request
from protocols import errors
from protocols.control import Snapshot


class EchoConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Configuration of the echo actor."""

    prefix: str = ""


class Text(msgspec.Struct):
    """Body of an echo."""

    text: str


class _Echoes:
    """What both echo actors do."""

    config: EchoConfig
    echoes = 0

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "echo": Handler(Text, self.echo),
            "boom": Handler(Text, self.boom),
            "refuse": Handler(Text, self.refuse),
        }

    def echo(self, request: Request[Text]) -> dict[str, str]:
        self.echoes += 1
        return {"text": self.config.prefix + request.body.text}

    def boom(self, request: Request[Text]) -> None:
        raise ZeroDivisionError(request.body.text)

    def refuse(self, _request: Request[Text]) -> None:
        raise errors.BadRequest("Expected otherwise, got this, here", field="text")

    def reload(self, config: dict[str, Any]) -> bool:
        self.config = msgspec.convert(config, EchoConfig)
        return True

    def snapshot(self) -> Snapshot:
        return {"echoes_total": float(self.echoes)}


class Echo(_Echoes, Actor[EchoConfig]):
    """Answers with what it was sent; leaves a file behind when it stops in order."""

    config_type = EchoConfig

    def stop(self) -> None:
        Path(self.home.path, "echo-stopped").touch()


class AsyncEcho(_Echoes, AsyncActor[EchoConfig]):
    """The same on asyncio."""

    config_type = EchoConfig

    def stop(self) -> None:
        Path(self.home.path, "echo-stopped").touch()
