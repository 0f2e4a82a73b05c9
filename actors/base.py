"""The base of every actor: one process that owns one thing and hears one mailbox."""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from actors.contract import (
    ActorContext,
    Degraded,
    Handler,
    Ignore,
    Outcome,
    Reactor,
    Ready,
    Request,
)
from actors.loop import Loop
from hourbook.home import Home
from hourbook.timebase import SystemTimebase, Timebase
from protocols import errors, wire
from protocols.control import Snapshot

__all__ = [
    "Actor",
    "ActorContext",
    "BaseActor",
    "Degraded",
    "Handler",
    "Ignore",
    "Outcome",
    "Reactor",
    "Ready",
    "Request",
]

ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)


class BaseActor(Generic[ConfigT]):
    """What every kind of actor fills in, whatever loop runs it.

    Nothing here blocks: the loop calls, the actor returns.

    Attributes:
        config_type: the frozen struct of its configuration (``actors/config.py``).
        frame_bytes_max: the largest message that its mailbox accepts (bytes).
        drain_messages_max: messages served before ``after_drain`` (count).
        drain_bytes_max: bytes served before ``after_drain``.
        is_full: the drain is to end here: what comes next has to find it done.
    """

    config_type: ClassVar[type[Any]]
    frame_bytes_max: int = wire.FRAME_BYTES_MAX_DEFAULT
    drain_messages_max: int = 4096
    drain_bytes_max: int = 1 << 20
    is_full: bool = False

    def __init__(
        self, config: ConfigT, context: ActorContext, home: Home, timebase: Timebase
    ) -> None:
        self.config = config
        self.context = context
        self.home = home
        self.timebase = timebase
        self.log = logging.getLogger(context.name)

    @classmethod
    def prepare(cls, context: ActorContext) -> tuple[Any, Home, Timebase]:
        """Log where the supervisor listens; return the configuration, the home and the clocks.

        Raises:
            ConfigError: the configuration does not fit ``config_type``.
        """
        configure_logging(context.log_level)
        home = Home(path=Path(context.home_path), run_dir=Path(context.run_dir))
        return decode_config(cls.config_type, context.config), home, SystemTimebase()

    def init(self) -> Outcome:
        """Acquire what the actor owns; raising is a failed start."""
        return Ready()

    def handlers(self) -> Mapping[str, Handler]:
        """Return how each kind of message is served."""
        return {}

    def wants_company(self) -> bool:
        """Return whether what is gathered is worth waiting for more of it, for moments."""
        return False

    def after_drain(self) -> None:
        """Finish what a drain of the mailbox has gathered."""

    def reload(self, config: dict[str, Any]) -> bool:
        """Take a changed configuration into force; False asks for a restart."""
        return bool(decode_config(self.config_type, config) == self.config)

    def snapshot(self) -> Snapshot:
        """Return cumulative counters and current gauges; they ride in each beat."""
        return {}

    def stop(self) -> None:
        """Release what the actor owns; what was acknowledged is safe by now."""


class Actor(BaseActor[ConfigT]):
    """The base of every synchronous actor: it lives in one ``Loop``, its ``reactor``."""

    def __init__(
        self,
        config: ConfigT,
        context: ActorContext,
        home: Home,
        timebase: Timebase,
        reactor: Reactor,
    ) -> None:
        super().__init__(config, context, home, timebase)
        self.reactor = reactor

    @classmethod
    def main(cls, context: ActorContext) -> int:
        """Live one incarnation; return the exit code of the process."""
        config, home, timebase = cls.prepare(context)
        loop = Loop(context, home, timebase)
        return loop.run(cls(config, context, home, timebase, loop))


def decode_config(config_type: type[ConfigT], config: Mapping[str, Any]) -> ConfigT:
    """Build an actor's configuration from plain data.

    Raises:
        ConfigError: naming the field, what was expected and what was got.
    """
    try:
        return msgspec.convert(config, config_type)
    except msgspec.ValidationError as error:
        raise errors.ConfigError(f"Expected a {config_type.__name__}: {error}") from None


def configure_logging(level: str) -> None:
    """Log to stderr, which the supervisor turns into JSON lines."""
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(levelname)s %(name)s: %(message)s"
    )
