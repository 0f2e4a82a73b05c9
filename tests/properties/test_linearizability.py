"""The judge of histories: what it must accept, what it must refuse, and that it is never wrong."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linearizability import GONE, NEVER_NS, UNKNOWN, Call, Held, explain, step


def call(kind: str, given: Any, said: Any, began: int, ended: int = NEVER_NS) -> Call:
    """Return a call; each is of a process of its own."""
    return Call(began, "k", kind, given, said, began, ended)


GOOD = {
    "nothing": [],
    "a read of what was never written": [call("get", None, GONE, 1, 2)],
    "a read that began before the write ended": [
        call("set", 7, 5, 1, 9),
        call("get", None, GONE, 2, 3),
        call("get", None, 7, 4, 5),
    ],
    "two reads at once, one before and one after the write": [
        call("set", 7, 5, 1, 9),
        call("get", None, 7, 2, 6),
        call("get", None, GONE, 3, 5),
    ],
    "a write without an answer that shows late": [
        call("set", 7, UNKNOWN, 1),
        call("get", None, GONE, 2, 3),
        call("set", 8, 5, 4, 5),
        call("get", None, 8, 6, 7),
        call("get", None, 7, 8, 9),
    ],
    "a write without an answer that never shows": [
        call("set", 7, UNKNOWN, 1),
        call("set", 8, 5, 2, 3),
        call("get", None, 8, 4, 5),
    ],
    "an increment without an answer that counts": [
        call("increment", 1, (4, 1), 1, 2),
        call("increment", 1, UNKNOWN, 3),
        call("increment", 1, (6, 3), 4, 5),
    ],
    "a cas on the version of a write without an answer": [
        call("set", 7, UNKNOWN, 1),
        call("item", None, (5, 7), 2, 3),
        call("cas", (8, 5), 9, 4, 5),
        call("get", None, 8, 6, 7),
    ],
    "two cas on one version, of which one is refused": [
        call("set", 1, 5, 1, 2),
        call("cas", (2, 5), 8, 3, 7),
        call("cas", (3, 5), -8, 4, 6),
    ],
    "a cas that creates, and one that finds nothing": [
        call("cas", (2, 4), 0, 1, 2),
        call("cas", (2, 0), 4, 3, 4),
        call("delete", None, 5, 5, 6),
        call("delete", None, 0, 7, 8),
        call("cas", (3, 0), 6, 9, 10),
    ],
    "a deletion without an answer, seen and then overwritten": [
        call("set", 1, 5, 1, 2),
        call("delete", None, UNKNOWN, 3),
        call("get", None, GONE, 4, 5),
        call("increment", 2, (7, 2), 6, 7),
    ],
    "an order that is not that of the beginnings, nor of the ends": [
        call("set", 1, 20, 1, 9),
        call("set", 2, 10, 2, 10),
        call("item", None, (10, 2), 3, 8),
        call("get", None, 1, 11, 12),
    ],
}
BAD = {
    "a value from nowhere": [call("set", 1, 5, 1, 2), call("get", None, 9, 3, 4)],
    "a stale read": [
        call("set", 1, 5, 1, 2),
        call("set", 2, 6, 3, 4),
        call("get", None, 1, 5, 6),
    ],
    "a read that goes back, while the write is under way": [
        call("set", 7, 5, 1, 9),
        call("get", None, 7, 2, 3),
        call("get", None, GONE, 4, 5),
    ],
    "an acknowledged write that is lost": [
        call("set", 1, 5, 1, 2),
        call("get", None, GONE, 3, 4),
    ],
    "a lost increment": [
        call("increment", 1, (4, 1), 1, 4),
        call("increment", 1, (5, 1), 2, 3),
    ],
    "an increment that counts twice": [
        call("increment", 1, (4, 1), 1, 2),
        call("get", None, 2, 3, 4),
    ],
    "an increment without an answer that counts twice": [
        call("increment", 1, UNKNOWN, 1),
        call("get", None, 1, 2, 3),
        call("get", None, 2, 4, 5),
    ],
    "two cas on one version that both succeed": [
        call("set", 1, 5, 1, 2),
        call("cas", (2, 5), 8, 3, 6),
        call("cas", (3, 5), 9, 4, 7),
    ],
    "a cas that was refused without a reason": [
        call("set", 1, 5, 1, 2),
        call("cas", (2, 5), -5, 3, 4),
    ],
    "a version that falls": [call("set", 1, 5, 1, 2), call("set", 2, 4, 3, 4)],
    "a version that another write has": [
        call("set", 1, UNKNOWN, 1),
        call("item", None, (5, 1), 2, 3),
        call("item", None, (6, 1), 4, 5),
    ],
    "a deletion of what is not there": [call("delete", None, 5, 1, 2)],
    "a value back from the dead": [
        call("set", 1, 5, 1, 2),
        call("delete", None, 6, 3, 4),
        call("get", None, 1, 5, 6),
    ],
    "a write seen before it began": [
        call("get", None, 7, 1, 2),
        call("set", 7, UNKNOWN, 3),
    ],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD.keys())
def test_what_can_have_happened_is_accepted(history: list[Call]) -> None:
    """However odd it looks, also told in another order."""
    assert explain(history) is None
    assert explain(history[::-1]) is None


@pytest.mark.parametrize("history", BAD.values(), ids=BAD.keys())
def test_what_cannot_have_happened_is_refused(history: list[Call]) -> None:
    """In words that name the key and the calls that do not fit."""
    said = explain(history)

    assert said is not None
    assert "key k" in said
    assert "none can be next" in said


def test_keys_are_judged_apart() -> None:
    """What is right for each is right for all, and one that is wrong is named."""
    other = [each._replace(key="other") for each in BAD["a stale read"]]

    assert explain([*GOOD["two cas on one version, of which one is refused"], *other]) is not None
    assert "key other" in str(explain([call("get", None, GONE, 1, 2), *other]))


def is_possible(calls: Sequence[Call]) -> bool:
    """Try every order of every choice of unanswered calls."""
    open_ = [c for c in calls if c.said == UNKNOWN]
    answered = [c for c in calls if c.said != UNKNOWN]
    for count in range(len(open_) + 1):
        for chosen in itertools.combinations(open_, count):
            if any(_fits(order) for order in itertools.permutations([*answered, *chosen])):
                return True
    return False


def _fits(order: Sequence[Call]) -> bool:
    held, latest_ns = Held(), 0
    for each in order:
        latest_ns = max(latest_ns, each.began_ns)
        if each.ended_ns < latest_ns:
            return False
        after = step(held, each)
        if after is None:
            return False
        held = after
    return True


numbers = st.integers(1, 3)
asked = st.one_of(
    st.tuples(st.just("get"), st.none(), st.sampled_from([GONE, 1, 2, 3])),
    st.tuples(st.just("item"), st.none(), st.one_of(st.just(GONE), st.tuples(numbers, numbers))),
    st.tuples(st.just("set"), numbers, st.one_of(numbers, st.just(UNKNOWN))),
    st.tuples(
        st.just("cas"),
        st.tuples(numbers, st.integers(0, 3)),
        st.one_of(st.integers(-3, 3), st.just(UNKNOWN)),
    ),
    st.tuples(
        st.just("increment"),
        st.just(1),
        st.one_of(st.tuples(numbers, numbers), st.just(UNKNOWN)),
    ),
    st.tuples(st.just("delete"), st.none(), st.one_of(st.integers(0, 3), st.just(UNKNOWN))),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Call]:
    """Draw a few calls that overlap as they like."""
    kinds = draw(st.lists(asked, max_size=5))
    moments = draw(st.permutations(range(1, 2 * len(kinds) + 1)))
    calls = []
    for index, (kind, given_, said) in enumerate(kinds):
        began, ended = sorted(moments[2 * index : 2 * index + 2])
        calls.append(call(kind, given_, said, began, NEVER_NS if said == UNKNOWN else ended))
    return calls


@settings(max_examples=300, deadline=None)
@given(histories())
def test_the_search_finds_what_trying_everything_finds(history: list[Call]) -> None:
    """No more and no less, for histories that are small enough to try everything."""
    assert (explain(history) is None) == is_possible(history)


def test_long_histories_take_a_moment() -> None:
    """Eight at once, thousands of calls, of which a hundred are without an answer; most unseen."""
    calls = []
    for number in range(1, 2_001):
        began, version = 10 * number, 3 * number
        calls.append(call("set", number, version, began, began + 75))
        calls.append(call("get", None, number, began + 5, began + 80))
        if number % 40 == 0:
            calls.append(call("set", -number, UNKNOWN, began))
            calls.append(call("increment", 1, UNKNOWN, began))
    late = [call("get", None, -40, 30_000, 30_001), call("get", None, -39, 30_002, 30_003)]

    assert explain([*calls, *late]) is None
    wrong = call("get", None, 0.5, 15_000, 15_001)
    assert "said 0.5" in str(explain([*calls, *late, wrong], places_max=10_000))


def test_version_that_a_refusal_tells_takes_few_states() -> None:
    """Only one of many unanswered calls can have made it, and what came after cannot come first."""
    unseen = [call("set", 1_000 + number, UNKNOWN, number) for number in range(60)]
    calls = [
        call("set", 5, 100, 100, 101),
        call("cas", (9, 100), -102, 102, 150),
        call("increment", 1, UNKNOWN, 103),
        call("increment", 1, (103, 7), 104, 149),
        *[call("set", 20 + number, 104 + number, 105, 148 - number) for number in range(6)],
    ]

    assert explain([*unseen, *calls], places_max=2_000) is None
