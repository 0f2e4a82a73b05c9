"""The clock and the book of one process count one hybrid logical time."""

import time

import pytest
from book_actors import running_writer
from books import append, open_writer
from fakes.time_pages import page_now

from hourbook.book.journal import Stamp
from hourbook.faces.book import connect
from hourbook.faces.clock import Clock
from hourbook.home import Home
from hourbook.hybrid_clock import HybridClock
from protocols import hlc
from shm.writer import TimeWriter

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def clock_of_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a new process does: other tests of this one lived in other years."""
    fresh = HybridClock()
    for module in ("clock", "book_writes", "book_link"):
        monkeypatch.setattr(f"hourbook.faces.{module}.process_clock", fresh)


def test_entry_is_after_what_its_process_heard_and_before_what_follows(home: Home) -> None:
    """A message from a machine 5 s ahead, then an entry, then an event: in this order."""
    now_ns = time.time_ns()
    publisher = TimeWriter(home.segment)
    publisher.publish(page_now(utc_at_as_of_ns=now_ns), is_step=True)
    clock = Clock(home)

    with running_writer(home), connect("agent", home, shared=True) as book:
        book.log("wake", "it")
        heard = clock.hlc(received=now_ns + 5_000_000_000)
        entry = book.log("answered", "it")
        event = clock.hlc()

    publisher.close()
    assert heard < entry.hlc < event
    assert abs(hlc.physical_ns(event) - now_ns) < 60_000_000_000


def test_book_whose_clock_once_was_wrong_is_written_on(home: Home) -> None:
    """Its numbers are weeks ahead for ever; the second entry of a connection still is accepted."""
    ahead_ns = time.time_ns() + 30 * 86_400_000_000_000
    writer = open_writer(home)
    writer.commit([append(1)], Stamp(ahead_ns, -1))
    writer.close()

    with running_writer(home), connect("agent", home, shared=True) as book:
        entries = [book.log("x", str(number)) for number in range(3)]

    assert [e.hlc - hlc.physical_ns(ahead_ns) for e in entries] == [1, 2, 3]
