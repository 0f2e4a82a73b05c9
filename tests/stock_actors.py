"""Small actors that behave as their configuration and their messages say, for tests of trees."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import msgspec

from actors.base import Actor, Degraded, Handler, Ignore, Outcome, Ready, Request
from protocols.control import SUPERVISOR_NAME

if TYPE_CHECKING:
    from actors.loop import Loop

__all__ = ["Stock", "StockConfig"]


class StockConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stock actor does; `init` is done once by each incarnation in turn, the last for ever.

    Attributes:
        init: of ready, ignore, degrade, error, exit, hang, or wait (until ``<home>/<name>.go``).
        stop: "" or hang.
        is_deaf: ignore SIGTERM.
        strays: daemons that leave the group at init (count).
        label: any text; a change of it applies in place.
        fixed: any text; a change of it needs a restart.
        ballast_mib: memory to hold.
    """

    init: tuple[str, ...] = ("ready",)
    stop: str = ""
    is_deaf: bool = False
    strays: int = 0
    label: str = ""
    fixed: str = ""
    ballast_mib: int = 0


class Exit(msgspec.Struct):
    """End at once with a code."""

    code: int = 0


class Degrade(msgspec.Struct):
    """Say degraded, or with "" that all is well."""

    reason: str = ""


class Nothing(msgspec.Struct):
    """No arguments."""


class Stock(Actor[StockConfig]):
    """Does as it is told, badly where asked."""

    config_type = StockConfig

    def init(self) -> Outcome:
        """Behave as the configuration says of this incarnation."""
        if self.config.is_deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(self.config.strays):
            _detach(self.home.path / f"{self.context.name}.stray")
        self.ballast = bytearray(self.config.ballast_mib << 20)
        steps = self.config.init
        match steps[min(self.context.incarnation, len(steps)) - 1]:
            case "ignore":
                return Ignore("nothing to do")
            case "degrade":
                return Degraded("the port is in use")
            case "error":
                raise ValueError("the cupboard is bare")
            case "exit":
                print("about to exit", file=sys.stderr)
                sys.stderr.flush()
                os._exit(7)
            case "hang":
                _hang()
            case "wait":
                _wait_for(self.home.path / f"{self.context.name}.go")
        return Ready({"test": f"inproc://{self.context.name}"})

    def handlers(self) -> Mapping[str, Handler]:
        """Return the ways to make it misbehave."""
        return {
            "test.exit": Handler(Exit, lambda request: os._exit(request.body.code)),
            "test.degrade": Handler(Degrade, self._degrade),
            "test.label": Handler(Nothing, lambda _: {"label": self.config.label}),
            "test.spin": Handler(Nothing, _spin),
            "test.hold_gil": Handler(Nothing, _hold_gil),
            "test.poison": Handler(Nothing, _raise),
            "test.print": Handler(Exit, _print),
            "test.unplug": Handler(Nothing, self._unplug),
        }

    def reload(self, config: dict[str, Any]) -> bool:
        """Take in a new label; anything else needs a restart."""
        new = msgspec.convert(config, StockConfig)
        if msgspec.structs.replace(new, label="") != msgspec.structs.replace(self.config, label=""):
            return False
        self.config = new
        return True

    def snapshot(self) -> dict[str, float]:
        """Return one gauge."""
        return {"incarnation": float(self.context.incarnation)}

    def stop(self) -> None:
        """Stop, or hang."""
        if self.config.stop == "hang":
            _hang()

    def _degrade(self, request: Request[Degrade]) -> dict[str, Any]:
        if request.body.reason:
            self.reactor.degrade(request.body.reason)
        else:
            self.reactor.recover()
        return {}

    def _unplug(self, _: object) -> dict[str, Any]:
        """Leave the bus: neither is a beat sent nor an order heard from here on."""
        loop = cast("Loop", self.reactor)
        loop._supervisor.disconnect(self.home.mailbox_uri(SUPERVISOR_NAME))
        return {}


def _hang() -> NoReturn:
    while True:
        signal.pause()


def _spin(_: object) -> NoReturn:
    while True:
        pass


def _hold_gil(_: object) -> None:
    ctypes.PyDLL(None).sleep(3600)


def _raise(_: object) -> NoReturn:
    raise RuntimeError("poison")


def _print(request: Request[Exit]) -> dict[str, Any]:
    for number in range(request.body.code):
        print(f"line {number}")
    sys.stdout.flush()
    return {}


def _wait_for(path: Path) -> None:
    """Wait for another process to create a FIFO's reader side: opening blocks until then."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path)
    with path.open("rb") as fifo:
        fifo.read()


def _detach(pid_file: Path) -> None:
    """Become a daemon the classic way: fork, setsid, fork; the daemon closes all it inherited."""
    if pid := os.fork():
        os.waitpid(pid, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    with pid_file.open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.closerange(0, 1024)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _hang()
