"""The supervisor's one loop: what happens is told to the tree, and what the tree decides is done.

Runs in the main thread alone, over the control socket, a descriptor for each process and each log
pipe, the signals and one heap of monotonic timers. Everything it calls returns at once; the only
waiting is in ``poll``. Wall time is shown and never decided on: the machine's clock may be stepped
by an hour, and by this very tree.
"""

import contextlib
import logging
import random
import signal
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import zmq

from actors.timers import Timer, Timers
from hourbook.home import Home, prepare_home
from hourbook.timebase import SystemTimebase, Timebase
from protocols import control, errors, wire
from supervisor import exit_codes
from supervisor.actions import Action, Arm, Disarm, Drop, Finish, Note, Push, Spawn
from supervisor.control import Control, Incoming
from supervisor.crew import Crew, Gone
from supervisor.desk import Answer, Desk
from supervisor.events import EventLog
from supervisor.machine import State
from supervisor.process import prepare_spawning
from supervisor.reload import Reload
from supervisor.runlock import RunLock
from supervisor.sdnotify import Herald, Notifier
from supervisor.signals import Signals
from supervisor.spec import Settings, TreeSpec
from supervisor.status import Counts, StatusBoard
from supervisor.tree import Tree

__all__ = ["run"]

_MS_NS: Final = 1_000_000
_POLL_MS_MAX: Final = 60_000
_BURY_AGAIN_NS: Final = 5 * _MS_NS
_LOOK_NS: Final = 1_000 * _MS_NS
_LAST_MESSAGE_MS: Final = 50
"""An actor that fails says why and exits; its message may arrive after the news of its death."""

_log = logging.getLogger(__name__)


def run(
    tree: TreeSpec,
    home: Home,
    *,
    settings: Settings | None = None,
    config_path: str = "",
    load_config: Callable[[], TreeSpec] | None = None,
    on_event: Callable[[control.Event], None] | None = None,
    timebase: Timebase | None = None,
    rng: random.Random | None = None,
) -> int:
    """Run a tree until it has stopped; return the exit code of the supervisor.

    Args:
        tree: a spec that holds (``spec.check_tree``).
        home: where it lives; created if need be.
        settings: of the supervisor itself.
        config_path: shown in the status.
        load_config: reads the configuration again, for a reload; raises ConfigError.
        on_event: called with every event at once; must return quickly.
        timebase: the clocks.
        rng: the jitter of restarts.

    Returns:
        0 stopped as asked, 3 an actor failed its first start, 5 the root gave up, or the
        run directory was removed.

    Raises:
        AlreadyRunning: another supervisor holds this home.
        HomeUnusable: the home or its run directory cannot be used.
    """
    prepare_home(home)
    lock = RunLock(home)
    try:
        engine = _Engine(
            Tree(tree, rng or random.Random()),  # noqa: S311 - jitter, nothing secret
            home,
            lock,
            settings or Settings(),
            config_path,
            load_config,
            on_event,
            timebase or SystemTimebase(),
        )
        code = engine.run()
        lock.close_segment()
    finally:
        lock.close()
    return code


