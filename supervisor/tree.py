"""The supervision tree: what happened goes in, what to do comes out.

A :class:`Tree` knows no process, socket or clock. Every method is one event, takes the monotonic
time, and returns actions (:mod:`supervisor.actions`) in the order in which they are to be done; the
engine reports what becomes of them as further events. What follows from an event is written in
:mod:`supervisor.endings`, what a person may ask for in :mod:`supervisor.requests`, and the order of
starts and stops in :mod:`supervisor.turns`.
"""

from typing import Final

from protocols.control import InitResult
from supervisor.actions import Action
from supervisor.causes import Exit, cause_of, is_normal
from supervisor.machine import RUNNING, Event, State
from supervisor.requests import Requests
from supervisor.turns import ROOT

__all__ = ["ROOT", "Tree"]

RSS_RESTART_EVERY_NS: Final = 60_000_000_000
"""An actor over its memory limit is restarted at most so often, or it would do nothing else."""
_INIT_EVENTS: Final = {
    "ready": Event.INIT_READY,
    "degraded": Event.INIT_DEGRADED,
    "ignore": Event.INIT_IGNORE,
    "error": Event.INIT_ERROR,
}
_INIT_WHY: Final = {"ignore": "ignored", "error": "init"}


class Tree(Requests):
    """One tree from its first start to its end."""

    # -- what it is ------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """One word for the whole tree: STARTING, READY, DEGRADED, STOPPING or EXITED."""
        root = self.nodes[ROOT]
        if root.doomed:
            return "STOPPING"
        if root.state is State.EXITED:
            return "EXITED"
        if self.is_first_start:
            return "STARTING"
        unwell = (State.DEGRADED, State.BACKOFF, State.GAVE_UP)
        is_unwell = any(m.state in unwell for m in (*self.actors.values(), *self.nodes.values()))
        return "DEGRADED" if is_unwell else "READY"

    def is_current(self, name: str, incarnation: int) -> bool:
        """Say whether a message of this incarnation is news, not an echo of one before."""
        actor = self.actors.get(name)
        return actor is not None and actor.incarnation == incarnation and actor.is_live

    def waiting_for(self) -> list[str]:
        """Return the actors whose process is still there."""
        return [name for name, actor in self.actors.items() if actor.is_live]

    # -- what happens ----------------------------------------------------------------------------

    def begin(self, now_ns: int) -> list[Action]:
        """Start everything, in order."""
        self._now_ns = now_ns
        self._open(self.nodes[ROOT])
        return self._advance()

    def answered(self, result: InitResult, now_ns: int) -> list[Action]:
        """An incarnation says how its init ended."""
        self._now_ns = now_ns
        actor = self.actors.get(result.name)
        if actor is None or actor.state is not State.STARTING:
            return []
        actor.reason = result.reason
        actor.traceback = result.traceback
        actor.why = _INIT_WHY.get(result.status, "")
        if result.status != "error":
            actor.has_answered = True
            actor.is_trial = False
        if result.status in ("ready", "degraded"):
            actor.ready_ns = now_ns
        self._apply(actor, _INIT_EVENTS[result.status])
        return self._advance()

    def beat(self, name: str, degraded: str, now_ns: int) -> list[Action]:
        """An incarnation says that its loop turns, and what it lacks."""
        self._now_ns = now_ns
        actor = self.actors[name]
        if actor.state in RUNNING:
            actor.reason = degraded
        self._apply(actor, Event.UNWELL if degraded else Event.WELL)
        return self._advance()

    def timer(self, name: str, now_ns: int) -> list[Action]:
        """The timer of an actor is due."""
        self._now_ns = now_ns
        actor = self.actors[name]
        if actor.state is State.STARTING:
            actor.why = "start_timeout"
        elif actor.state in RUNNING:
            actor.why = "watchdog"
        self._apply(actor, Event.TIMER)
        return self._advance()

    def not_born(self, name: str, reason: str, now_ns: int) -> list[Action]:
        """The kernel had no process, descriptor or memory for an incarnation: a failed start."""
        actor = self.actors[name]
        actor.why = "spawn"
        actor.reason = reason
        return self.gone(name, Exit(1), now_ns)

    def gone(self, name: str, end: Exit, now_ns: int, last_words: str = "") -> list[Action]:
        """A process is dead and its group empty; `last_words` are the end of what it printed."""
        self._now_ns = now_ns
        actor = self.actors[name]
        has_started = actor.state is not State.STARTING
        why = actor.why
        if not has_started and not why:
            actor.traceback = last_words
        actor.cause = cause_of(end, why=why, killed=actor.is_killed)
        self._apply(actor, Event.GONE)
        self._note(name, "exited", cause=actor.cause, detail=actor.reason)
        if actor.doomed:
            self._come_down(actor)
        elif why == "ignored":
            self._apply(actor, Event.DISABLE)
        else:
            self._ended(actor, is_normal=not why and has_started and is_normal(end))
        return self._advance()

    def overweight(self, name: str, now_ns: int) -> list[Action]:
        """An actor uses more memory than its limit: restart it gracefully, not too often."""
        self._now_ns = now_ns
        actor = self.actors[name]
        last_ns = actor.rss_restart_ns
        is_too_soon = last_ns is not None and now_ns - last_ns < RSS_RESTART_EVERY_NS
        if actor.doomed or actor.state not in RUNNING or is_too_soon:
            return []
        actor.rss_restart_ns = now_ns
        actor.why = "rss"
        self._restart_gracefully(actor)
        return self._advance()
