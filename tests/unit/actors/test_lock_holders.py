"""Which processes hold locks: seen to live, heard of when they end, and forgotten in time."""

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import pytest
from fakes.reactor import TestReactor

from actors import lock_holders
from actors.lock_holders import LockHolders
from hourbook.process_identity import own_holder, start_ticks
from protocols.instance_messages import Holder

if TYPE_CHECKING:
    from hourbook.book.store.leases import LockName


class Ended:
    """Keeps what is said of processes that ended."""

    def __init__(self) -> None:
        self.reactor = TestReactor()
        self.said: list[tuple[Holder, list[LockName]]] = []
        self.holders = LockHolders(self.reactor, lambda *each: self.said.append(each))


@pytest.fixture
def ended() -> Iterator[Ended]:
    """Watch nobody yet."""
    made = Ended()
    yield made
    made.holders.close()
    assert made.reactor.watched == {}


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that only sleeps."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def holder_of(process: "subprocess.Popen[bytes]") -> Holder:
    """Return its identity."""
    return msgspec.structs.replace(
        own_holder(), pid=process.pid, start_ticks=start_ticks(process.pid)
    )


def test_end_of_a_process_is_told_once_with_all_that_it_held(
    ended: Ended, child: "subprocess.Popen[bytes]"
) -> None:
    """What it had let go of before is not among that."""
    holder = holder_of(child)
    for key in ("c", "a", "b"):
        assert ended.holders.note_grant(holder, ("ns", key))
    ended.holders.note_release(holder, ("ns", "b"))
    child.send_signal(signal.SIGKILL)

    ended.reactor.run_until(lambda: ended.said, 5, "the end of the process")

    assert ended.said == [(holder, [("ns", "a"), ("ns", "c")])]
    assert not ended.holders.can_live(holder)


def test_process_that_ended_is_known_at_once_though_nobody_has_turned(
    ended: Ended, child: "subprocess.Popen[bytes]"
) -> None:
    """Who asks for its lock in the same moment need not wait for the news."""
    holder = holder_of(child)
    assert ended.holders.can_live(holder)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie: its pid is still taken

    assert not ended.holders.can_live(holder)
    assert not ended.holders.note_grant(holder, ("ns", "k"))
    assert ended.said == []


def test_word_for_a_descriptor_that_was_another_s_ends_nobody(ended: Ended) -> None:
    """The kernel may have been asked before the number was used again."""
    ended.holders.note_grant(own_holder(), ("ns", "k"))
    (spurious,) = ended.reactor.watched.values()

    spurious()

    assert ended.said == []
    assert ended.holders.can_live(own_holder())


def test_only_the_last_idle_processes_are_watched_and_all_that_hold_a_lock(
    ended: Ended, child: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Descriptors are few; locks are not."""
    monkeypatch.setattr(lock_holders, "IDLE_MAX", 1)
    other = subprocess.Popen(["sleep", "60"])
    try:
        ended.holders.note_grant(own_holder(), ("ns", "k"))
        for process in (child, other):
            ended.holders.note_grant(holder_of(process), ("ns", str(process.pid)))
        assert len(ended.reactor.watched) == 3
        for process in (child, other):
            ended.holders.note_release(holder_of(process), ("ns", str(process.pid)))

        assert len(ended.reactor.watched) == 2
        assert ended.holders.can_live(holder_of(child))
    finally:
        other.kill()
        other.wait()


def test_process_without_a_descriptor_to_watch_it_by_is_looked_up(ended: Ended) -> None:
    """A shortage frees no lock, and takes none."""
    ended.holders._watched_max = 0
    gone = msgspec.structs.replace(own_holder(), start_ticks=1)

    assert ended.holders.note_grant(own_holder(), ("ns", "k"))
    assert not ended.holders.note_grant(gone, ("ns", "k"))
    assert ended.reactor.watched == {}
