"""Branches through a real journal_writer: written beside main, seen by who asks, merged once."""

import contextlib
import os
import signal
from collections.abc import Iterator

import msgspec
import pytest
from book_actors import ActorProcess
from books import new

from hourbook.faces.book import Book, connect
from hourbook.link.client import MailboxClient
from protocols import errors
from protocols.book_messages import Append, NewEntry
from protocols.branch_messages import BRANCH_DELETE, BRANCH_MERGE, DeleteBranch, MergeBranch
from protocols.change import CHANGE_NONCES
from protocols.entry import make_nonce
from protocols.kv_messages import Delete, KvWrite

pytestmark = pytest.mark.live


@pytest.fixture
def book(writer: ActorProcess) -> Iterator[Book]:
    """Return a connection to main, where three things were done."""
    with connect("main-agent", writer.home, shared=True) as connected:
        for entity in "abc":
            connected.log("did", entity)
        yield connected


def on(book: Book, branch: str) -> Book:
    """Return a connection to a branch."""
    return connect("branch-agent", book.home, shared=True, branch=branch)


def said(book: Book) -> list[tuple[str, str]]:
    """Return what a connection sees, without the record of branches."""
    return [(e.action, e.entity) for e in book.tail(100) if e.kind == "log"]


def test_branch_sees_its_parent_up_to_its_base_and_itself(book: Book) -> None:
    """What is written on main later, and on the branch, the other does not see."""
    book.create_branch("plan-b", at=2)
    book.log("later", "main")
    with on(book, "plan-b") as branch:
        written = branch.log("tried", "x", {"n": 1})

        assert said(branch) == [("did", "a"), ("did", "b"), ("tried", "x")]
    assert said(book) == [("did", "a"), ("did", "b"), ("did", "c"), ("later", "main")]
    assert written.branch == 1
    assert book.verify(all_signatures=True).ok


def test_feeds_hide_branches_unless_asked(book: Book) -> None:
    """A follower of main sees main, one of the branch the branch, one of all both."""
    book.create_branch("plan-b")
    with on(book, "plan-b") as branch:
        feeds = [book.follow(), branch.follow(), book.follow(branch=None)]
        branch.log("tried", "x")
        book.log("went", "on")

        assert next(feeds[0]).action == "went"
        assert next(feeds[1]).action == "tried"
        assert [next(feeds[2]).action for _ in range(2)] == ["tried", "went"]


def test_merge_brings_each_entry_once(book: Book) -> None:
    """What is merged is an ordinary entry of main; the next merge brings only what is new."""
    book.create_branch("plan-b")
    with on(book, "plan-b") as branch:
        branch.log("tried", "x", {"n": 1}, tags=["t"])
        first = book.merge_branch("plan-b")
        branch.log("tried", "y")
        second = book.merge_branch("plan-b")
        third = book.merge_branch("plan-b")

    assert (first.entries, second.entries, third.entries, third.seq) == (1, 1, 0, 0)
    merged = [e for e in book.tail(100) if e.action == "tried"]
    assert [(e.entity, e.details, e.tags, e.branch) for e in merged] == [
        ("x", {"n": 1}, ("t",), 0),
        ("y", None, (), 0),
    ]
    assert merged[0].writer == "main-agent"
    record = next(e for e in book.tail(100) if e.seq == first.seq)
    assert (record.kind, record.details["base"]) == ("branch.merge", 3)
    assert book.verify(all_signatures=True).ok


@pytest.mark.parametrize(
    ("strategy", "brought", "last"),
    [("ours", 1, ()), ("theirs", 2, ()), ("both", 2, ("conflict",))],
)
def test_conflict_is_refused_until_a_strategy_is_chosen(
    book: Book, strategy: str, brought: int, last: tuple[str, ...]
) -> None:
    """An entity that both wrote about is named; then the strategy decides about it alone."""
    book.create_branch("plan-b")
    with on(book, "plan-b") as branch:
        branch.log_many([("tried", "shared"), ("tried", "own")])
    book.log("changed", "shared")
    head = book.tail(1)[0].seq

    with pytest.raises(errors.BranchConflict, match="'shared'"):
        book.merge_branch("plan-b")
    assert book.tail(1)[0].seq == head
    done = book.merge_branch("plan-b", strategy)  # type: ignore[arg-type]

    assert (done.entries, done.left, done.conflicts) == (brought, 2 - brought, ["shared"])
    about = [e for e in book.tail(100) if e.entity == "shared" and e.kind == "log"]
    assert about[-1].action == ("changed" if strategy == "ours" else "tried")
    assert about[-1].tags == last


def test_merge_sees_what_waited_with_it_in_the_mailbox(writer: ActorProcess, book: Book) -> None:
    """Main's last word is a conflict, and the branch's last word is brought, or counted as lost."""
    number = book.create_branch("plan-b").number
    with on(book, "plan-b") as branch:
        branch.log("tried", "shared")

    def nonce(count: int) -> bytes:
        return make_nonce(1, count * CHANGE_NONCES)

    requests = [
        ("book.append", Append("a", nonce(1), [new("changed", "shared")])),
        ("book.append", Append("a", nonce(2), [new("tried", "late")], branch=number)),
        (BRANCH_MERGE, MergeBranch(writer="a", nonce=nonce(3), name="plan-b")),
        (BRANCH_MERGE, MergeBranch(writer="a", nonce=nonce(4), name="plan-b", strategy="theirs")),
        ("book.append", Append("a", nonce(5), [new("tried", "lost")], branch=number)),
        (BRANCH_DELETE, DeleteBranch(writer="a", nonce=nonce(6), name="plan-b")),
    ]

    with contextlib.closing(MailboxClient(book.home, "journal_writer", "a")) as client:
        os.kill(writer.process.pid, signal.SIGSTOP)
        replies = [client.send(kind, request) for kind, request in requests]
        os.kill(writer.process.pid, signal.SIGCONT)
        with pytest.raises(errors.BranchConflict, match="got 1: 'shared'"):
            replies[2].wait(20)
        bodies = [msgspec.msgpack.decode(reply.wait(20).body) for reply in replies[3:]]

    merged, _, deleted = bodies
    assert (merged["entries"], merged["conflicts"], deleted["unmerged"]) == (2, ["shared"], 1)
    assert said(book)[-3:] == [("changed", "shared"), ("tried", "shared"), ("tried", "late")]


