"""A writer killed between a lock's entry and its answer: one holder, and no token comes back."""

from collections.abc import Iterator

import pytest
from dying_lock_writer import DyingWriter, Moment
from lock_agents import agents
from waiting import wait_until

from hourbook.faces.book import Book, connect
from hourbook.home import Home
from protocols import errors
from protocols.kv_messages import AcquireLock, ReleaseLock

pytestmark = pytest.mark.live

MOMENTS = ("before the commit", "before the answer")


@pytest.fixture
def writer(home: Home) -> Iterator[DyingWriter]:
    """Run a writer that has not been armed yet."""
    made = DyingWriter(home)
    yield made
    made.stop()


@pytest.fixture
def book(writer: DyingWriter) -> Iterator[Book]:
    """Connect to it."""
    with connect("tester", writer.home) as connected:
        yield connected


def locks_in(book: Book) -> list[tuple[int, str, str]]:
    """Return what was journaled of locks."""
    return [(e.seq, e.kind, e.writer) for e in book.tail(1000) if e.kind.startswith("lock.")]


@pytest.mark.parametrize("moment", MOMENTS)
def test_grant_whose_answer_was_lost_is_one_grant(
    writer: DyingWriter, book: Book, moment: Moment
) -> None:
    """Who asked hears of the token that stands in the book, holds it, and writes under it."""
    store = book.store("app")
    with agents(writer.home, 1) as (agent,):
        writer.arm(moment, AcquireLock)
        agent.tell("lock k")
        writer.revive()
        token = int(agent.hear())

        assert locks_in(book) == [(token, "lock.grant", "a0")]
        assert [(each.key, each.token) for each in store.locks()] == [("k", token)]
        assert int(agent.ask("write k")) > token
        assert agent.ask("unlock") == "True"
    assert store.locks() == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_release_whose_answer_was_lost_is_one_release_and_its_token_is_void(
    writer: DyingWriter, book: Book, moment: Moment
) -> None:
    """The lock is free for the next; what still names the old token is refused."""
    store = book.store("app")
    with agents(writer.home, 1) as (agent,):
        token = int(agent.ask("lock k"))
        writer.arm(moment, ReleaseLock)
        agent.tell("unlock")
        writer.revive()
        assert agent.hear() == "True"

        assert [kind for _, kind, _ in locks_in(book)] == ["lock.grant", "lock.release"]
        with pytest.raises(errors.TokenStale) as refused:
            store.set("k", "late", token=token)
        assert refused.value.value == "0"
        with store.lock("k", wait_s=0) as lock:
            assert lock.token > token


@pytest.mark.parametrize("moment", MOMENTS)
def test_lock_handed_over_in_the_moment_of_death_has_one_holder(
    writer: DyingWriter, book: Book, moment: Moment
) -> None:
    """Release and next grant are one transaction: both are told of it, or both ask again."""
    store = book.store("app")
    with agents(writer.home, 1, wait_s=20) as (agent,):
        lock = store.lock("k").acquire()
        token = lock.token
        agent.tell("lock k")
        wait_until(lambda: store.locks()[0].waiting, 5, "the agent to wait")
        writer.arm(moment, ReleaseLock)
        reply = lock._send_release(attended=False)
        writer.revive()
        reply.wait(20)
        following = int(agent.hear())

        assert following > token
        assert [kind for _, kind, _ in locks_in(book)] == [
            "lock.grant",
            "lock.release",
            "lock.grant",
        ]
        assert [each.token for each in store.locks()] == [following]
        with pytest.raises(errors.TokenStale) as refused:
            store.set("k", "late", token=token)
        assert refused.value.value == str(following)
        assert int(agent.ask("write k")) > following
