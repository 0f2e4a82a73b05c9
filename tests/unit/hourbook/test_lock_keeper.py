"""The thread that renews locks: awake when one is due, and for nothing else."""

import threading
import time
from collections.abc import Iterator

import pytest
from waiting import wait_until

from hourbook.faces.lock_keeper import LockKeeper
from hourbook.link.reply import Reply
from protocols import errors, wire

S_NS = 1_000_000_000


class Pump:
    """Settles nothing; notes whether somebody waits."""

    def __init__(self) -> None:
        self.state_lock = threading.Lock()
        self.waits: list[int] = []
        self.sent = 0

    def hasten(self) -> None:
        """Send nothing."""

    def pump_until(self, reply: Reply, _timeout_s: float | None) -> None:
        """Note how many releases had been sent when somebody began to wait."""
        self.waits.append(self.sent)
        reply.settle(None, errors.OutcomeUnknown("nobody there"))


class Leased:
    """A lock that is due at a moment, and is renewed for a minute."""

    def __init__(self, due_in_s: float, pump: Pump | None = None) -> None:
        self.due_ns = time.monotonic_ns() + round(due_in_s * S_NS)
        self.pump = pump or Pump()
        self.looks = 0
        self.renewals = 0

    def due_mono_ns(self) -> int:
        """Return when; the thread that renews is counted, not who asks for the lock."""
        self.looks += threading.current_thread().name == "hourbook-locks"
        return self.due_ns

    def renew_soon(self) -> None:
        """Be renewed."""
        self.renewals += 1
        self.due_ns = time.monotonic_ns() + 60 * S_NS

    def give_up(self) -> None:
        """Be waited for no longer: it is held already."""

    def let_go(self) -> Reply:
        """Be released, without an answer."""
        self.pump.sent += 1
        request = wire.Envelope(kind="lock.release", id=1, src="tester")
        return Reply(self.pump, request, b"", 0)


@pytest.fixture
def keeper() -> Iterator[LockKeeper]:
    """Keep nothing yet."""
    made = LockKeeper()
    yield made
    made.close()


def test_lock_that_is_due_before_the_others_is_renewed_in_time(keeper: LockKeeper) -> None:
    """Its thread had meant to sleep for longer."""
    slow, fast = Leased(3600), Leased(0.05)
    keeper.keep(slow)
    keeper.begin()
    wait_until(lambda: slow.looks, 5, "the thread to look")

    keeper.keep(fast)

    wait_until(lambda: fast.renewals, 2, "the renewal")
    assert slow.renewals == 0


def test_locks_that_are_let_go_before_they_are_due_wake_nobody(keeper: LockKeeper) -> None:
    """However many: the thread would be in the way of who holds them."""
    first = Leased(5)
    keeper.keep(first)
    keeper.begin()
    wait_until(lambda: first.looks, 5, "the thread to look")
    looks = first.looks
    for _ in range(100):
        brief = Leased(5)
        keeper.keep(brief)
        keeper.drop(brief)

    sooner = Leased(0.05)
    keeper.keep(sooner)
    wait_until(lambda: sooner.renewals, 2, "the thread to have looked again")

    assert first.looks <= looks + 4


def test_closing_sends_every_release_before_it_waits_for_one(keeper: LockKeeper) -> None:
    """Ten locks and no writer to answer are no ten seconds."""
    keeper.begin()
    pump = Pump()
    locks = [Leased(60, pump) for _ in range(10)]
    for lock in locks:
        keeper.keep(lock)

    keeper.close()

    assert pump.waits == [10] * 10
