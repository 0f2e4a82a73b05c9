"""What most sources vouch for: the hull as hard interval, the clique as the names of the liars."""

import pytest

from hourbook.clock.bounds import Interval
from hourbook.clock.hull import clique, hull, liars_max

HONEST = (Interval(-10, 10), Interval(-8, 12))


@pytest.mark.parametrize(("count", "liars"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2)])
def test_liars_are_always_a_minority(count: int, liars: int) -> None:
    """What n sources can bear."""
    assert liars_max(count) == liars


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], None),
        ([Interval(1, 5)], Interval(1, 5)),
        ([Interval(1, 5), Interval(4, 9)], Interval(4, 5)),
        ([Interval(1, 5), Interval(5, 9)], Interval(5, 5)),
        ([Interval(1, 5), Interval(6, 9)], None),
        ([*HONEST, Interval(50, 60)], Interval(-8, 10)),
        ([*HONEST, Interval(5, 25)], Interval(-8, 12)),
        ([Interval(0, 9), Interval(0, 2), Interval(7, 9)], Interval(0, 9)),
        ([Interval(0, 1), Interval(2, 3), Interval(4, 5)], None),
        ([*HONEST, *HONEST, Interval(99, 99)], Interval(-8, 10)),
        ([*HONEST, Interval(99, 99), Interval(99, 99)], None),
    ],
)
def test_hull_is_what_all_but_a_minority_cover(
    intervals: list[Interval], expected: Interval | None
) -> None:
    """The subtle liar [5, 25] widens the interval, and does not cut the truth off."""
    assert hull(intervals) == expected


def test_clique_names_the_outsider() -> None:
    """Two agree, the third overlaps neither."""
    outsider = Interval(50, 60)

    found = clique([*HONEST, outsider])

    assert found is not None
    assert (found.agreements, found.coverage) == ((Interval(-8, 10),), 2)
    assert [found.has_member(one) for one in (*HONEST, outsider)] == [True, True, False]


def test_clique_forgives_where_two_agreements_are_equal() -> None:
    """Whoever belongs to one of the largest agreements is not named a liar."""
    claims = [Interval(0, 9), Interval(0, 2), Interval(7, 9)]

    found = clique(claims)

    assert found is not None
    assert (found.agreements, found.coverage) == ((Interval(0, 2), Interval(7, 9)), 2)
    assert found.core == Interval(0, 9)
    assert all(found.has_member(one) for one in claims)
    assert not found.has_member(Interval(3, 6))


@pytest.mark.parametrize(
    "intervals", [[], [Interval(0, 1), Interval(3, 4)], [*HONEST, Interval(99, 99)] * 2]
)
def test_clique_is_none_without_a_majority(intervals: list[Interval]) -> None:
    """Four of six agree, as they must; one of two does not; nobody is nothing."""
    found = clique(intervals)

    assert (found is None) == (len(intervals) < 3)
