"""Who holds a lock, until when, and who is next: decided without clock, book or process."""

import pytest

from hourbook.book.store.leases import Lease, require_token
from hourbook.book.store.lock_calls import WAITERS_MAX
from hourbook.book.store.lock_table import LockTable
from protocols import errors
from protocols.entry import make_nonce
from protocols.instance_messages import Holder
from protocols.kv_messages import AcquireLock

S = 1_000_000_000
NAME = ("app", "k")


def holder(pid: int) -> Holder:
    """Return a process."""
    return Holder(bytes(16), pid, 7)


def call(pid: int, *, counter: int = 1, key: str = "k", wait_s: int = 10) -> AcquireLock:
    """Return a request for a lock, by the instance and process of a number."""
    return AcquireLock(
        writer=f"agent-{pid}",
        nonce=make_nonce(pid, counter),
        ns="app",
        key=key,
        holder=holder(pid),
        ttl_ns=5 * S,
        wait_ns=wait_s * S,
    )


def lease(change: AcquireLock, token: int) -> Lease:
    """Return what the book has of a granted call."""
    return Lease(
        *(change.ns, change.key, token, change.writer, change.nonce),
        *(bytes(16), change.holder.pid, change.holder.start_ticks, change.holder.pid_ns),
        *(1, change.ttl_ns),
    )


def grant(table: LockTable, change: AcquireLock, token: int, now_ns: int = 0) -> None:
    """Have a call get a free lock."""
    assert table.ask(change, now_ns) == "grant"
    table.grant(lease(change, token), now_ns)


def test_second_call_waits_while_the_first_is_on_its_way_into_the_book() -> None:
    """Two in one group never both find a lock free."""
    table = LockTable()

    assert table.ask(call(1), 0) == "grant"
    assert table.ask(call(2), 0) == "wait"
    assert table.next_in_line() == []


def test_waiters_are_served_in_the_order_in_which_they_came() -> None:
    """First in, first out; and each has the lock to itself."""
    table = LockTable()
    grant(table, call(1), 1)
    for pid in (2, 3, 4):
        assert table.ask(call(pid), pid) == "wait"

    served = []
    for token in (1, 2, 3):
        assert table.free(NAME, token)
        (waiter,) = table.next_in_line()
        assert table.next_in_line() == []
        served.append(waiter.change.holder.pid)
        table.leave(waiter)
        table.grant(lease(waiter.change, token + 1), 0)
    assert served == [2, 3, 4]


def test_newcomer_does_not_pass_those_who_wait_for_a_lock_that_is_free() -> None:
    """Between a release and the next grant a third call goes to the end."""
    table = LockTable()
    grant(table, call(1), 1)
    table.ask(call(2), 0)
    table.free(NAME, 1)

    assert table.ask(call(3), 0) == "wait"
    assert [each.change.holder.pid for each in table.next_in_line()] == [2]


def test_grant_that_was_not_written_leaves_the_lock_to_the_next() -> None:
    """A full disk takes nobody's place away."""
    table = LockTable()
    assert table.ask(call(1), 0) == "grant"
    table.ask(call(2), 0)

    table.give_back(NAME)

    assert [each.change.holder.pid for each in table.next_in_line()] == [2]


def test_heir_of_a_release_is_the_first_in_line_and_nobody_else_gets_the_lock() -> None:
    """Release and grant are one transaction: in between the lock is neither held nor free."""
    table = LockTable()
    grant(table, call(1), 1)
    table.ask(call(2), 0)
    table.ask(call(3), 0)

    heir = table.heir(NAME, 1)
    assert heir is not None
    assert heir.change.holder.pid == 2
    assert table.heir(NAME, 1) is None
    assert table.free(NAME, 1)

    assert table.next_in_line() == []
    assert table.ask(call(4), 0) == "wait"
    table.grant(lease(heir.change, 2), 0)
    assert table.heir(NAME, 1) is None


def test_heir_whose_transaction_was_not_written_leaves_the_lock_as_it_was() -> None:
    """The holder still holds it; the next release finds the next in line."""
    table = LockTable()
    grant(table, call(1), 1)
    table.ask(call(2), 0)
    table.ask(call(3), 0)
    table.heir(NAME, 1)

    table.give_back(NAME)

    assert table.lease_of(NAME) is not None
    heir = table.heir(NAME, 1)
    assert heir is not None
    assert heir.change.holder.pid == 3


def test_heir_whose_transaction_found_no_room_is_the_first_in_line_again() -> None:
    """However many wait meanwhile: it has its time, and may still get the lock."""
    table = LockTable()
    grant(table, call(1), 1)
    table.ask(call(2), 0)
    heir = table.heir(NAME, 1)
    table.ask(call(3), 0)

    assert table.wait_on(NAME) is heir

    assert table.ask(call(4), 0) == "wait"
    assert table.waiter_of(call(2)) is heir
    assert table.heir(NAME, 1) is heir
    table.grant(lease(call(2), 2), 0)
    assert table.wait_on(NAME) is None
    assert [each.change.holder.pid for each in table.waiters_of(call(3).holder)] == [3]


def test_lease_is_past_at_its_deadline_and_is_held_until_it_is_ended() -> None:
    """A deadline frees nothing by itself: the book says who holds a lock."""
    table = LockTable()
    grant(table, call(1), 1)

    assert not table.is_past(NAME, 1, 5 * S - 1)
    assert [each.token for each in table.past(5 * S)] == [1]
    assert table.ask(call(2), 6 * S) == "wait"
    assert table.next_in_line() == []


