"""The part of journal_writer that knows who is there: beats, lists, and the ends of holders.

A name is taken and let go by changes (``hourbook.book.changes.instances``); this part watches the
processes that hold one, and asks for the release of a name as soon as its holder has ended.
"""

from collections.abc import Callable, Mapping

from actors.contract import Handler, Reactor, Request
from actors.instance_watch import InstanceWatch
from actors.store_tally import StoreTally
from hourbook.book.changes.outcomes import Outcome
from hourbook.book.instances import find_position, list_instances
from hourbook.book.stamps import StampSource
from hourbook.book.writer import BookWriter
from hourbook.link.nonce_source import new_nonces
from hourbook.process_identity import is_alive, is_elsewhere
from hourbook.timebase import Timebase
from protocols import errors
from protocols.change import JOURNAL_WRITER, Change
from protocols.instance_messages import (
    Beat,
    Beaten,
    Holder,
    Instances,
    ListInstances,
    Register,
    Release,
)
from protocols.names import check_name
from shm.segment import current_boot_id

__all__ = ["InstanceDesk"]


class InstanceDesk:
    """Who holds which name, as one incarnation of journal_writer sees it."""

    def __init__(
        self,
        reactor: Reactor,
        timebase: Timebase,
        stamps: StampSource,
        write_own: Callable[[list[Change]], None],
        tally: StoreTally,
    ) -> None:
        """Begin without a book.

        Args:
            reactor: watches the holders.
            timebase: counts how long one was not heard.
            stamps: tell when one was.
            write_own: does changes that nobody has asked for, at once.
            tally: hears what instances have read of the store.
        """
        self._timebase, self._stamps, self._write_own = timebase, stamps, write_own
        self._tally = tally
        self._nonces = new_nonces()
        self._book: BookWriter | None = None
        self.watch = InstanceWatch(reactor, lambda _: self.release_dead())

    def handlers(self) -> Mapping[str, Handler]:
        """Return the messages about instances that are no changes."""
        return {
            "instance.beat": Handler(Beat, self.beat),
            "instance.list": Handler(ListInstances, self.list_all),
        }

    def open(self, book: BookWriter) -> None:
        """Take over the names that `book` says are held, and let those of dead holders go."""
        self._book = book
        self.watch.close()
        dead = self.watch.begin(book.query(list_instances), self._timebase.mono_ns())
        self._release([(each.name, each.holder) for each in dead if each.holder is not None])

    def release_dead(self) -> None:
        """Let go of every name whose holder has ended."""
        names = self.watch.dead_names(self._timebase.mono_ns())
        held = [(name, self.watch.holder_of(name)) for name in names]
        self._release([(name, holder) for name, holder in held if holder is not None])

    def prepare(self, change: Register) -> None:
        """See to it that a name is not refused for the sake of a dead process.

        Raises:
            BadRequest: the new holder does not live, and we would see it if it did.
        """
        holder = change.holder
        if is_alive(holder) or is_elsewhere(holder):
            if self.watch.is_dead(change.writer, self._timebase.mono_ns()):
                self.release_dead()
            return
        raise errors.BadRequest(
            f"Expected a process that lives, got {holder.pid}, which is not there,"
            f" for {change.writer}",
            field="holder",
            value=str(holder.pid),
        )

    def note(self, change: Change, outcome: Outcome) -> None:
        """Begin or end to watch a holder, once a change of ours is in the book."""
        if outcome.error is not None:
            return
        if isinstance(change, Register):
            self.watch.hold(change.writer, change.holder, self._timebase.mono_ns())
        elif isinstance(change, Release) and outcome.entries:
            self.watch.free(change.name)
            self._tally.forget(change.name)

    def beat(self, request: Request[Beat]) -> Beaten:
        """Take in that an instance lives, and how far it has read."""
        book, beat = self._open_book(), request.body
        check_name(beat.name, "name")
        stored = book.query(lambda connection: find_position(connection, beat.name))
        answer = self.watch.beat(
            beat, self._stamps.time_ns(), self._timebase.mono_ns(), book.head.seq, stored
        )
        if beat.reads is not None and answer.is_held:
            self._tally.take(beat.name, beat.reads)
        return answer

    def list_all(self, _: Request[ListInstances]) -> Instances:
        """Return every name, with what the last beats said."""
        known = self._open_book().query(list_instances)
        return Instances([self.watch.latest(instance) for instance in known])

    def close(self) -> None:
        """Watch nobody any more."""
        self.watch.close()

    def _release(self, dead: list[tuple[str, Holder]]) -> None:
        changes: list[Change] = [
            Release(
                writer=JOURNAL_WRITER,
                nonce=next(self._nonces),
                name=name,
                holder=holder,
                reason=_why_dead(holder),
            )
            for name, holder in dead
        ]
        if changes:
            self._write_own(changes)

    def _open_book(self) -> BookWriter:
        if self._book is None:
            raise errors.InternalError("Expected an open book")
        return self._book


def _why_dead(holder: Holder) -> str:
    if holder.boot_id != current_boot_id():
        return "rebooted"
    return "silent" if is_elsewhere(holder) else "ended"