class _Engine:
    def __init__(
        self,
        tree: Tree,
        home: Home,
        lock: RunLock,
        settings: Settings,
        config_path: str,
        load_config: Callable[[], TreeSpec] | None,
        on_event: Callable[[control.Event], None] | None,
        timebase: Timebase,
    ) -> None:
        self._tree = tree
        self._home = home
        self._lock = lock
        self._load_config = load_config
        self._timebase = timebase
        self._timers = Timers()
        self._armed: dict[str, Timer] = {}
        self._poller = zmq.Poller()
        self._callbacks: dict[object, Callable[[], None]] = {}
        self._events = EventLog(timebase, on_event)
        self._board = StatusBoard(tree, home, config_path, timebase.mono_ns())
        self._crew = Crew(home, settings, timebase, self._watch, self._unwatch)
        self._notifier = Notifier.from_environment()
        self._todo: deque[Action] = deque()
        self._is_performing = False
        self._stale_messages = 0
        self._reload: Reload | None = None
        self._stop_signals = 0
        self._is_burial_due = False
        self._exit_code: int | None = None

    # -- the loop --------------------------------------------------------------------------------

    def run(self) -> int:
        """Start, turn until everything is down, and leave nothing behind."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._notifier.close)
            signals = Signals()
            stack.callback(signals.close)
            prepare_spawning()
            stack.callback(self._lock.remove_sockets)
            self._control = Control(self._home)
            stack.callback(self._control.close)
            stack.callback(self._crew.close)
            self._desk = Desk(self, self._tree, self._control, self._events)
            self._watch(signals.fileno(), lambda: self._hear_signals(signals))
            self._poller.register(self._control.socket, zmq.POLLIN)
            self._callbacks[self._control.socket] = self._hear_control
            herald = Herald(self._notifier, self._timers, self.now_ns())
            look = self._timers.add(self.now_ns(), lambda: self._look_at_home(look), _LOOK_NS)
            self.perform(self._tree.begin(self.now_ns()))
            while self._exit_code is None:
                self._turn()
                herald.tell(self._tree.state, len(self._tree.actors))
            self._desk.close()
            return self._exit_code

    def _turn(self) -> None:
        for source, _ in self._poller.poll(self._poll_ms()):
            callback = self._callbacks.get(source)
            if callback is not None:
                callback()
        self._timers.fire(self.now_ns())
        self._bury()
        self._desk.settle()

    def _poll_ms(self) -> int:
        due_ns = self._timers.next_due_ns()
        if due_ns is None:
            return _POLL_MS_MAX
        return max(0, min(_POLL_MS_MAX, -(-(due_ns - self.now_ns()) // _MS_NS)))

    def _watch(self, fd: int, callback: Callable[[], None]) -> None:
        self._callbacks[fd] = callback
        self._poller.register(fd, zmq.POLLIN)

    def _unwatch(self, fd: int) -> None:
        del self._callbacks[fd]
        self._poller.unregister(fd)

    # -- what the tree decided -------------------------------------------------------------------

    def now_ns(self) -> int:
        """Return monotonic time."""
        return self._timebase.mono_ns()

    def wake_at(self, due_mono_ns: int) -> None:
        """Turn the loop at this time."""
        self._timers.add(due_mono_ns, lambda: None)

    def perform(self, actions: list[Action]) -> None:
        """Do what the tree decided, in order; what follows from that comes after it."""
        self._todo.extend(actions)
        if self._is_performing:
            return
        self._is_performing = True
        try:
            while self._todo:
                self._do(self._todo.popleft())
        finally:
            self._is_performing = False

    def _do(self, action: Action) -> None:
        match action:
            case Spawn(name, incarnation):
                self._spawn(name, incarnation)
            case Push(name, deed, reason):
                self._push(name, deed, reason)
            case Arm(name, due_mono_ns):
                self._disarm(name)
                fire = self._timers.add(due_mono_ns, lambda: self._on_timer(name))
                self._armed[name] = fire
            case Disarm(name):
                self._disarm(name)
            case Note():
                self._note(action)
            case Drop(name):
                self._crew.drop(name)
                self._board.forget(name)
            case Finish(code):
                self._exit_code = code

    def _spawn(self, name: str, incarnation: int) -> None:
        actor = self._tree.actors[name]
        try:
            self._board.pids[name] = self._crew.spawn(actor.spec, incarnation)
        except OSError as error:
            self.perform(self._tree.not_born(name, str(error), self.now_ns()))

    def _push(self, name: str, deed: str, reason: str) -> None:
        match deed:
            case "ask":
                if not self._control.tell(name, "stop", control.Stop(reason)):
                    self._crew.push(name, "terminate")  # it cannot hear: the same, as a signal
            case "terminate" | "abort" | "kill":
                self._crew.push(name, deed)

    def _disarm(self, name: str) -> None:
        timer = self._armed.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _on_timer(self, name: str) -> None:
        self._armed.pop(name, None)
        if name in self._tree.actors:
            self.perform(self._tree.timer(name, self.now_ns()))

    def _note(self, note: Note) -> None:
        self._events.record(
            note.name,
            note.event,
            pid=self._board.pids.get(note.name, 0),
            incarnation=note.incarnation,
            cause=note.cause,
            detail=note.detail,
        )

    # -- what happened ---------------------------------------------------------------------------

    def _bury(self) -> None:
        if not self._crew.is_ending:
            return
        for gone in self._crew.bury():
            self._on_gone(gone)
        self._crew.reap_strangers()
        self._bury_again_soon()

    def _bury_again_soon(self) -> None:
        if self._crew.is_ending and not self._is_burial_due:
            self._is_burial_due = True
            self._timers.add(self.now_ns() + _BURY_AGAIN_NS, self._on_burial_due)

    def _on_burial_due(self) -> None:
        self._is_burial_due = False  # asked again in this very turn

    def _on_gone(self, gone: Gone) -> None:
        actor = self._tree.actors[gone.name]
        if actor.state is State.STARTING and gone.end.code in (0, 1):
            self._control.wait(_LAST_MESSAGE_MS)
            self._hear_control()
        words = ""
        if actor.state is State.STARTING:
            words = self._crew.last_words(gone.name, gone.incarnation)
        self.perform(self._tree.gone(gone.name, gone.end, self.now_ns(), words))
        if self._board.pids.get(gone.name) == gone.pid:
            self._board.forget(gone.name)

    def _hear_control(self) -> None:
        for incoming in self._control.drain():
            envelope = incoming.envelope
            if envelope.kind in control.ACTOR_KINDS:
                self._hear_actor(incoming)
            elif envelope.corr is not None:
                self._hear_reply(envelope)
            else:
                self._desk.serve(incoming)

    def _hear_actor(self, incoming: Incoming) -> None:
        envelope = incoming.envelope
        message: control.Hello | control.InitResult | control.Beat
        try:
            message = wire.decode_body(envelope, control.ACTOR_KINDS[envelope.kind])
        except errors.HourbookError as error:
            self._control.refuse(incoming.peer, envelope.id, error)
            return
        if not self._tree.is_current(message.name, message.incarnation):
            self._stale_messages += 1
            return
        now_ns = self.now_ns()
        match message:
            case control.InitResult():
                self._board.answered(message, now_ns)
                self.perform(self._tree.answered(message, now_ns))
            case control.Beat():
                self._hear_beat(message, now_ns)

    def _hear_beat(self, beat: control.Beat, now_ns: int) -> None:
        self._board.beat(beat, now_ns)
        self.perform(self._tree.beat(beat.name, beat.degraded, now_ns))
        limit_mib = self._tree.actors[beat.name].spec.limits.rss_mib
        pid = self._board.pids.get(beat.name)
        if limit_mib and pid and self._board.gauges.rss_bytes(pid) > limit_mib << 20:
            self.perform(self._tree.overweight(beat.name, now_ns))

    def _hear_reply(self, envelope: wire.Envelope) -> None:
        if self._reload is not None:
            is_ok = wire.error_of(envelope) is None
            now_ns = self.now_ns()
            self.perform(self._reload.answered(envelope.corr, is_ok=is_ok, now_ns=now_ns))

    def _hear_signals(self, signals: Signals) -> None:
        for number in signals.take():
            match number:
                case signal.SIGTERM | signal.SIGINT:
                    self._stop_signals += 1
                    stop = self._tree.stop_all if self._stop_signals == 1 else self._tree.kill_all
                    self.perform(stop(self.now_ns()))
                case signal.SIGHUP:
                    with contextlib.suppress(errors.HourbookError):  # recorded as an event
                        self.reload()
                case signal.SIGUSR1:
                    _log.warning("status: %s", msgspec.json.encode(self.status()).decode())
        self._crew.reap_strangers()

    # -- commands --------------------------------------------------------------------------------

    def status(self) -> control.Status:
        """Return how everything is."""
        counts = Counts(
            stale_messages=self._stale_messages,
            dropped_log_lines=self._crew.dropped_log_lines,
            dropped_messages=self._control.dropped,
            refused_messages=self._control.refused,
        )
        return self._board.build(self.now_ns(), counts)

    def reload(self) -> Callable[[], Answer]:
        """Read the configuration again and apply the difference.

        Raises:
            ConfigError: it is wrong, or cannot be changed while the tree runs; nothing changed.
        """
        if self._load_config is None:
            raise errors.ConfigError("Expected a configuration to read again, got none")
        now_ns = self.now_ns()
        self._notifier.reloading(now_ns)
        try:
            self._reload = reload = Reload(
                self._tree, self._load_config(), self._control.tell, now_ns
            )
        except errors.HourbookError as error:
            self._events.record("supervisor", "reload_refused", detail=str(error))
            raise
        finally:
            self._notifier.ready(self._tree.state)
        self._events.record("supervisor", "reload")
        self.perform(reload.actions)
        self.wake_at(reload.deadline_ns)

        def answer() -> Answer:
            self.perform(reload.expire(self.now_ns()))
            return reload.outcome()

        return answer

    # -- surroundings ----------------------------------------------------------------------------

    def _look_at_home(self, look: Timer) -> None:
        """Stop when nobody can reach us any more: what lies at our paths may be a successor's."""
        if self._lock.is_held():
            return
        look.cancel()
        text = "the run directory is gone: stopping"
        _log.error("%s (%s)", text, self._home.run_dir)
        self._events.record("supervisor", "run_dir_lost", detail=text)
        self.perform(self._tree.stop_all(self.now_ns(), exit_codes.GAVE_UP))