def test_write_that_waits_behind_the_end_of_its_branch_is_refused(
    writer: ActorProcess, book: Book
) -> None:
    """As one that comes a moment later; what was written before is answered as it was."""
    number = book.create_branch("plan-b").number

    def nonce(count: int) -> bytes:
        return make_nonce(1, count * CHANGE_NONCES)

    before = Append("a", nonce(1), [new("tried", "x")], branch=number)
    requests = [
        ("book.append", before),
        (BRANCH_DELETE, DeleteBranch(writer="a", nonce=nonce(2), name="plan-b")),
        ("book.append", Append("a", nonce(3), [new("tried", "late")], branch=number)),
        (
            "kv.write",
            KvWrite(writer="a", nonce=nonce(4), ns="s", ops=[Delete(key="k")], branch=number),
        ),
        ("book.append", before),
        ("book.append", Append("a", nonce(5), [new("went", "on")])),
    ]

    with contextlib.closing(MailboxClient(book.home, "journal_writer", "a")) as client:
        os.kill(writer.process.pid, signal.SIGSTOP)
        replies = [client.send(kind, request) for kind, request in requests]
        os.kill(writer.process.pid, signal.SIGCONT)
        for late in replies[2:4]:
            with pytest.raises(errors.UnknownName, match=f"branch, got {number}"):
                late.wait(20)
        first, deleted, again, last = [replies[n].wait(20).body for n in (0, 1, 4, 5)]

    assert first == again
    assert msgspec.msgpack.decode(deleted)["unmerged"] == 1
    assert last != first
    written = book.query("SELECT entity FROM entries WHERE branch = ?", [number]).rows
    assert [tuple(row) for row in written] == [("x",)]


def test_diff_shows_what_is_not_shared(book: Book) -> None:
    """Between a branch and main, and between two branches of one base."""
    book.create_branch("b1")
    book.create_branch("b2", parent="b1")
    with on(book, "b1") as one, on(book, "b2") as two:
        one.log("one", "x")
        two.log("two", "x")

        found = book.diff_branches("main", "b2")
        both = book.diff_branches("b1", "b2")

    assert [e.action for e in found.only_b] == ["two"]
    assert [e.action for e in both.only_a] == ["one"]
    assert both.conflicts == ["x"]


def test_deleted_branch_cannot_be_written_to_and_its_name_is_free(book: Book) -> None:
    """Its entries stay in the book; a new branch of the name begins empty."""
    book.create_branch("plan-b")
    with on(book, "plan-b") as branch:
        branch.log("tried", "x")
        assert book.delete_branch("plan-b").unmerged == 1
        with pytest.raises(errors.UnknownName):
            branch.log("again", "x")
    with pytest.raises(errors.UnknownName, match="plan-b"):
        on(book, "plan-b")

    again = book.create_branch("plan-b")

    assert again.number == 2
    with on(book, "plan-b") as branch:
        assert ("tried", "x") not in said(branch)
    assert [b.deleted_seq is None for b in book.branches()] == [False, True]
    assert book.verify().ok


def test_branches_of_branches_end_at_sixteen(book: Book) -> None:
    """The seventeenth level is refused; the sixteenth reads to the root."""
    parent = ""
    for level in range(16):
        book.create_branch(f"level-{level}", parent=parent)
        parent = f"level-{level}"

    with pytest.raises(errors.LimitExceeded, match="16"):
        book.create_branch("level-16", parent=parent)
    with on(book, parent) as deepest:
        assert said(deepest) == [("did", "a"), ("did", "b"), ("did", "c")]


def test_name_that_cannot_be_a_branch_is_refused(book: Book) -> None:
    """Names are names, not main, and free."""
    book.create_branch("taken")

    for name in ("main", "../../x", ""):
        with pytest.raises(errors.BadRequest):
            book.create_branch(name)
    with pytest.raises(errors.AlreadyPresent):
        book.create_branch("taken")
    with pytest.raises(errors.UnknownName, match="nowhere"):
        book.create_branch("new", parent="nowhere")


def test_branch_with_a_child_is_not_deleted(book: Book) -> None:
    """Its child reads through it."""
    book.create_branch("parent")
    book.create_branch("child", parent="parent")

    with pytest.raises(errors.BadRequest, match="child"):
        book.delete_branch("parent")


def test_number_that_is_no_branch_is_refused(book: Book) -> None:
    """A client of another language cannot invent one."""
    request = Append("other", make_nonce(1, 1), [NewEntry("a", "b")], branch=7)

    with pytest.raises(errors.UnknownName, match="7"):
        book._client.request("book.append", request)


def test_merge_survives_kill_9_and_is_not_done_twice(writer: ActorProcess, book: Book) -> None:
    """What was answered is there after the restart; asked again there is nothing to merge."""
    book.create_branch("plan-b")
    with on(book, "plan-b") as branch:
        branch.log_many([("tried", str(n)) for n in range(50)])
    done = book.merge_branch("plan-b")

    writer.kill()
    writer.start()

    assert done.entries == 50
    assert book.merge_branch("plan-b").seq == 0
    assert book.verify(all_signatures=True).ok
