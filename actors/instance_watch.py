"""Who holds which name right now: a pidfd for each holder, and what the beats have said.

Beats stay in memory: they ride along in the next commit, and positions are written within a second
where none comes, so that a beat alone never costs an fsync. What is lost with a killed writer is at
most the last second of positions; a subscriber then gets those entries once more.

A process that this one cannot see (of another pid namespace) is held by its beats alone.
"""

import os
import select
import sqlite3
from collections.abc import Callable, Iterable
from typing import Final

from actors.contract import Reactor
from hourbook.book.instances import Sighting, store_sightings
from hourbook.process_identity import is_alive, is_elsewhere
from protocols import errors
from protocols.instance_messages import SILENT_NS_MAX, Beat, Beaten, Holder, Instance

__all__ = ["InstanceWatch", "open_pidfd"]

NAMES_REMEMBERED_MAX: Final = 10_000


class _Held:
    __slots__ = ("heard_mono_ns", "holder", "pidfd")

    def __init__(self, holder: Holder, pidfd: int, heard_mono_ns: int) -> None:
        self.holder, self.pidfd, self.heard_mono_ns = holder, pidfd, heard_mono_ns


class InstanceWatch:
    """The holders of names; for the loop of one actor.

    Attributes:
        sightings: what beats have said since it was last stored.
        has_moved: a position is among that.
    """

    def __init__(self, reactor: Reactor, on_death: Callable[[str], None]) -> None:
        """Begin with no holder.

        Args:
            reactor: to watch the pidfds.
            on_death: called with the name whose holder has ended.
        """
        self._reactor, self._on_death = reactor, on_death
        self._held: dict[str, _Held] = {}
        self._positions: dict[str, int] = {}
        self._seen_ns: dict[str, int] = {}
        self.sightings: dict[str, Sighting] = {}
        self.has_moved = False

    def begin(self, instances: Iterable[Instance], now_mono_ns: int) -> list[Instance]:
        """Take over what a book says; return those whose holders are gone."""
        self._positions, self._seen_ns = {}, {}
        self.stored()
        dead = []
        for instance in instances:
            if not instance.is_held or instance.holder is None:
                continue
            if is_alive(instance.holder) or is_elsewhere(instance.holder):
                self.hold(instance.name, instance.holder, now_mono_ns)
            else:
                dead.append(instance)
        return dead

    def hold(self, name: str, holder: Holder, now_mono_ns: int) -> None:
        """Watch the process that holds `name` from now on."""
        held = self._held.get(name)
        if held is not None and held.holder == holder:
            return
        self.free(name)
        pidfd = -1 if is_elsewhere(holder) else open_pidfd(holder)
        self._held[name] = _Held(holder, pidfd, now_mono_ns)
        if pidfd >= 0:
            self._reactor.watch(pidfd, lambda: self._on_death(name))

    def free(self, name: str) -> None:
        """Watch no longer."""
        held = self._held.pop(name, None)
        if held is not None and held.pidfd >= 0:
            self._reactor.unwatch(held.pidfd)
            os.close(held.pidfd)

    def holder_of(self, name: str) -> Holder | None:
        """Return the process that holds `name`."""
        held = self._held.get(name)
        return None if held is None else held.holder

    def is_dead(self, name: str, now_mono_ns: int) -> bool:
        """Return whether the holder of `name` has ended, as far as is known at this instant."""
        held = self._held.get(name)
        if held is None:
            return False
        if held.pidfd < 0:
            if is_elsewhere(held.holder):
                return now_mono_ns - held.heard_mono_ns > SILENT_NS_MAX
            return not is_alive(held.holder)
        poll = select.poll()
        poll.register(held.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def dead_names(self, now_mono_ns: int) -> list[str]:
        """Return the names whose holders have ended."""
        return [name for name in self._held if self.is_dead(name, now_mono_ns)]

    def beat(
        self, beat: Beat, now_ns: int, now_mono_ns: int, head_seq: int, stored_position: int
    ) -> Beaten:
        """Take a beat in.

        Args:
            beat: what was said.
            now_ns: UTC.
            now_mono_ns: CLOCK_MONOTONIC.
            head_seq: the last seq of the book; nobody has read further.
            stored_position: as the database has it, -1 for none.

        Raises:
            NameTaken: another living process holds the name.
            BadRequest: a position that lies beyond the head.
        """
        name, held = beat.name, self._held.get(beat.name)
        if held is not None and held.holder != beat.holder and beat.position >= 0:
            raise errors.NameTaken(
                f"Expected a name that nobody holds, got {name!r}, which process"
                f" {held.holder.pid} holds",
                field="name",
                value=name,
            )
        if beat.position > head_seq:
            raise errors.BadRequest(
                f"Expected a `position` of at most {head_seq}, the head, got {beat.position}",
                field="position",
                value=str(beat.position),
            )
        is_held = held is not None and held.holder == beat.holder
        if held is not None and is_held:
            held.heard_mono_ns = now_mono_ns
        known = self._positions.get(name, stored_position)
        position = known
        if beat.position >= 0:
            position = beat.position if beat.rewind else max(known, beat.position)
        if is_held or beat.position >= 0:
            self._seen_ns[name] = now_ns
            pending = self.sightings.get(name, (0, -1))[1]
            self.sightings[name] = (now_ns, position if position != known else pending)
            self.has_moved |= position != known
            self._positions[name] = position
        return Beaten(is_held, position)

    def store(self, connection: sqlite3.Connection) -> None:
        """Write what beats have said into an open transaction; :meth:`stored` once it is kept."""
        store_sightings(connection, self.sightings)

    def stored(self) -> None:
        """Begin anew: what beats have said is in the book."""
        self.sightings, self.has_moved = {}, False
        if len(self._seen_ns) > NAMES_REMEMBERED_MAX:
            self._seen_ns, self._positions = {}, {}

    def latest(self, instance: Instance) -> Instance:
        """Return an instance of the database with what has been heard since."""
        name = instance.name
        return Instance(
            name,
            instance.is_held,
            instance.holder,
            instance.registered_ns,
            max(instance.seen_ns, self._seen_ns.get(name, 0)),
            self._positions.get(name, instance.position),
        )

    def close(self) -> None:
        """Let go of every process."""
        for name in list(self._held):
            self.free(name)


def open_pidfd(holder: Holder) -> int:
    """Return a descriptor of the process, -1 where there is none to be had."""
    # Opened first and checked afterwards, or it might be of another process by then.
    try:
        pidfd = os.pidfd_open(holder.pid)
    except OSError:
        return -1
    if is_alive(holder):
        return pidfd
    os.close(pidfd)
    return -1
