"""When a waiting client stays awake, with a clock that moves by what each look costs."""

import os
import select
from collections.abc import Iterator
from typing import cast

import pytest

from hourbook.link.patience import AWAKE_NS, Patience

LOOK_NS = 1_000
FOREVER_NS = 1 << 62


class Wait:
    """A patience over one descriptor, whose time passes only while it yields or sleeps."""

    def __init__(self, descriptor: int) -> None:
        self.now_ns = 0
        self.yields = 0
        self._asleep_ns = 0
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._patience = Patience(lambda: self.now_ns, self._yield)

    def _yield(self) -> None:
        self.yields += 1
        self.now_ns += LOOK_NS

    def poll(self, timeout_ms: int) -> list[tuple[int, int]]:
        """Look, or sleep for as long as the test says."""
        if timeout_ms:
            self.now_ns += self._asleep_ns
        return self._poll.poll(0)

    def look(self, *, timeout_ns: int = FOREVER_NS) -> list[tuple[int, int]]:
        """Begin to wait, and return what came."""
        self._patience.began_ns = self.now_ns
        return self._patience.await_input(cast("select.poll", self), timeout_ns)

    def wait(self, *, timeout_ns: int = FOREVER_NS, asleep_ns: int = 0) -> int:
        """Wait once; return how often the processor was given away."""
        before, self._asleep_ns = self.yields, asleep_ns
        self.look(timeout_ns=timeout_ns)
        return self.yields - before


@pytest.fixture
def silent() -> Iterator[Wait]:
    """Yield a wait for what never comes."""
    descriptor = os.eventfd(0)
    yield Wait(descriptor)
    os.close(descriptor)


def test_awake_client_takes_what_is_there_at_its_first_look() -> None:
    """An answer that has already come costs no yield."""
    descriptor = os.eventfd(1)
    wait = Wait(descriptor)

    ready = wait.look()

    assert ready == [(descriptor, select.POLLIN)]
    assert wait.yields == 0
    os.close(descriptor)


def test_client_stays_awake_for_two_milliseconds_and_then_sleeps(silent: Wait) -> None:
    """The first wait is awake, for AWAKE_NS and no longer."""
    assert silent.wait() == AWAKE_NS // LOOK_NS


def test_client_that_was_answered_late_sleeps_at_once(silent: Wait) -> None:
    """After one late answer nothing is spent on the next wait."""
    silent.wait(asleep_ns=AWAKE_NS)

    assert silent.wait() == 0


def test_one_quick_answer_keeps_the_client_awake_again(silent: Wait) -> None:
    """Quick is what comes within AWAKE_NS, asleep or not."""
    silent.wait(asleep_ns=AWAKE_NS)
    silent.wait(asleep_ns=AWAKE_NS // 2)

    assert silent.wait() == AWAKE_NS // LOOK_NS


def test_client_is_not_awake_beyond_its_time_out(silent: Wait) -> None:
    """The caller's own limit is the shorter one."""
    assert silent.wait(timeout_ns=10 * LOOK_NS) == 10
