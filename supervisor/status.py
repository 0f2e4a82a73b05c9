"""The rows of ``supervisor status``: what the tree decided beside what the kernel counts."""

import os
from importlib import metadata
from typing import Final, NamedTuple

from hourbook.home import Home
from protocols.control import ActorRow, Beat, InitResult, Status, SupervisorRow
from supervisor.gauges import Gauges
from supervisor.machine import RUNNING
from supervisor.members import Actor
from supervisor.tree import Tree

__all__ = ["Counts", "StatusBoard"]

_S_NS: Final = 1_000_000_000


class Counts(NamedTuple):
    """What the supervisor counts about itself."""

    stale_messages: int
    dropped_log_lines: int
    dropped_messages: int
    refused_messages: int


class _LastBeat(NamedTuple):
    mono_ns: int
    beat: Beat


class StatusBoard:
    """Builds a :class:`Status`.

    Args:
        tree: what is shown.
        home: whose tree it is.
        config_path: the file it was read from, "" for the defaults.
        began_ns: monotonic time at which the supervisor started.
    """

    def __init__(self, tree: Tree, home: Home, config_path: str, began_ns: int) -> None:
        self._tree = tree
        self._home = home
        self._config_path = config_path
        self._began_ns = began_ns
        self.gauges = Gauges()
        self.pids: dict[str, int] = {}
        self._beats: dict[str, _LastBeat] = {}
        self._endpoints: dict[str, dict[str, str]] = {}

    def answered(self, result: InitResult, now_ns: int) -> None:
        """An incarnation says how its start ended."""
        self._endpoints[result.name] = result.endpoints
        self._note_load(result.name, now_ns)

    def beat(self, beat: Beat, now_ns: int) -> None:
        """An incarnation says how it fares."""
        self._beats[beat.name] = _LastBeat(now_ns, beat)
        self._endpoints[beat.name] = beat.endpoints
        self._note_load(beat.name, now_ns)

    def build(self, now_ns: int, counts: Counts) -> Status:
        """Return how everything is now."""
        return Status(
            supervisor=self._own_row(now_ns, counts),
            actors=[self._row(self._tree.actors[name], now_ns) for name in self._order()],
            snapshots={name: last.beat.snapshot for name, last in self._beats.items()},
        )

    def forget(self, name: str) -> None:
        """An incarnation has ended."""
        self._beats.pop(name, None)
        self._endpoints.pop(name, None)
        self.gauges.forget(self.pids.pop(name, 0))

    def _note_load(self, name: str, now_ns: int) -> None:
        if pid := self.pids.get(name):
            self.gauges.note(pid, now_ns)

    def _order(self) -> list[str]:
        """Return the names of the actors in the order of their start."""
        return [actor.name for actor in self._tree.actors_below()]

    def _own_row(self, now_ns: int, counts: Counts) -> SupervisorRow:
        pid = os.getpid()
        return SupervisorRow(
            pid=pid,
            version=metadata.version("hourbook"),
            home=str(self._home.path),
            run_dir=str(self._home.run_dir),
            config=self._config_path,
            state=self._tree.state,
            uptime_s=(now_ns - self._began_ns) / _S_NS,
            rss_bytes=self.gauges.rss_bytes(pid),
            stale_messages=counts.stale_messages,
            dropped_log_lines=counts.dropped_log_lines,
            dropped_messages=counts.dropped_messages,
            refused_messages=counts.refused_messages,
        )

    def _row(self, actor: Actor, now_ns: int) -> ActorRow:
        pid = self.pids.get(actor.name)
        last = self._beats.get(actor.name)
        period_ns = self._tree.nodes[actor.parent].window.period_ns
        is_running = actor.state in RUNNING
        return ActorRow(
            name=actor.name,
            node=actor.parent,
            state=actor.state.value,
            pid=pid,
            incarnation=actor.incarnation,
            uptime_s=(now_ns - actor.ready_ns) / _S_NS if is_running else 0.0,
            restarts=actor.restarts,
            restarts_window=sum(now_ns - t <= period_ns for t in actor.restart_times_ns),
            beat_age_s=(now_ns - last.mono_ns) / _S_NS if last else None,
            rss_bytes=self.gauges.rss_bytes(pid) if pid else 0,
            cpu_percent=self.gauges.load_percent(pid, now_ns) if pid else 0.0,
            endpoints=self._endpoints.get(actor.name, {}) if is_running else {},
            reason=actor.reason,
            cause=actor.cause,
        )
