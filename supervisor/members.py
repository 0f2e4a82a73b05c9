"""What a tree remembers of its actors and nodes while it runs. Plain records, owned by the tree."""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from supervisor.machine import LIVE, Rung, State
from supervisor.restart import Delays, Window
from supervisor.spec import ChildSpec, NodeSpec

__all__ = ["Actor", "After", "Member", "Node"]

_RESTART_TIMES_MAX = 100


class After(Enum):
    """What follows when a doomed member is down."""

    REST = auto()  # it stays down
    RUN = auto()  # it starts again when its turn comes
    DROP = auto()  # its spec is forgotten
    GIVE_UP = auto()  # it stays down, and shows that its node gave up
    OWN_END = auto()  # nodes only: it ended by itself, and its parent decides


@dataclass(slots=True, eq=False)
class Member:
    """One place in a node: an actor, or a node inside it.

    Attributes:
        wanted: the desired state: it shall run whenever its node does.
        doomed: it must be down before anything else happens to it.
        after: what follows then.
        in_turn: it starts in the order of its node, not by itself.
        dynamic: added by command; gone when its node restarts.
    """

    name: str
    parent: str
    spec: ChildSpec | NodeSpec
    wanted: bool = True
    doomed: bool = False
    after: After = After.REST
    in_turn: bool = True
    dynamic: bool = False
    state: State = State.EXITED


@dataclass(slots=True, eq=False, kw_only=True)
class Actor(Member):
    """One actor.

    Attributes:
        why: what it is being ended for ("requested", "watchdog", ...), "" while it is not.
        is_killed: its end needed SIGKILL.
        rungs: steps still to come on the way to its end.
        has_answered: some incarnation of it was ready once: its first start is behind it.
        is_trial: just added; an error discards its spec.
        ready_ns: monotonic time at which this incarnation became ready, 0 before.
        rss_restart_ns: when it was last restarted for its memory.
        delay_ns: the back-off that it is in, or was in last.
        reason: why it is degraded, or what its init said.
        traceback: of its init's error, or the last lines that it printed before it was ready.
        cause: why the last incarnation ended.
    """

    spec: ChildSpec
    delays: Delays
    incarnation: int = 0
    why: str = ""
    is_killed: bool = False
    rungs: tuple[Rung, ...] = ()
    has_answered: bool = False
    is_trial: bool = False
    ready_ns: int = 0
    rss_restart_ns: int | None = None
    delay_ns: int = 0
    reason: str = ""
    traceback: str = ""
    cause: str = ""
    restarts: int = 0
    restart_times_ns: deque[int] = field(
        default_factory=lambda: deque(maxlen=_RESTART_TIMES_MAX), repr=False
    )

    @property
    def is_live(self) -> bool:
        """Whether there is a process."""
        return self.state in LIVE


@dataclass(slots=True, eq=False, kw_only=True)
class Node(Member):
    """One inner supervisor.

    Attributes:
        children: names in the order of their start.
        cause: why it ended by itself: ``max_restarts`` or ``auto_shutdown``.
    """

    spec: NodeSpec
    window: Window
    children: list[str] = field(default_factory=list)
    cause: str = ""

    @property
    def is_up(self) -> bool:
        """Whether it starts and restarts its children."""
        return self.state in (State.STARTING, State.READY) and not self.doomed

    def reshape(self, spec: NodeSpec) -> None:
        """Take a changed spec into force; a changed window starts empty."""
        if (spec.intensity, spec.period_s) != (self.spec.intensity, self.spec.period_s):
            self.window = Window(spec.intensity, spec.period_s)
        self.spec = spec
