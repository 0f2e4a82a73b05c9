"""Refusals that a copy of the request must hear again."""

from actors.remembered_refusals import REFUSALS_MAX, RememberedRefusals
from protocols import errors
from protocols.change import Change
from protocols.entry import make_nonce


def request(counter: int, writer: str = "a") -> Change:
    """Return a request with a nonce of its own."""
    return Change(writer=writer, nonce=make_nonce(1, counter))


def test_refusal_is_for_one_writer_and_nonce() -> None:
    """A copy hears it; neither another request nor another writer does."""
    refusals, full = RememberedRefusals(), errors.DiskFull("Expected room, got none")
    assert refusals.find(request(1)) is None

    refusals.add(request(1), full)

    assert refusals.find(request(1)) is full
    assert refusals.find(request(2)) is None
    assert refusals.find(request(1, "b")) is None


def test_oldest_refusals_are_forgotten() -> None:
    """However many are refused, memory is bounded, and the newest are known."""
    refusals, full = RememberedRefusals(), errors.DiskFull("Expected room, got none")

    for counter in range(REFUSALS_MAX + 2):
        refusals.add(request(counter), full)

    known = [refusals.find(request(counter)) is full for counter in range(REFUSALS_MAX + 2)]
    assert known == [False, False, *[True] * REFUSALS_MAX]
