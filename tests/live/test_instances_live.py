"""Names that processes hold, and cursors that outlive them, through a real journal_writer."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec
import pytest
from book_actors import ActorProcess, running_writer
from waiting import wait_until

from hourbook.book.instances import list_instances
from hourbook.book.reader import BookReader
from hourbook.faces.book import Book, connect
from hourbook.home import Home
from hourbook.instance_view import InstanceStatus
from hourbook.instances import instance_statuses
from hourbook.process_identity import own_holder
from protocols import errors

pytestmark = pytest.mark.live

HOLD = """
import sys, hourbook
book = hourbook.connect(sys.argv[1], sys.argv[2])
print("up", flush=True)
sys.stdin.read()
"""
READ = """
import sys, hourbook
book = hourbook.connect(sys.argv[1], sys.argv[2])
updates = book.updates()
print("up", flush=True)
for entry in updates:
    print(entry.seq, flush=True)
    if entry.action == "die":
        sys.stdin.read()
"""


ELSEWHERE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""In front of a command: as in a container that shares the home."""


@contextlib.contextmanager
def child(
    program: str, name: str, home: Home, *, before: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run another process that connects under `name`."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", program, name, str(home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()


def heard(process: subprocess.Popen[str]) -> str:
    """Return the next line of a child."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def status(book: Book, name: str) -> InstanceStatus:
    """Return one instance as the book lists it."""
    return next(each for each in book.instances() if each.name == name)


def kinds(book: Book) -> list[tuple[str, str]]:
    """Return what was journaled of instances."""
    return [(e.kind, e.entity) for e in book.tail(100) if e.kind.startswith("instance.")]


def test_second_live_holder_is_refused_by_name_and_pid(writer: ActorProcess) -> None:
    """The error names the first holder; once it lets go, the name is free."""
    with child(HOLD, "solo", writer.home) as first:
        assert heard(first) == "up"

        with pytest.raises(errors.NameTaken, match=f"'solo'.*process {first.pid}"):
            connect("solo", writer.home)

        assert first.stdin is not None
        first.stdin.close()
        first.wait(10)
        with connect("solo", writer.home) as book:
            assert status(book, "solo").pid == os.getpid()
            ours = [pair for pair in kinds(book) if pair[1] == "solo"]
    assert [kind for kind, _ in ours] == [
        "instance.register",
        "instance.release",
        "instance.register",
    ]


def test_killed_holder_is_freed_at_once_and_that_is_journaled(writer: ActorProcess) -> None:
    """No time-out is waited for: the writer hears of the death from the kernel."""
    with connect("watcher", writer.home) as book, child(HOLD, "victim", writer.home) as held:
        assert heard(held) == "up"
        feed = book.follow(kind="instance.release")
        killed_ns = time.monotonic_ns()
        os.kill(held.pid, signal.SIGKILL)

        entry = feed.poll(5)

        assert entry is not None
        assert (entry.entity, entry.details["reason"]) == ("victim", "ended")
        assert entry.writer == "journal_writer"
        assert time.monotonic_ns() - killed_ns < 1_000_000_000
        assert not status(book, "victim").alive


def test_holder_that_died_while_the_writer_was_down_is_freed_at_its_start(
    writer: ActorProcess,
) -> None:
    """And one that lives on keeps its name over the restart."""
    with connect("survivor", writer.home) as book, child(HOLD, "victim", writer.home) as held:
        assert heard(held) == "up"
        writer.kill()
        os.kill(held.pid, signal.SIGKILL)
        held.wait(10)

        writer.start()

        wait_until(lambda: not status(book, "victim").alive, 5, "the release")
        assert status(book, "survivor").alive
        with child(HOLD, "survivor", writer.home) as second:
            second.wait(20)
            assert second.returncode != 0
        assert book.verify(all_signatures=True).ok


def test_connecting_without_a_writer_reads_and_registers_with_the_first_write(
    writer: ActorProcess,
) -> None:
    """Reading works at once; a write says that it was not written; later ones register."""
    with connect("early", writer.home, shared=True) as book:
        book.log("was", "here")
    writer.kill()
    with connect("late", writer.home, timeout_s=0.5) as book:
        assert book.tail(1)[0].action == "was"
        with pytest.raises(errors.ActorUnreachable):
            book.log("not", "written")
        writer.start()

        book.log("then", "written")

        assert kinds(book) == [("instance.register", "late")]
        assert status(book, "late").alive


def test_connecting_without_a_writer_registers_with_the_next_beat(writer: ActorProcess) -> None:
    """Nothing has to be written for the name to be held."""
    with connect("early", writer.home, shared=True) as book:
        book.log("was", "here")
    writer.kill()
    with connect("late", writer.home) as book:
        writer.start()

        wait_until(lambda: kinds(book) == [("instance.register", "late")], 10, "a beat")


@pytest.fixture
def elsewhere() -> Sequence[str]:
    """Return what runs a command in a pid namespace of its own."""
    tried = subprocess.run([*ELSEWHERE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"unshare is not permitted here: {tried.stderr.strip()}")
    return ELSEWHERE


def test_process_of_another_pid_namespace_holds_a_name_by_its_beats(
    writer: ActorProcess, elsewhere: Sequence[str]
) -> None:
    """It is listed, refuses others, outlives a restart of the writer, and lets go at its end."""
    with connect("watcher", writer.home) as book:
        with child(HOLD, "boxed", writer.home, before=elsewhere) as held:
            assert heard(held) == "up"
            boxed, watcher = status(book, "boxed"), status(book, "watcher")
            assert (boxed.alive, boxed.pid) == (True, 1)
            assert boxed.pid_ns is not None
            assert boxed.pid_ns != watcher.pid_ns

            with pytest.raises(errors.NameTaken, match="process 1 of another pid namespace"):
                connect("boxed", writer.home)
            writer.kill()
            writer.start()
            seen_ns = status(book, "boxed").last_seen_ns
            wait_until(lambda: status(book, "boxed").last_seen_ns > seen_ns, 10, "a beat")

            assert status(book, "boxed").alive
            assert held.stdin is not None
            held.stdin.close()
            held.wait(10)
        assert not status(book, "boxed").alive
        assert [kind for kind, name in kinds(book) if name == "boxed"] == [
            "instance.register",
            "instance.release",
        ]


def test_dead_process_of_our_own_namespace_is_refused(writer: ActorProcess) -> None:
    """What the writer would see, and does not, is not there."""
    with connect("watcher", writer.home) as book:
        ended = msgspec.structs.replace(own_holder(), start_ticks=1)
        book._membership._holder = ended
        book._membership.is_held = False

        with pytest.raises(errors.BadRequest, match="process that lives"):
            book.log("not", "written")


def test_the_same_process_may_connect_twice(writer: ActorProcess) -> None:
    """It is the same holder; the connection that closes first does not free the other's name."""
    with connect("twice", writer.home) as first:
        with connect("twice", writer.home) as second:
            first.log("one", "x")
            second.log("two", "x")
        first.log("three", "x")
        wait_until(lambda: status(first, "twice").alive, 10, "the first to register again")


def test_instances_can_be_listed_without_a_writer(home: Home) -> None:
    """From the book alone: who was registered, and whether that process lives."""
    with running_writer(home) as writer:
        with connect("gone", home) as book:
            book.log("did", "x")
        with connect("here", home) as book:
            book.log("did", "x")
            writer.kill()

            listed = book.instances()

            assert [(each.name, each.alive) for each in listed] == [("here", True), ("gone", False)]
            assert listed[0].pid == os.getpid()
            assert listed[0].position == 4
            assert listed[0].lag == 1


def test_beats_cost_no_commit(writer: ActorProcess) -> None:
    """What a beat says is known at once, and stands in the database only after the next commit."""
    with connect("calm", writer.home) as book, BookReader(writer.home) as reader:
        stored, seen = reader.query(list_instances), status(book, "calm").last_seen_ns

        wait_until(lambda: status(book, "calm").last_seen_ns > seen, 10, "a beat")

        assert reader.query(list_instances) == stored
        assert book.head() == reader.head()


@pytest.mark.parametrize(
    "name", ["../../x", "", "A", "a b", "é", "x" * 65, "a\0", "journal_writer"]
)
def test_bad_names_are_refused(writer: ActorProcess, name: str) -> None:
    """A name stands in paths and tables; the writer's own cannot be taken."""
    with pytest.raises(errors.BadRequest):
        connect(name, writer.home)


def test_killed_subscriber_resumes_without_a_gap(writer: ActorProcess) -> None:
    """It sees each entry that it was not done with, and begins where it had come to."""
    with connect("author", writer.home) as author:
        with child(READ, "reader", writer.home) as reader:
            assert heard(reader) == "up"
            done = [author.log(action, "x").seq for action in ("one", "two")]
            assert [int(heard(reader)) for _ in done] == done
            # Idle now, it says so at once; who is busy may see again what he saw last.
            wait_until(lambda: status(author, "reader").position == done[-1], 10, "its position")
            last = author.log("die", "x").seq
            assert int(heard(reader)) == last
            os.kill(reader.pid, signal.SIGKILL)
            reader.wait(10)
        missed = [author.log(action, "x").seq for action in ("three", "four")]
        with child(READ, "reader", writer.home) as reader:
            assert heard(reader) == "up"
            assert reader.stdin is not None
            reader.stdin.close()  # it waits there at the entry that it was killed at
            resumed = [int(heard(reader))]
            while resumed[-1] < missed[-1]:
                resumed.append(int(heard(reader)))

    assert resumed == list(range(last, missed[-1] + 1))


def test_cursor_survives_a_kill_of_the_writer(writer: ActorProcess) -> None:
    """What was acked a second ago is not shown again by the next incarnation."""
    with connect("author", writer.home) as author, connect("reader", writer.home) as reader:
        updates = reader.updates()
        wanted = [author.log("n", str(number)).seq for number in range(5)]
        got = [updates.poll(5) for _ in range(5)]
        updates.ack()
        with BookReader(writer.home) as book:
            wait_until(
                lambda: book.query(reader._membership.stored_position) == wanted[-1],
                10,
                "the position in the database",
            )
        writer.kill()
        writer.start()

        again = reader.updates()
        next_seq = author.log("n", "5").seq
        entry = again.poll(5)

    assert [each.seq for each in got if each is not None] == wanted
    assert entry is not None
    assert entry.seq == next_seq


def test_updates_can_be_read_again_from_the_beginning(writer: ActorProcess) -> None:
    """`since` sets the position back, which an ack never does."""
    with connect("reader", writer.home) as book:
        first = book.log("one", "x")
        updates = book.updates()
        assert [updates.poll(5), updates.poll(0)] == [first, None]
        assert status(book, "reader").lag == 0

        again = book.updates(since=0)

        entry = again.poll(5)
        assert entry is not None
        assert entry.seq == 1
        assert status(book, "reader").position == 0


def test_diff_names_what_one_has_seen_and_the_other_has_not(writer: ActorProcess) -> None:
    """Own entries are not unseen; once both have read everything, they are in sync."""
    with connect("a", writer.home) as a, connect("b", writer.home) as b:
        updates_a, updates_b = a.updates(), b.updates()
        by_b = b.log("did", "x").seq
        by_a = a.log("did", "y").seq
        while updates_a.poll(0.2) is not None:
            pass

        found = a.diff("a", "b")

        assert (found.a.unseen_count, found.is_in_sync) == (0, False)
        assert found.b.unseen_seqs == [by_a]
        assert (found.a.position, found.b.wrote, found.b.last_wrote_seq) == (by_a, 2, by_b)
        while updates_b.poll(0.2) is not None:
            pass
        assert a.diff("a", "b").is_in_sync
        with pytest.raises(errors.UnknownName, match="nobody"):
            a.diff("a", "nobody")


def test_statuses_of_a_home_are_the_same_for_anybody(writer: ActorProcess) -> None:
    """A tool that holds no name lists them too."""
    with connect("one", writer.home), BookReader(writer.home) as reader:
        listed = instance_statuses(writer.home, reader)

    assert [(each.name, each.alive) for each in listed] == [("one", True)]
