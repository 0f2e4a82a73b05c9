"""What a branch shows, of now and as of a moment: two selections of entries that combine."""

from collections.abc import Iterator

import msgspec
import pytest
from books import STAMP, append, new, open_writer, raw_connection

from hourbook.book.book_view import view_at
from hourbook.book.branches import diff_branches
from hourbook.book.changes import branching
from hourbook.book.journal import Stamp
from hourbook.book.reader import BookReader
from hourbook.book.sql.query import run_query
from hourbook.book.writer import BookWriter
from hourbook.faces.book import connect
from hourbook.home import Home
from protocols import entry, errors
from protocols.book_messages import Append
from protocols.branch_messages import (
    CreateBranch,
    DeleteBranch,
    MergeBranch,
    MergedBranch,
    Strategy,
)
from protocols.change import Change


class Scribe:
    """Writes a book of one commit for each request, a second apart."""

    def __init__(self, writer: BookWriter) -> None:
        self.writer = writer
        self._count = 0

    def log(self, entity: str, branch: int = 0) -> int:
        """Write an entry on a branch; return its seq."""
        nonce = self._nonce()
        self._write(Append("agent", nonce, [new("did", entity)], branch=branch))
        return self.writer.head.seq

    def create(self, name: str, parent: int = 0, base_seq: int = 0) -> int:
        """Begin a branch; return the seq of its entry."""
        nonce = self._nonce()
        self._write(
            CreateBranch(writer="agent", nonce=nonce, name=name, parent=parent, base_seq=base_seq)
        )
        return self.writer.head.seq

    def delete(self, name: str) -> int:
        """End a branch; return the seq of its entry."""
        self._write(DeleteBranch(writer="agent", nonce=self._nonce(), name=name))
        return self.writer.head.seq

    def fill(self, count: int, branch: int, details: object = None) -> None:
        """Write `count` entries about as many entities on a branch."""
        nonce = self._nonce()
        news = [new("did", f"e.{number:05}", details) for number in range(count)]
        self._write(Append("agent", nonce, news, branch=branch))

    def merge(self, name: str, strategy: Strategy = "") -> MergedBranch:
        """Merge a branch; raise what it is refused with."""
        request = MergeBranch(writer="agent", nonce=self._nonce(), name=name, strategy=strategy)
        (outcome,) = self.writer.write([request], STAMP).outcomes
        if outcome.error is not None:
            raise outcome.error
        return msgspec.msgpack.decode(outcome.body, type=MergedBranch)

    def _nonce(self) -> bytes:
        self._count += 1
        return entry.make_nonce(9, self._count << 20)

    def _write(self, request: Append | Change) -> None:
        stamp = Stamp(STAMP.time_ns + self._count * 1_000_000_000, 1000)
        assert all(o.error is None for o in self.writer.write([request], stamp).outcomes)


@pytest.fixture
def scribe(home: Home) -> Iterator[Scribe]:
    """Open the book of the test's home for writing."""
    writer = open_writer(home)
    yield Scribe(writer)
    writer.close()


def seen(home: Home, branch: str, at: int | None = None) -> list[str]:
    """Return the entities that a branch shows, which every way of asking must agree on."""
    sql = "SELECT entity, kind, seq FROM entries ORDER BY seq"
    with BookReader(home) as reader:
        tail = reader.tail(100, branch=branch, until_seq=at)
        asked = run_query(home, sql, at_seq=at, branch=branch or "main")
        assert [row["seq"] for row in asked] == [each.seq for each in tail]
        if at is not None:
            view = view_at(home, reader, at, branch)
            assert list(view.since(0)) == view.tail(100) == tail
            assert list(view.since(at - 1)) == [each for each in tail if each.seq == at]
    return [each.entity for each in tail if each.kind == "log"]


def test_branch_as_of_a_moment_shows_what_it_showed_then(home: Home, scribe: Scribe) -> None:
    """Whatever was written since, on the branch, beneath it and on main, is not there."""
    scribe.log("m1")
    scribe.log("m2")
    began = scribe.create("plan-b", base_seq=1)
    first = scribe.log("b1", 1)
    scribe.log("m3")
    deep = scribe.create("plan-c", parent=1)
    scribe.log("c1", 2)
    last = scribe.log("b2", 1)

    assert seen(home, "plan-b", began) == ["m1"]
    assert seen(home, "plan-b", first) == ["m1", "b1"]
    assert seen(home, "plan-b", last) == seen(home, "plan-b") == ["m1", "b1", "b2"]
    assert seen(home, "plan-c", deep) == ["m1", "b1"]
    assert seen(home, "plan-c") == ["m1", "b1", "c1"]
    assert seen(home, "", first) == seen(home, "main", first) == ["m1", "m2"]
    assert seen(home, "") == ["m1", "m2", "m3"]


