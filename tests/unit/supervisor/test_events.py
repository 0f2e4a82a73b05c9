"""The event log: bounded, numbered, and longer of memory for exits."""

import queue

from fakes.timebase import FakeTimebase

from protocols.control import Event
from supervisor.events import EVENTS_MAX, EXITS_MAX, REPLY_EVENTS_MAX, EventLog


def test_events_are_numbered_and_given_to_the_listener() -> None:
    """Each has the next number, both times, and is heard at once."""
    timebase = FakeTimebase()
    heard = queue.SimpleQueue[Event]()
    log = EventLog(timebase, heard.put)

    log.record("a", "starting", pid=7, incarnation=1)
    log.record("a", "ready", incarnation=1)

    first, second = heard.get(), heard.get()
    assert (first.seq, second.seq) == (1, 2)
    assert first.mono_ns == timebase.mono_ns()
    assert log.since(0) == [first, second]
    assert log.since(1) == [second]
    assert log.since(2) == []


def test_the_log_is_bounded_and_exits_outlive_the_rest() -> None:
    """A thousand lines are kept, and the last hundred exits beside them."""
    log = EventLog(FakeTimebase(), None)
    for number in range(EXITS_MAX + 5):
        log.record("a", "exited", incarnation=number + 1, cause=f"exit {number}")
    log.record("node", "exited")
    for _ in range(EVENTS_MAX):
        log.record("a", "degraded")

    found = log.since(0)

    assert len(found) == REPLY_EVENTS_MAX
    assert [event.cause for event in found[:2]] == ["exit 5", "exit 6"]
    assert [event.event for event in found].count("exited") == EXITS_MAX
    assert all(event.name == "a" for event in found)


def test_a_reader_that_asks_again_gets_everything_once() -> None:
    """Answers are small; the number of the last event asks for the next ones."""
    log = EventLog(FakeTimebase(), None)
    for _ in range(REPLY_EVENTS_MAX * 2 + 1):
        log.record("a", "degraded")

    seen: list[int] = []
    while events := log.since(seen[-1] if seen else 0):
        seen += [event.seq for event in events]

    assert seen == [*range(1, REPLY_EVENTS_MAX * 2 + 2)]
