"""Locks in a book without a tree: what is recorded, resent, refused and cut back."""

from typing import Any, Literal

import msgspec
import pytest
from books import STAMP
from kv_writes import kv_write, open_store, put, rows_of, say, written

from hourbook.book.changes.kinds import KINDS
from hourbook.book.changes.locks import find_lease, list_leases, token_in_force
from hourbook.book.changes.outcomes import Outcome
from hourbook.book.copies.rewind import find_cut, rewind
from hourbook.book.moment import parse_moment
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from hourbook.process_identity import is_alive
from protocols import errors
from protocols.branch_messages import CreateBranch, MergeBranch
from protocols.change import JOURNAL_WRITER, Change
from protocols.entry import make_nonce
from protocols.instance_messages import Holder
from protocols.kv_messages import AcquireLock, LockGranted, LockReleased, ReleaseLock

S_NS = 1_000_000_000
HOLDER = Holder(bytes(range(16)), 42, 7, 9)


def acquire(counter: int = 1, key: str = "k", **said: object) -> AcquireLock:
    """Return a call for a lock."""
    fields: dict[str, object] = {
        "writer": "agent",
        "nonce": make_nonce(7, counter << 20),
        "ns": "app",
        "key": key,
        "holder": HOLDER,
        "ttl_ns": 5 * S_NS,
    }
    return AcquireLock(**{**fields, **said})  # type: ignore[arg-type]


def release(token: int, counter: int, key: str = "k", **said: object) -> ReleaseLock:
    """Return a release."""
    fields: dict[str, object] = {
        "writer": "agent",
        "nonce": make_nonce(7, counter << 20),
        "ns": "app",
        "key": key,
        "token": token,
    }
    return ReleaseLock(**{**fields, **said})  # type: ignore[arg-type]


def do(book: BookWriter, *changes: Change) -> list[Outcome]:
    """Do changes as one group."""
    return list(book.write(list(changes), STAMP).outcomes)


def granted(outcome: Outcome) -> int:
    """Return the token that was granted."""
    return msgspec.msgpack.decode(outcome.body, type=LockGranted).token


def test_token_is_the_seq_of_the_grant_and_rises_from_holder_to_holder(home: Home) -> None:
    """Release and next grant may share a group."""
    book = open_store(home)

    first = granted(do(book, acquire(1))[0])
    freed, second = do(book, release(first, 2), acquire(3))

    assert first == 1
    assert msgspec.msgpack.decode(freed.body, type=LockReleased).seq == 2
    assert granted(second) == 3
    lease = book.query(lambda connection: find_lease(connection, "app", "k"))
    assert lease is not None
    assert (lease.token, lease.holder, lease.ttl_ns) == (3, HOLDER, 5 * S_NS)
    assert book.query(lambda connection: token_in_force(connection, "app", "other")) == 0


def test_lock_that_is_held_is_not_granted_and_a_stale_release_changes_nothing(home: Home) -> None:
    """Whoever sent it."""
    book = open_store(home)
    token = granted(do(book, acquire(1))[0])

    refused, stale = do(book, acquire(2), release(token + 5, 3))

    assert isinstance(refused.error, errors.LockTimeout)
    assert "held by agent (process 42, token 1)" in str(refused.error)
    assert msgspec.msgpack.decode(stale.body, type=LockReleased).seq == 0
    assert book.head.seq == 1


def test_resent_call_hears_of_its_token_again(home: Home) -> None:
    """From the entry alone, also after a restart and once the lock is another's."""
    book = open_store(home)
    call, freed = acquire(1), release(1, 2)
    do(book, call, freed, acquire(3))
    book.close()
    book = open_store(home)

    assert not book.admission.is_new(call, (), STAMP.time_ns)
    again, let_go = book.admission.outcome_of(call), book.admission.outcome_of(freed)

    assert again is not None
    assert granted(again) == 1
    assert let_go is not None
    assert msgspec.msgpack.decode(let_go.body, type=LockReleased).seq == 2


