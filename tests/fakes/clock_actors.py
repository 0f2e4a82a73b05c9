"""The clock's two actors as real processes, without a supervisor, and their mailboxes for tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import msgpack
import msgspec
import zmq

from hourbook.home import Home
from protocols import wire
from protocols.clock_messages import ClockEstimate, ClockSample

__all__ = ["ActorProcess", "TestMailbox"]

_RUN = """
import sys, msgspec
from importlib import import_module
from actors.contract import ActorContext
context = msgspec.json.decode(sys.argv[2], type=ActorContext)
module, name = sys.argv[1].split(":")
sys.exit(getattr(import_module(module), name).main(context))
"""


class ActorProcess:
    """One incarnation of an actor; its log is kept in a file of the home."""

    def __init__(self, home: Home, path: str, name: str, config: Mapping[str, Any]) -> None:
        context = {
            "name": name,
            "incarnation": 1,
            "home_path": str(home.path),
            "run_dir": str(home.run_dir),
            "config": dict(config),
            "log_level": "debug",
        }
        self.log_path = home.path / f"{name}.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-c", _RUN, path,
                 msgspec.json.encode(context).decode()],
                stderr=log,
            )  # fmt: skip

    @property
    def log(self) -> str:
        """What the actor has said so far."""
        return self.log_path.read_text()

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """Stop it in order; return its exit code."""
        os.kill(self.process.pid, signal.SIGTERM)
        return self.process.wait(10)


class TestMailbox:
    """A mailbox under an actor's name, in place of that actor."""

    __test__ = False

    def __init__(self, home: Home, name: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.bind(home.mailbox_uri(name))

    def messages(self, kind: str, timeout_s: float) -> list[dict[str, Any]]:
        """Return the bodies of one kind that come within the time, decoded by plain msgpack."""
        found = []
        if self._router.poll(round(timeout_s * 1000)):
            while self._router.poll(0):
                message = msgpack.unpackb(self._router.recv_multipart()[-1])
                if message["kind"] == kind:
                    found.append(message["body"])
        return found

    def next_sample(self, timeout_s: float) -> ClockSample:
        """Return the next sample."""
        return msgspec.convert(self._next("clock.sample", timeout_s), ClockSample)

    def next_estimate(
        self, timeout_s: float, where: Callable[[ClockEstimate], bool] = lambda _: True
    ) -> ClockEstimate:
        """Return the next estimate of which `where` holds."""
        while True:
            body = self._next("clock.estimate", timeout_s)
            estimate = msgspec.convert(body, ClockEstimate)
            if where(estimate):
                return estimate

    def close(self) -> None:
        """Close the mailbox."""
        self._context.destroy(linger=0)

    def _next(self, kind: str, timeout_s: float) -> Any:
        while self._router.poll(round(timeout_s * 1000)):
            envelope = wire.decode_envelope(self._router.recv_multipart()[-1])
            if envelope.kind == kind:
                return msgspec.msgpack.decode(envelope.body)
        raise AssertionError(f"waited {timeout_s:g} s for {kind}")
