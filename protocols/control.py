"""What an actor and its supervisor, and the supervisor and its command line, say to each other.

All of it travels over one ROUTER socket, ``<run_dir>/supervisor.sock``. An actor opens with
``hello``, answers for its own start with ``init``, and then beats from its work loop. The kinds are
the keys of the two tables at the end.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

__all__ = [
    "ACTOR_KINDS",
    "COMMAND_KINDS",
    "SUPERVISOR_NAME",
    "ActorRow",
    "Beat",
    "Command",
    "Done",
    "Event",
    "Events",
    "Hello",
    "InitResult",
    "Reload",
    "Snapshot",
    "Status",
    "Stop",
    "SupervisorRow",
]

SUPERVISOR_NAME: Final = "supervisor"
"""Name of the control socket, as an actor's name is that of its mailbox."""

InitStatus = Literal["ready", "degraded", "ignore", "error"]
Snapshot = dict[str, float]
"""Cumulative counters and current gauges by name; labels as Prometheus: ``x_total{a="b"}``."""


# -- from an actor ------------------------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True):
    """First message of an incarnation, before its init."""

    name: str
    incarnation: int
    pid: int


class InitResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the start of an incarnation ended.

    `degraded` runs, says why and tries again by itself; only `error` rolls a first start back.
    """

    name: str
    incarnation: int
    status: InitStatus
    reason: str = ""
    traceback: str = ""
    endpoints: dict[str, str] = {}


class Beat(msgspec.Struct, frozen=True, omit_defaults=True):
    """Sent by the actor's own work loop once a second: it turns.

    A non-empty `degraded` says that the actor runs without something it needs, and what.
    """

    name: str
    incarnation: int
    degraded: str = ""
    endpoints: dict[str, str] = {}
    snapshot: Snapshot = {}


# -- to an actor --------------------------------------------------------------------------------


class Stop(msgspec.Struct, frozen=True):
    """Finish what is acknowledged, release what is owned, exit 0."""

    reason: str = ""


class Reload(msgspec.Struct, frozen=True):
    """A changed configuration; the answer ``ok`` says that it is in force."""

    config: dict[str, Any]


# -- from the command line ----------------------------------------------------------------------


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command. `name` is an actor or a node where the command takes one, else ""."""

    name: str = ""
    now: bool = False
    spec: dict[str, Any] = {}
    since: Annotated[int, msgspec.Meta(ge=0)] = 0


class Done(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was done, in words for a person."""

    message: str = ""
    restarted: list[str] = []
    reloaded: list[str] = []
    added: list[str] = []
    removed: list[str] = []


class SupervisorRow(msgspec.Struct, frozen=True):
    """The supervisor itself in a status.

    Attributes:
        stale_messages: of incarnations that were over (count).
        dropped_log_lines: that could not be kept (count).
        dropped_messages: that their receiver was not there, or too slow, to take (count).
        refused_messages: frames that were no envelope (count).
    """

    pid: int
    version: str
    home: str
    run_dir: str
    config: str
    state: str
    uptime_s: float
    rss_bytes: int
    stale_messages: int
    dropped_log_lines: int
    dropped_messages: int = 0
    refused_messages: int = 0


class ActorRow(msgspec.Struct, frozen=True):
    """One actor in a status; the columns of ``supervisor status``."""

    name: str
    node: str
    state: str
    pid: int | None
    incarnation: int
    uptime_s: float
    restarts: int
    restarts_window: int
    beat_age_s: float | None
    rss_bytes: int
    cpu_percent: float
    endpoints: dict[str, str]
    reason: str
    cause: str


class Status(msgspec.Struct, frozen=True):
    """Everything a person or an exporter asks of the tree at one instant."""

    supervisor: SupervisorRow
    actors: list[ActorRow]
    snapshots: dict[str, Snapshot]


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the supervisor's event log."""

    seq: int
    time_wall_ns: int
    mono_ns: int
    name: str
    event: str
    pid: int = 0
    incarnation: int = 0
    cause: str = ""
    detail: str = ""


class Events(msgspec.Struct, frozen=True):
    """Events after a sequence number; waits at most a second for the first."""

    events: list[Event]


ACTOR_KINDS: Final[dict[str, type[Hello] | type[InitResult] | type[Beat]]] = {
    "hello": Hello,
    "init": InitResult,
    "beat": Beat,
}
COMMAND_KINDS: Final = ("status", "start", "stop", "restart", "add", "remove", "reload", "events")
