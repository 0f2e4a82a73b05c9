"""What the status says of an actor from its first answer on, and what its process uses."""

import os
import time

from fakes.tree_world import TreeWorld, actor, spec_of

from hourbook.home import Home
from protocols.control import ActorRow, Beat, InitResult
from supervisor.gauges import WINDOW_NS, Gauges
from supervisor.status import Counts, StatusBoard

NO_COUNTS = Counts(0, 0, 0, 0)
S = 1_000_000_000


def burn(used_ns: int) -> None:
    """Use so much processor time."""
    end_ns = time.process_time_ns() + used_ns
    while time.process_time_ns() < end_ns:
        pass


def only_row(board: StatusBoard) -> ActorRow:
    """Return the row of the one actor."""
    (row,) = board.build(S, NO_COUNTS).actors
    return row


def test_endpoints_are_shown_from_the_first_answer_on(home: Home) -> None:
    """Nobody has to wait for a beat; a beat may change them, and the end takes them away."""
    world = TreeWorld(spec_of(actor("a")))
    board = StatusBoard(world.tree, home, "", 0)

    board.answered(InitResult("a", 1, "ready", endpoints={"x": "http://one"}), S)
    assert only_row(board).endpoints == {"x": "http://one"}
    assert only_row(board).beat_age_s is None

    board.beat(Beat("a", 1, "", {"x": "http://two"}), S)
    assert only_row(board).endpoints == {"x": "http://two"}

    board.forget("a")
    assert only_row(board).endpoints == {}


def test_load_is_the_share_of_a_core_whoever_asks_and_how_often() -> None:
    """Asking does not begin the span anew."""
    gauges, pid = Gauges(), os.getpid()
    gauges.note(pid, S)
    burn(S // 10)

    first = gauges.load_percent(pid, 2 * S)
    second = gauges.load_percent(pid, 2 * S)

    assert 10 <= first <= second < 20


def test_load_forgets_what_is_older_than_its_window() -> None:
    """A start-up that took a second of processor time is not shown for ever."""
    gauges, pid = Gauges(), os.getpid()
    gauges.note(pid, S)
    burn(S // 5)
    for beat in range(1, 8):
        gauges.note(pid, S + beat * S)

    assert gauges.load_percent(pid, 9 * S) < 100 * (S / 5) / WINDOW_NS


def test_a_process_that_is_gone_uses_nothing() -> None:
    """No pid, no figures, and no error."""
    gauges, gone = Gauges(), 2**22 + 1
    gauges.note(gone, S)

    assert gauges.load_percent(gone, 2 * S) == 0.0
    assert gauges.rss_bytes(gone) == 0
