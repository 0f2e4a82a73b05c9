"""What waits for a commit, in the groups that it is committed in."""

from typing import Any

from books import append

from actors.contract import Request
from actors.waiting_groups import WaitingGroups
from hourbook.book.changes.branching import DELETE_BRANCH, MERGE_BRANCH
from protocols import wire
from protocols.entry import BATCH_ENTRIES_MAX


def request(counter: int) -> Request[Any]:
    """Return a message whose body alone matters."""
    envelope = wire.Envelope(kind="book.append", id=counter)
    return Request(b"peer", envelope, append(counter), lambda _request, _body: None)


def test_groups_are_as_large_as_they_may_be_and_keep_the_order() -> None:
    """One more entry than fits begins another group; all are counted until they are taken."""
    one, two, three, four = (request(counter) for counter in range(1, 5))
    waiting = WaitingGroups()

    waiting.add(one, BATCH_ENTRIES_MAX - 1)
    waiting.add(two, 1)
    waiting.add(three, 1)
    waiting.add(four, BATCH_ENTRIES_MAX)

    assert waiting.entries == 2 * BATCH_ENTRIES_MAX + 1
    assert list(waiting.bodies()) == [one.body, two.body, three.body, four.body]
    assert waiting.take() == [[one, two], [three], [four]]
    assert (waiting.entries, waiting.take()) == (0, [])


def test_what_reads_entries_begins_a_group() -> None:
    """What comes behind it may be in the same."""
    one, two, three = (request(counter) for counter in range(1, 4))
    waiting = WaitingGroups()

    waiting.add(one, 1)
    waiting.add(two, 1, MERGE_BRANCH)
    waiting.add(three, 1)

    assert waiting.take() == [[one], [two, three]]


def test_nothing_is_to_be_heard_behind_a_full_group_or_what_ends_them() -> None:
    """Once they are taken there is room again."""
    waiting = WaitingGroups()

    is_full = [waiting.add(request(1), BATCH_ENTRIES_MAX - 1), waiting.add(request(2), 1)]
    waiting.take()
    is_full += [waiting.add(request(3), 1, DELETE_BRANCH)]
    waiting.take()
    is_full += [waiting.add(request(4), 1)]

    assert is_full == [False, True, True, False]