def test_branch_may_begin_before_its_parent_did(home: Home, scribe: Scribe) -> None:
    """It sees of its parent what the parent saw then, and nothing that the parent wrote."""
    scribe.log("m1")
    scribe.log("m2")
    scribe.create("plan-b")
    scribe.log("b1", 1)
    scribe.create("plan-c", parent=1, base_seq=1)
    scribe.log("c1", 2)

    assert seen(home, "plan-c") == ["m1", "c1"]


@pytest.mark.parametrize(
    ("parent", "base_seq", "error"),
    [
        (0, 1 << 40, errors.NotInBook),
        (7, 0, errors.UnknownName),
        (1, 0, errors.UnknownName),
    ],
    ids=["base to come", "no such parent", "deleted parent"],
)
def test_branch_without_a_place_to_begin_is_refused(
    scribe: Scribe, parent: int, base_seq: int, error: type[errors.HourbookError]
) -> None:
    """A client of another language may ask for anything; nothing is written."""
    scribe.create("gone")
    scribe.delete("gone")
    head = scribe.writer.head
    nonce = entry.make_nonce(10, 1)
    request = CreateBranch(
        writer="agent", nonce=nonce, name="new", parent=parent, base_seq=base_seq
    )

    (outcome,) = scribe.writer.write([request], STAMP).outcomes

    assert isinstance(outcome.error, error)
    assert scribe.writer.head == head


def test_name_means_the_branch_that_had_it_then(home: Home, scribe: Scribe) -> None:
    """A branch can be read as of when it lived, also under a name that another has since."""
    before = scribe.log("m1")
    scribe.create("plan-b")
    old = scribe.log("old", 1)
    gone = scribe.delete("plan-b")
    scribe.create("plan-b")
    scribe.log("new", 2)

    assert seen(home, "plan-b", old) == ["m1", "old"]
    assert seen(home, "plan-b") == ["m1", "new"]
    for at in (before, gone):
        with pytest.raises(errors.UnknownName, match=f"there at seq {at}, got 'plan-b'"):
            seen(home, "plan-b", at)


def test_difference_as_of_a_moment_ends_there(home: Home, scribe: Scribe) -> None:
    """Entries and conflicts that came later are no part of it."""
    scribe.log("m1")
    scribe.create("plan-b")
    scribe.log("x", 1)
    at = scribe.log("m2")
    scribe.log("x")

    with BookReader(home) as reader:
        then = reader.query(lambda opened: diff_branches(opened, "main", "plan-b", at))
        now = reader.query(lambda opened: diff_branches(opened, "main", "plan-b"))

    assert [e.entity for e in then.only_a if e.kind == "log"] == ["m2"]
    assert [e.entity for e in now.only_a if e.kind == "log"] == ["m2", "x"]
    assert (then.conflicts, now.conflicts) == ([], ["x"])


def test_connection_looks_back_on_its_own_branch(home: Home, scribe: Scribe) -> None:
    """What `at` shows is what `tail` showed then; SQL sees all branches unless one is named."""
    scribe.log("m1")
    scribe.create("plan-b")
    at = scribe.log("b1", 1)
    scribe.log("b2", 1)
    sql = "SELECT count(*) FROM entries WHERE kind = 'log'"

    with connect("reader", home, shared=True, branch="plan-b") as book:
        view = book.at(at)

        assert [e.entity for e in view.tail() if e.kind == "log"] == ["m1", "b1"]
        assert (view.branch, view.query(sql)[0][0]) == ("plan-b", 2)
        assert view.query(sql, branch="main")[0][0] == 1
        assert book.query(sql, at=at, branch="plan-b")[0][0] == 2
        assert (book.query(sql)[0][0], book.query(sql, branch="main")[0][0]) == (3, 1)
        assert book.diff_branches("main", "plan-b", at=at).only_b[0].entity == "b1"
        with pytest.raises(errors.UnknownName):
            book.at(1)
    with connect("reader", home, shared=True, branch="main") as book:
        assert [e.entity for e in book.tail() if e.kind == "log"] == ["m1"]


def test_connection_reads_its_branch_and_not_the_next_of_its_name(
    home: Home, scribe: Scribe
) -> None:
    """Deleted beneath it, its branch stays what it was."""
    scribe.create("plan-b")
    scribe.log("old", 1)
    with connect("reader", home, shared=True, branch="plan-b") as book:
        scribe.delete("plan-b")
        scribe.create("plan-b")
        scribe.log("new", 2)

        assert [e.entity for e in book.tail() if e.kind == "log"] == ["old"]


