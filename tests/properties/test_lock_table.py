"""Locks against the plainest of models: a holder, a line, a deadline each.

The writer's part is played as journal_writer plays it: what is granted is written, or cannot be;
what is over is ended, and who is next follows, in the same transaction or in one of its own.
"""

from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hourbook.book.store.leases import Lease, LockName
from hourbook.book.store.lock_calls import Waiter
from hourbook.book.store.lock_table import LockTable
from protocols.entry import make_nonce
from protocols.instance_messages import Holder
from protocols.kv_messages import AcquireLock

KEYS = ("a", "b")
PIDS = (1, 2, 3)
TTL = 10
GRACE = 3
keys = st.sampled_from(KEYS)
processes = st.sampled_from(PIDS)


class Held(NamedTuple):
    """What the model knows of a lock that is held."""

    token: int
    pid: int
    deadline: int
    is_excused: bool


class LockTableMachine(RuleBasedStateMachine):
    """All that a writer may do to its table, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.table = LockTable()
        self.now = 0
        self.token = 0
        self.calls = 0
        self.held: dict[str, Held] = {}
        self.lines: dict[str, list[tuple[bytes, int, int]]] = {key: [] for key in KEYS}
        """Nonce, process and end of each wait."""

    # -- those who want one ----------------------------------------------------------------------

    @rule(key=keys, pid=processes, wait=st.integers(0, 30), is_written=st.booleans())
    def ask(self, key: str, pid: int, wait: int, *, is_written: bool) -> None:
        """Ask; and where that grants it, write that, or fail to."""
        self.calls += 1
        change = AcquireLock(
            writer=f"agent-{pid % 2}",
            nonce=make_nonce(pid, self.calls),
            ns="app",
            key=key,
            holder=Holder(bytes(16), pid, 7),
            ttl_ns=TTL,
            wait_ns=wait,
        )
        verdict = self.table.ask(change, self.now)
        if key not in self.held and not self.lines[key]:
            assert verdict == "grant"
            self._write_grant(change, is_written=is_written)
        elif wait == 0:
            assert verdict == "refuse"
        else:
            assert verdict == "wait"
            self.lines[key].append((change.nonce, pid, self.now + wait))
            waiter = self.table.waiter_of(change)
            assert waiter is not None
            assert waiter is self.table.waiter_named(change.writer, change.nonce)
        self._serve()

    @precondition(lambda self: any(self.lines.values()))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Take back a call that waits."""
        key = data.draw(st.sampled_from([key for key in KEYS if self.lines[key]]))
        nonce, pid, _ = data.draw(st.sampled_from(self.lines[key]))
        waiter = self.table.waiter_named(f"agent-{pid % 2}", nonce)
        assert waiter is not None
        self._let_go(waiter)
        self._serve()

    # -- those who have one ----------------------------------------------------------------------

    @precondition(lambda self: self.held)
    @rule(data=st.data(), is_written=st.booleans())
    def release(self, data: st.DataObject, *, is_written: bool) -> None:
        """Release, and grant what that frees in the same transaction; or fail to do both."""
        key = data.draw(st.sampled_from(sorted(self.held)))
        held = self.held[key]
        assert self.table.heir(("app", key), held.token - 1) is None
        heir = self.table.heir(("app", key), held.token)
        assert (heir is None) == (not self.lines[key])
        if heir is not None:
            assert heir.change.nonce == self.lines[key].pop(0)[0]
        if is_written:
            self._free(key)
        if heir is not None:
            self._write_grant(heir.change, is_written=is_written)
        self._serve()

    @rule(key=keys, is_own=st.booleans())
    def renew(self, key: str, *, is_own: bool) -> None:
        """Renew, under the token in force or under the one before it."""
        held = self.held.get(key)
        token = 0 if held is None else held.token - (not is_own)
        try:
            self.table.renew(("app", key), token, self.now)
        except PermissionError:
            assert held is None or not is_own or held.deadline <= self.now
            return
        assert held is not None
        assert is_own
        assert held.deadline > self.now
        self.held[key] = held._replace(deadline=self.now + TTL, is_excused=False)

    @rule(pid=processes)
    def die(self, pid: int) -> None:
        """Let a process end: its locks are free, and its calls wait no longer."""
        for key in [key for key, held in self.held.items() if held.pid == pid]:
            self._free(key)
        for waiter in self.table.waiters_of(Holder(bytes(16), pid, 7)):
            self._let_go(waiter)
        assert all(other != pid for line in self.lines.values() for _, other, _ in line)
        self._serve()

    # -- time ------------------------------------------------------------------------------------

    @rule(passed=st.integers(1, 12))
    def look(self, passed: int) -> None:
        """Let time pass, and end what is over."""
        self.now += passed
        for waiter in self.table.overdue(self.now):
            assert waiter.until_boot_ns <= self.now
            self._let_go(waiter)
        assert all(end > self.now for line in self.lines.values() for _, _, end in line)
        past = {lease.key for lease in self.table.past(self.now)}
        assert past == {key for key, held in self.held.items() if held.deadline <= self.now}
        for key in past:
            self._free(key)
        self._serve()

    @rule(passed=st.integers(1, 12))
    def be_late(self, passed: int) -> None:
        """Let time pass in which the writer did not run."""
        self.now += passed
        self.table.excuse(self.now, GRACE)
        for key, held in self.held.items():
            if held.deadline <= self.now and not held.is_excused:
                self.held[key] = held._replace(deadline=self.now + GRACE, is_excused=True)

    @rule()
    def restart(self) -> None:
        """Begin anew with what the book has: who waits keeps waiting, each lease is whole."""
        self.table.take_over(list(self.table.leases()), self.now)
        for key, held in self.held.items():
            self.held[key] = held._replace(deadline=self.now + TTL, is_excused=False)
        self._serve()

    # -- what always holds -----------------------------------------------------------------------

    @invariant()
    def says_the_same(self) -> None:
        """The table and the model agree on everything that can be asked."""
        listed = {lock.key: lock for lock in self.table.list_locks("", self.now)}
        assert {key: lock.token for key, lock in listed.items()} == {
            key: held.token for key, held in self.held.items()
        }
        for key, lock in listed.items():
            assert lock.left_ns == max(0, self.held[key].deadline - self.now)
            assert lock.waiting == [f"agent-{pid % 2}" for _, pid, _ in self.lines[key]]
        waiting = sum(map(len, self.lines.values()))
        assert self.table.counts() == (len(self.held), waiting)
        ends = [held.deadline for held in self.held.values()]
        ends += [end for line in self.lines.values() for _, _, end in line]
        assert self.table.next_due_ns() == min(ends, default=None)

    def teardown(self) -> None:
        """Let everybody go: nothing is left of anything."""
        for pid in PIDS:
            self.die(pid)
        assert vars(self.table)["_places"] == {}
        calls = vars(self.table)["_calls"]
        assert (len(calls), calls._by_nonce, calls._by_holder) == (0, {}, {})

    # -- the writer ------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Lend every lock that is free to who is next."""
        while waiters := self.table.next_in_line():
            for waiter in waiters:
                assert waiter.change.nonce == self.lines[waiter.change.key][0][0]
                self._let_go(waiter)
                self._write_grant(waiter.change, is_written=True)
        assert all(key in self.held or not line for key, line in self.lines.items())

    def _write_grant(self, change: AcquireLock, *, is_written: bool) -> None:
        name: LockName = ("app", change.key)
        if not is_written:
            self.table.give_back(name)
            return
        assert change.key not in self.held
        self.token += 2
        holder = change.holder
        lease = Lease(
            ns=change.ns,
            key=change.key,
            token=self.token,
            writer=change.writer,
            call=change.nonce,
            boot_id=holder.boot_id,
            pid=holder.pid,
            start_ticks=holder.start_ticks,
            pid_ns=holder.pid_ns,
            granted_ns=1,
            ttl_ns=TTL,
        )
        self.table.grant(lease, self.now)
        self.held[change.key] = Held(self.token, holder.pid, self.now + TTL, is_excused=False)

    def _free(self, key: str) -> None:
        assert self.table.free(("app", key), self.held.pop(key).token)

    def _let_go(self, waiter: Waiter) -> None:
        self.table.leave(waiter)
        self.table.leave(waiter)  # again: no effect
        line = self.lines[waiter.change.key]
        line[:] = [each for each in line if each[0] != waiter.change.nonce]


TestLockTable = LockTableMachine.TestCase
TestLockTable.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
