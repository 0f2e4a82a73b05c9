"""What waits in the writer's mailbox becomes one commit, up to a number of entries and of bytes."""

import contextlib
import itertools
import os
import signal

import msgspec
import pytest
from book_actors import ActorProcess, running_writer
from books import new

from actors.journal_writer import GROUP_BYTES_MAX
from hourbook.book.reader import BookReader
from hourbook.faces.book import connect
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from hourbook.process_identity import own_holder
from protocols import errors
from protocols.book_messages import Append
from protocols.change import CHANGE_NONCES
from protocols.entry import BATCH_ENTRIES_MAX, make_nonce
from protocols.kv_messages import AcquireLock, ListLocks, LockGranted, ReleaseLock

pytestmark = pytest.mark.live

S_NS = 1_000_000_000


def commits(home: Home) -> list[tuple[int, int]]:
    """Return entries and bytes of details of each commit."""
    sql = (
        "SELECT last_seq - first_seq + 1, (SELECT sum(length(details)) FROM entry"
        " WHERE seq BETWEEN first_seq AND last_seq) FROM signed_commit ORDER BY last_seq"
    )
    with BookReader(home) as reader:
        return reader.query(lambda connection: connection.execute(sql).fetchall())


def send_while_stopped(home: Home, writer: ActorProcess, count: int, size: int) -> None:
    """Have `count` entries wait in the mailbox before the writer looks into it."""
    with connect("agent", home, timeout_s=30) as book:
        first = book.log("before", "x").seq + 1
        os.kill(writer.process.pid, signal.SIGSTOP)
        futures = [book.log_nowait("wait", str(number), b"x" * size) for number in range(count)]
        os.kill(writer.process.pid, signal.SIGCONT)
        assert [future.result(30).seq for future in futures] == [*range(first, first + count)]


def test_no_commit_is_larger_than_a_batch(home: Home) -> None:
    """5000 small entries: no commit of more than 4096, and far fewer commits than entries."""
    with running_writer(home) as writer:
        send_while_stopped(home, writer, 5000, 1)

    counts = [count for count, _ in commits(home)]
    assert sum(counts) >= 5001
    assert max(counts) <= BATCH_ENTRIES_MAX
    assert len(counts) < 500


def test_batches_that_do_not_fit_into_one_commit_take_several(home: Home) -> None:
    """Three requests of 3000 entries that wait together: each is whole, in a commit of its own."""
    batches = [
        Append("agent", make_nonce(1, 1 + 3000 * number), [new()] * 3000) for number in range(3)
    ]
    with (
        running_writer(home) as writer,
        contextlib.closing(MailboxClient(home, "journal_writer", "agent")) as client,
    ):
        client.request("book.append", Append("agent", make_nonce(0, 1), [new()]))
        os.kill(writer.process.pid, signal.SIGSTOP)
        replies = [client.send("book.append", batch) for batch in batches]
        os.kill(writer.process.pid, signal.SIGCONT)
        for reply in replies:
            reply.wait(30)

    assert [count for count, _ in commits(home)] == [1, 3000, 3000, 3000]


def test_drain_ends_when_a_group_has_enough_bytes(home: Home) -> None:
    """Entries of 300 kB: a commit takes what it has when it passes 1 MiB, and no more."""
    with running_writer(home) as writer:
        send_while_stopped(home, writer, 40, 300_000)

    sizes = [size for _, size in commits(home)]
    assert max(sizes) < GROUP_BYTES_MAX + 310_000
    assert len(sizes) >= 10


def ask(counter: int, wait_ns: int, ttl_ns: int = 60 * S_NS) -> AcquireLock:
    """Return a call for one lock."""
    nonce = make_nonce(1, counter * CHANGE_NONCES)
    lock = {"ns": "app", "key": "k", "ttl_ns": ttl_ns, "wait_ns": wait_ns}
    return AcquireLock(writer="agent", nonce=nonce, holder=own_holder(), **lock)  # type: ignore[arg-type]


def test_lock_goes_to_who_is_next_in_the_group_of_its_release(home: Home) -> None:
    """A group that is full to the last entry and finds no room parts neither from the other."""
    with (
        running_writer(home, size_max_mib=1) as writer,
        contextlib.closing(MailboxClient(home, "journal_writer", "agent")) as client,
    ):
        granted = client.request("lock.acquire", ask(1, 0)).body
        token = msgspec.msgpack.decode(granted, type=LockGranted).token
        large = Append(
            "other", make_nonce(1, 1), [new(details=b"x" * 150)] * (BATCH_ENTRIES_MAX - 1)
        )
        nonce = make_nonce(1, 3 * CHANGE_NONCES)
        release = ReleaseLock(writer="agent", nonce=nonce, ns="app", key="k", token=token)
        next_one = client.send("lock.acquire", ask(2, 60 * S_NS))
        client.request("lock.list", ListLocks("app"))
        os.kill(writer.process.pid, signal.SIGSTOP)
        replies = [client.send("book.append", large), client.send("lock.release", release)]
        os.kill(writer.process.pid, signal.SIGCONT)

        with pytest.raises(errors.DiskFull):
            replies[0].wait(20)
        granted = next_one.wait(20).body
        replies[1].wait(20)

    assert msgspec.msgpack.decode(granted, type=LockGranted).token > token


def test_who_is_next_waits_on_where_its_lock_finds_no_room(home: Home) -> None:
    """The release is refused with its group; the lock is granted once the lease is over."""
    with (
        running_writer(home, size_max_mib=1) as writer,
        contextlib.closing(MailboxClient(home, "journal_writer", "agent")) as client,
    ):
        granted = client.request("lock.acquire", ask(1, 0, S_NS // 2)).body
        token = msgspec.msgpack.decode(granted, type=LockGranted).token
        next_one = client.send("lock.acquire", ask(2, 60 * S_NS))
        numbers = itertools.count(1)

        def append() -> Append:
            return Append("other", make_nonce(1, next(numbers)), [new(details=b"x" * 40_000)])

        with contextlib.suppress(errors.DiskFull):
            while True:
                client.request("book.append", append())
        nonce = make_nonce(1, 3 * CHANGE_NONCES)
        release = ReleaseLock(writer="agent", nonce=nonce, ns="app", key="k", token=token)
        os.kill(writer.process.pid, signal.SIGSTOP)
        replies = [client.send("book.append", append()), client.send("lock.release", release)]
        os.kill(writer.process.pid, signal.SIGCONT)

        for reply in replies:
            with pytest.raises(errors.DiskFull):
                reply.wait(20)
        granted = next_one.wait(20).body

    assert msgspec.msgpack.decode(granted, type=LockGranted).token > token
