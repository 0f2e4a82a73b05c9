"""When a group is full enough: siblings are awaited briefly, a lone request never."""

from hourbook.book.gathering import GATHER_NS_MAX, Gathering


def test_lone_request_never_waits() -> None:
    """Without siblings a group of one is full."""
    gathering = Gathering()
    for _ in range(3):
        assert not gathering.awaits_more(1, 1_000)
        gathering.close(1)


def test_siblings_are_awaited_until_all_are_there() -> None:
    """After a group of eight, seven are too few and eight are enough."""
    gathering = Gathering()
    gathering.close(8)

    assert gathering.awaits_more(7, 1_000)
    assert not gathering.awaits_more(8, 1_000)


def test_waiting_ends_in_time_and_the_next_group_waits_anew() -> None:
    """A group is committed after 200 us at the latest."""
    gathering = Gathering()
    gathering.close(8)

    assert gathering.awaits_more(1, 1_000)
    assert not gathering.awaits_more(1, 1_000 + GATHER_NS_MAX)
    gathering.close(1)
    assert gathering.awaits_more(1, 1_000 + GATHER_NS_MAX)


def test_siblings_that_stay_away_are_forgotten() -> None:
    """Sixty-four siblings are forgotten within some thirty groups of one."""
    gathering = Gathering()
    gathering.close(64)

    groups = 0
    while gathering.expected > 1:
        gathering.close(1)
        groups += 1

    assert groups < 40


def test_empty_mailbox_is_not_waited_for() -> None:
    """Nothing there: nothing to gather."""
    gathering = Gathering()
    gathering.close(8)

    assert not gathering.awaits_more(0, 1_000)