@pytest.mark.parametrize("branch", ["nowhere", "../../x", "Main", "x" * 65, "\ud800", "a'b"])
def test_branch_that_is_none_is_refused_wherever_it_is_named(home: Home, branch: str) -> None:
    """Reading, asking and looking back say so in one line."""
    writer = open_writer(home)
    writer.commit([append(1)], STAMP)
    writer.close()

    with BookReader(home) as reader:
        for use in (
            lambda: reader.tail(branch=branch),
            lambda: run_query(home, "SELECT 1", branch=branch),
            lambda: view_at(home, reader, 1, branch),
            lambda: reader.query(lambda opened: diff_branches(opened, "main", branch)),
        ):
            with pytest.raises((errors.UnknownName, errors.BadRequest)) as caught:
                use()
            assert "\n" not in str(caught.value)


def test_long_branch_is_merged_in_one_commit(home: Home, scribe: Scribe) -> None:
    """Nobody sees half of a merge, however long the branch; it verifies, and is done once."""
    scribe.create("plan-b")
    for _ in range(5):
        scribe.fill(4000, 1)
    before = scribe.writer.head

    done = scribe.merge("plan-b")

    assert (done.entries, done.left, done.conflict_count) == (20_000, 0, 0)
    assert scribe.writer.head.commit_no == before.commit_no + 1
    assert scribe.writer.head.seq == done.seq == before.seq + 20_001
    with BookReader(home) as reader:
        record = reader.entry(done.seq)
        assert record is not None
        assert record.details["seqs"] == [[before.seq - 19_999, before.seq]]
        assert reader.verify().ok
    assert scribe.merge("plan-b").seq == 0


def test_record_names_what_was_brought_and_the_first_of_many_conflicts(
    home: Home, scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges are of the branch's own entries; names end somewhere, the count does not."""
    monkeypatch.setattr(branching, "CONFLICTS_KEPT_MAX", 2)
    scribe.create("plan-b")
    seqs = []
    for entity in ("a", "own", "x", "y", "z", "own"):
        seqs.append(scribe.log(entity, 1))
        scribe.log("beside")
    for entity in ("x", "y", "z"):
        scribe.log(entity)

    done = scribe.merge("plan-b", "ours")

    assert (done.entries, done.left) == (3, 3)
    assert (done.conflicts, done.conflict_count) == (["x", "y"], 3)
    with BookReader(home) as reader:
        record = reader.entry(done.seq)
        assert record is not None
    assert record.details["seqs"] == [[seqs[0], seqs[1]], [seqs[5], seqs[5]]]
    assert (record.details["conflicts"], record.details["conflict_count"]) == (["x", "y"], 3)


@pytest.mark.parametrize(("name", "limit"), [("ENTRIES", 9), ("BYTES", 900)])
def test_merge_beyond_its_limits_is_refused_and_changes_nothing(
    scribe: Scribe, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    """By count or by size: ten entries of 100 bytes; within the limit it is done."""
    scribe.create("plan-b")
    scribe.fill(10, 1, "x" * 98)
    head = scribe.writer.head
    with monkeypatch.context() as narrow:
        narrow.setattr(branching, f"MERGE_{name}_MAX", limit)

        with pytest.raises(errors.LimitExceeded, match="'plan-b'"):
            scribe.merge("plan-b")

    assert scribe.writer.head == head
    assert scribe.merge("plan-b").entries == 10


def test_details_that_cannot_be_read_stop_a_merge(home: Home, scribe: Scribe) -> None:
    """They would be lost without a word: an operator must say what became of them."""
    scribe.create("plan-b")
    seq = scribe.log("x", 1)
    vandal = raw_connection(home.book_db)
    vandal.execute("UPDATE entry SET salt = NULL, details = NULL, details_hash = x'00'")
    vandal.close()

    with pytest.raises(errors.ArchiveDamaged, match=f"seq {seq}"):
        scribe.merge("plan-b")


def test_records_of_the_book_itself_are_no_conflict(home: Home, scribe: Scribe) -> None:
    """A branch may write about what has its own name; neither merge nor diff minds."""
    scribe.create("plan-b")
    scribe.log("plan-b", 1)
    scribe.create("plan-c")

    with BookReader(home) as reader:
        found = reader.query(lambda opened: diff_branches(opened, "main", "plan-b"))

    assert found.conflicts == []
    assert scribe.merge("plan-b").entries == 1