def test_renewal_gives_the_whole_time_again_and_comes_too_late_at_the_deadline() -> None:
    """What is past its deadline is not brought back, whoever was slow."""
    table = LockTable()
    grant(table, call(1), 7)

    table.renew(NAME, 7, 4 * S)

    assert table.past(9 * S - 1) == []
    with pytest.raises(errors.TokenStale):
        table.renew(NAME, 7, 9 * S)


@pytest.mark.parametrize("token", [6, 8])
def test_renewal_under_another_token_is_refused_and_names_the_one_in_force(token: int) -> None:
    """Old tokens and made-up ones alike."""
    table = LockTable()
    grant(table, call(1), 7)

    with pytest.raises(errors.TokenStale) as refused:
        table.renew(NAME, token, 0)
    assert refused.value.value == "7"


def test_suspend_gives_every_lease_its_whole_time_again() -> None:
    """Nobody could renew while the machine slept."""
    table = LockTable()
    grant(table, call(1), 1)
    grant(table, call(2, key="other"), 2)

    table.resume(3600 * S)

    assert table.past(3605 * S - 1) == []
    assert len(table.past(3605 * S)) == 2


def test_writer_that_was_late_excuses_each_lease_once_between_renewals() -> None:
    """Else a writer that is always late would never find anybody lost."""
    table = LockTable()
    grant(table, call(1), 1)
    grant(table, call(2, key="fresh"), 2, now_ns=3 * S)

    table.excuse(5 * S, S)
    deadlines = [table.is_past(NAME, 1, at * S) for at in (5, 6)]
    table.excuse(6 * S, S)
    past = table.past(6 * S)
    table.renew(("app", "fresh"), 2, 7 * S)

    assert deadlines == [False, True]
    assert [each.token for each in past] == [1]
    assert not table.is_past(("app", "fresh"), 2, 11 * S)


def test_new_writer_takes_over_leases_with_their_whole_time() -> None:
    """Deadlines are in no file; a live holder must not lose by our restart."""
    table = LockTable()

    table.take_over([lease(call(1), 4)], 100 * S)

    assert table.past(105 * S - 1) == []
    assert table.ask(call(2), 100 * S) == "wait"


def test_call_without_patience_is_refused_and_told_who_holds_the_lock() -> None:
    """Instance, process and token."""
    table = LockTable()
    grant(table, call(1), 9)

    assert table.ask(call(2, wait_s=0), 0) == "refuse"
    text = str(table.timeout_error(call(2, wait_s=0)))
    assert "agent-1 (process 1, token 9)" in text


def test_wait_that_is_over_names_both_holders_where_each_waits_for_the_other() -> None:
    """A deadlock of two ends by itself, and says what it was."""
    table = LockTable()
    grant(table, call(1, key="a"), 1)
    grant(table, call(2, key="b"), 2)
    table.ask(call(1, counter=2, key="b", wait_s=3), 0)
    table.ask(call(2, counter=2, key="a"), 0)

    (waiter,) = table.overdue(3 * S)

    text = str(table.timeout_error(waiter.change))
    assert "app/b within 3 s; it is held by agent-2 (process 2, token 2)" in text
    assert "who waits for app/a, held by agent-1 (process 1, token 1)" in text


def test_waiter_whose_grant_is_on_its_way_does_not_time_out() -> None:
    """Its answer will be the token."""
    table = LockTable()
    grant(table, call(1), 1)
    table.ask(call(2, wait_s=1), 0)
    table.free(NAME, 1)
    assert len(table.next_in_line()) == 1

    assert table.overdue(2 * S) == []


def test_call_that_is_sent_again_is_found_in_its_place() -> None:
    """A nonce is a call, however often it comes."""
    table = LockTable()
    grant(table, call(1), 1)
    table.ask(call(2), 0)

    assert table.waiter_of(call(2)) is not None
    assert table.waiter_of(call(2, counter=2)) is None
    assert table.counts() == (1, 1)


def test_all_is_forgotten_when_nobody_holds_or_waits() -> None:
    """A lock costs nothing once it was let go."""
    table = LockTable()
    grant(table, call(1), 1)
    table.ask(call(2), 0)
    waiter = table.waiter_of(call(2))
    assert waiter is not None

    table.leave(waiter)
    table.free(NAME, 1)

    assert table.counts() == (0, 0)
    assert table.next_due_ns() is None
    assert table.list_locks("", 0) == []


def test_waiters_of_all_locks_together_are_limited() -> None:
    """The next one hears so."""
    table = LockTable()
    grant(table, call(1), 1)
    for counter in range(WAITERS_MAX):
        table.ask(call(2, counter=counter + 1), 0)

    with pytest.raises(errors.LimitExceeded, match="10000"):
        table.ask(call(3), 0)


@pytest.mark.parametrize(
    ("token", "in_force", "is_locked"), [(5, 5, True), (5, 5, False), (0, 5, False), (0, 0, False)]
)
def test_write_passes_under_the_token_in_force_or_where_none_is_needed(
    token: int, in_force: int, *, is_locked: bool
) -> None:
    """A lock keeps out who asks for it, and nobody else."""
    require_token("app", "k", token, in_force, is_locked=is_locked)


@pytest.mark.parametrize(
    ("token", "in_force", "is_locked"), [(4, 5, False), (6, 5, True), (5, 0, False), (0, 5, True)]
)
def test_write_is_refused_under_another_token_or_where_one_is_missing(
    token: int, in_force: int, *, is_locked: bool
) -> None:
    """The refusal says which token is in force."""
    with pytest.raises(errors.TokenStale) as refused:
        require_token("app", "k", token, in_force, is_locked=is_locked)
    assert refused.value.value == str(in_force)
