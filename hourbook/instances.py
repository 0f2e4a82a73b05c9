"""Who is there: asked of journal_writer, or read from the book where there is none. An edge."""

import time
from typing import Final

from hourbook.book.diffing import InstanceDiff, diff_instances
from hourbook.book.instances import list_instances
from hourbook.book.reader import BookReader
from hourbook.home import Home
from hourbook.instance_view import InstanceStatus, statuses
from hourbook.link.actor_question import ask_actor
from hourbook.process_identity import is_alive, is_elsewhere
from protocols import errors
from protocols.change import JOURNAL_WRITER
from protocols.instance_messages import (
    SILENT_NS_MAX,
    Holder,
    Instance,
    Instances,
    ListInstances,
)

__all__ = ["compare_instances", "instance_statuses"]

ASK_S: Final = 0.5


def instance_statuses(home: Home, reader: BookReader) -> list[InstanceStatus]:
    """Return every name that was ever registered or has read, the living first.

    Without journal_writer the book says it as of the last commit, and whether a process lives is
    looked up here; one of another pid namespace lives while it was heard of just now.
    """
    known, alive = _known(home, reader)
    return statuses(known, reader.head_seq(), alive)


def compare_instances(home: Home, reader: BookReader, a: str, b: str) -> InstanceDiff:
    """Compare what two instances are done with, and what they wrote.

    Raises:
        BadRequest, UnknownName: no name, or one that never was here.
    """
    known, _ = _known(home, reader)
    positions = {each.name: each.position for each in known}
    return reader.query(lambda connection: diff_instances(connection, a, b, positions))


def _known(home: Home, reader: BookReader) -> tuple[list[Instance], set[str]]:
    """Return what is known of every name, and the names whose holders live."""
    try:
        known = ask_actor(
            home, JOURNAL_WRITER, "instance.list", ListInstances(), Instances, ASK_S
        ).instances
    except errors.HourbookError:
        known = reader.query(list_instances)
        return known, {
            each.name
            for each in known
            if each.is_held and each.holder is not None and _lives(each.holder, each.seen_ns)
        }
    return known, {each.name for each in known if each.is_held}


def _lives(holder: Holder, seen_ns: int) -> bool:
    if is_elsewhere(holder):
        return time.time_ns() - seen_ns <= SILENT_NS_MAX
    return is_alive(holder)