@pytest.mark.parametrize("why", ["expired", "ended", "rebooted"])
def test_expiry_is_the_writers_own_word(home: Home, why: str) -> None:
    """It is recorded with holder and reason; a client that says it is refused."""
    book = open_store(home)
    token = granted(do(book, acquire(1))[0])
    expiry = release(token, 9, writer=JOURNAL_WRITER, reason=why)

    with pytest.raises(errors.BadRequest, match="`reason`"):
        KINDS[ReleaseLock].check(release(token, 9, reason=why))
    do(book, expiry)

    sql = "SELECT kind, entity, writer FROM entry WHERE seq = 2"
    row = book.query(lambda connection: connection.execute(sql).fetchone())
    assert row == ("lock.expire", "app/k", JOURNAL_WRITER)
    assert book.query(list_leases) == []


@pytest.mark.parametrize(
    "said",
    [
        {"ns": "a/b"},
        {"key": ""},
        {"key": "k" * 1025},
        {"ttl_ns": 1},
        {"ttl_ns": 10**18},
        {"wait_ns": 10**15},
        {"writer": JOURNAL_WRITER},
    ],
)
def test_call_out_of_range_is_refused_before_it_is_queued(said: dict[str, Any]) -> None:
    """With the range, or the rule, in words."""
    with pytest.raises(errors.CallerError, match="Expected"):
        KINDS[AcquireLock].check(acquire(**said))


def test_copy_that_is_cut_back_has_the_locks_of_then_held_by_nobody_who_lives(home: Home) -> None:
    """So that the writer frees them at its next start, and journals that."""
    book = open_store(home)
    do(book, acquire(1, "freed/later"))
    do(book, acquire(2, "freed"), release(2, 3, "freed"))
    do(book, release(1, 4, "freed/later"))
    do(book, acquire(5, "later"))

    book.query(lambda connection: rewind(connection, find_cut(connection, parse_moment("3", "to"))))

    (lease,) = book.query(list_leases)
    assert (lease.ns, lease.key, lease.token) == ("app", "freed/later", 1)
    assert not is_alive(lease.holder)


@pytest.mark.parametrize("strategy", ["theirs", "both"])
def test_merge_over_a_locked_key_waits_until_nobody_holds_its_lock(
    home: Home, strategy: Literal["theirs", "both"]
) -> None:
    """A merge names no token: who holds the lock may believe that nobody else writes the key."""
    book = open_store(home)
    written(say(book, put("other", 0), ns="app"))
    make = CreateBranch(writer="agent", nonce=make_nonce(7, 1 << 20), name="try", parent=0)
    do(book, make, kv_write(put("k", "theirs"), put("other", 1), ns="app", branch=1))
    token = granted(do(book, acquire(2))[0])
    written(say(book, put("k", "ours", type="locked", token=token), ns="app"))
    unlocked = granted(do(book, acquire(3, "other"))[0])

    def merge(counter: int, strategy: Literal["ours", "theirs", "both"]) -> Outcome:
        nonce = make_nonce(7, counter << 20)
        return do(book, MergeBranch(writer="agent", nonce=nonce, name="try", strategy=strategy))[0]

    refused = merge(4, strategy)
    assert isinstance(refused.error, errors.TokenStale)
    assert refused.error.value == str(token)
    assert f"app/k, which agent (process 42, token {token}) holds" in str(refused.error)
    assert rows_of(book) == {("app", "k"): "ours", ("app", "other"): 0}

    do(book, release(token, 5))
    assert merge(6, strategy).error is None
    assert rows_of(book) == {("app", "k"): "theirs", ("app", "other"): 1}
    assert book.query(lambda c: token_in_force(c, "app", "other")) == unlocked


def test_merge_that_leaves_a_locked_key_alone_needs_no_lock_of_it(home: Home) -> None:
    """What is not brought is not written."""
    book = open_store(home)
    make = CreateBranch(writer="agent", nonce=make_nonce(7, 1 << 20), name="try", parent=0)
    written(say(book, put("first", 0), ns="app"))
    do(book, make, kv_write(put("k", "theirs"), ns="app", branch=1))
    token = granted(do(book, acquire(2))[0])
    written(say(book, put("k", "ours", type="locked", token=token), ns="app"))

    nonce = make_nonce(7, 3 << 20)
    (merged,) = do(book, MergeBranch(writer="agent", nonce=nonce, name="try", strategy="ours"))

    assert merged.error is None
    assert rows_of(book)["app", "k"] == "ours"
