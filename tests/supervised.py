"""A supervisor in a process of its own, with everything a scenario asks of it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec
import zmq
from specs import node, tree
from waiting import wait_until

from hourbook.home import find_home
from protocols import control, wire
from supervisor.client import Client
from supervisor.spec import Backoff, ChildSpec, TreeSpec

__all__ = ["NO_BACKOFF", "Supervised", "actor", "descendants_of", "is_alive", "node", "tree"]

TESTS_DIR = Path(__file__).resolve().parent
NO_BACKOFF = Backoff(base_s=0)
UP = ("READY", "DEGRADED", "DISABLED", "EXITED")


def actor(name: str, config: dict[str, Any] | None = None, **fields: Any) -> ChildSpec:
    """Return the spec of a stock actor without back-off."""
    fields.setdefault("backoff", NO_BACKOFF)
    fields.setdefault("class_path", "stock_actors:Stock")
    return ChildSpec(name=name, config=config or {}, **fields)


class Supervised:
    """A running tree; use as a context manager. Leaves no process and no run directory behind."""

    def __init__(self, path: Path, spec: TreeSpec, *, env: dict[str, str] | None = None) -> None:
        self.home = find_home(path)
        self.home.path.mkdir(parents=True, exist_ok=True)
        self.env = {**os.environ, **(env or {})}
        self.write(spec)
        self.process = self.launch()

    def write(self, spec: TreeSpec) -> None:
        """Replace the configuration that the next start or reload reads."""
        (self.home.path / "tree.json").write_bytes(msgspec.json.encode(spec))

    def launch(self) -> subprocess.Popen[str]:
        """Start a supervisor on this home."""
        return subprocess.Popen(
            [sys.executable, str(TESTS_DIR / "run_tree.py"), str(self.home.path)],
            env=self.env,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pids = self.descendants()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.home.run_dir, ignore_errors=True)

    # -- seeing ----------------------------------------------------------------------------------

    def events(self) -> list[control.Event]:
        """Return everything that happened so far."""
        try:
            lines = (self.home.path / "events.jsonl").read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [msgspec.json.decode(x, type=control.Event) for x in lines if x.endswith(b"\n")]

    def wait_event(
        self, name: str, event: str, *, count: int = 1, timeout_s: float = 15
    ) -> control.Event:
        """Wait for the `count`-th event of this kind."""

        def find() -> control.Event | None:
            found = [e for e in self.events() if (e.name, e.event) == (name, event)]
            return found[count - 1] if len(found) >= count else None

        found = wait_until(find, timeout_s, f"event {count} {event} of {name}")
        assert found is not None
        return found

    def wait_ready(self, timeout_s: float = 15) -> Self:
        """Wait for the end of the first start."""
        self.wait_event("root", "ready", timeout_s=timeout_s)
        return self

    def status(self) -> control.Status:
        """Return the status."""
        with Client(self.home) as client:
            return client.status()

    def rows(self) -> dict[str, control.ActorRow]:
        """Return the actors' rows by name."""
        return {row.name: row for row in self.status().actors}

    def pids(self) -> dict[str, int | None]:
        """Return the actors' pids by name."""
        return {name: row.pid for name, row in self.rows().items()}

    def pid(self, name: str) -> int:
        """Return one actor's pid."""
        pid = self.pids()[name]
        assert pid
        return pid

    def wait_up(self, name: str, after: int = 0, timeout_s: float = 15) -> control.ActorRow:
        """Wait until an incarnation later than `after` of an actor is ready."""

        def find() -> control.ActorRow | None:
            row = self.rows()[name]
            is_up = row.state in ("READY", "DEGRADED") and row.incarnation > after
            return row if is_up else None

        found = wait_until(find, timeout_s, f"{name} up after incarnation {after}")
        assert found is not None
        return found

    def strays(self, name: str) -> list[int]:
        """Return the pids of the daemons that a stock actor has written down so far."""
        file = self.home.path / f"{name}.stray"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def descendants(self) -> list[int]:
        """Return the pids of all processes under the supervisor, zombies too."""
        return descendants_of(self.process.pid)

    # -- doing -----------------------------------------------------------------------------------

    def command(self, kind: str, name: str = "", timeout_s: float = 15, **fields: Any) -> Any:
        """Send a command and return its outcome; raises what the supervisor refuses."""
        with Client(self.home) as client:
            request = control.Command(name=name, **fields)
            return client.ask(kind, request, control.Done, timeout_s=timeout_s)

    def tell(self, name: str, kind: str, body: dict[str, Any] | None = None) -> None:
        """Send a message to an actor's mailbox."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.set(zmq.LINGER, 1000)
            dealer.connect(self.home.mailbox_uri(name))
            dealer.send(_frame(kind, body))

    def ask(self, name: str, kind: str, body: dict[str, Any] | None = None) -> wire.Envelope:
        """Send a message to an actor's mailbox and return its answer."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.set(zmq.LINGER, 0)
            dealer.connect(self.home.mailbox_uri(name))
            dealer.send(_frame(kind, body))
            assert dealer.poll(5000), f"{name} did not answer {kind}"
            return wire.decode_envelope(dealer.recv())

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Signal an actor; return the monotonic time just before."""
        pid = self.pid(name)
        now_ns = time.monotonic_ns()
        os.kill(pid, number)
        return now_ns

    def crash(self, name: str, number: int = signal.SIGKILL) -> control.ActorRow:
        """Kill an actor and wait until it is up again."""
        before = self.wait_up(name)
        self.kill(name, number)
        return self.wait_up(name, after=before.incarnation)

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 15) -> int:
        """Signal the supervisor and return its exit code."""
        self.process.send_signal(number)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 15) -> int:
        """Return the exit code of the supervisor."""
        return self.process.wait(timeout_s)


def is_alive(pid: int) -> bool:
    """Say whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants_of(pid: int) -> list[int]:
    """Return the pids of all processes under one."""
    found = []
    for child in children_of(pid):
        found += [child, *descendants_of(child)]
    return found


def children_of(pid: int) -> Iterator[int]:
    """Yield the children of a process."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            yield from map(int, task.read_text().split())


def _frame(kind: str, body: dict[str, Any] | None) -> bytes:
    raw = msgspec.Raw(msgspec.msgpack.encode(body or {}))
    return wire.encode(wire.Envelope(kind=kind, id=1, src="test", body=raw))
