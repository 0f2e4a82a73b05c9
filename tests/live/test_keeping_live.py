"""Redaction, archive and retention through a real journal_writer."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import multiprocess
import pytest
from book_actors import ActorProcess, running_compactor, running_writer
from books import open_writer
from waiting import wait_until

from hourbook.book.archive.retention import Rule
from hourbook.book.archive.shelf import put_file
from hourbook.book.journal import Stamp
from hourbook.book.reader import BookReader
from hourbook.compaction import compact, compact_book
from hourbook.faces.book import Book, connect
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from protocols import errors
from protocols.book_messages import Append, Maintain, NewEntry
from protocols.entry import encode_value, make_nonce

pytestmark = pytest.mark.live

SECRET = b"swordfish-0815"


def holders(home: Home, secret: bytes) -> list[str]:
    """Return the names of the files of the home and the run directory that hold `secret`."""
    return [
        path.name
        for directory in (home.path, home.run_dir, home.archive_dir)
        for path in (directory.iterdir() if directory.is_dir() else ())
        if path.is_file() and secret in path.read_bytes()
    ]


def test_redacted_secret_is_nowhere_a_moment_later(book: Book) -> None:
    """Not in the database, its log, the feed ring or the journal's own record."""
    book.log("first", "x")
    leak = book.log("leaked", "x", {"note": SECRET * 10})
    follower = book.follow(since=0)
    assert holders(book.home, SECRET)

    done = book.redact(leak.seq, "held a password")

    assert (done.seq, done.target, done.is_new) == (3, 2, True)
    wait_until(lambda: not holders(book.home, SECRET), 10, "the secret to be gone")
    seen = [next(follower) for _ in range(3)]
    assert [entry.kind for entry in seen] == ["log", "log", "book.redact"]
    with pytest.raises(errors.Redacted, match="by agent"):
        _ = seen[1].details
    book.log("goes", "on")
    assert next(follower).seq == 4
    assert book.verify(all_signatures=True).ok


def test_new_follower_never_sees_the_past_while_the_ring_is_forgotten(book: Book) -> None:
    """Followers that begin in the midst of redactions see nothing from before they began."""
    leaks = book.log_many([("leaked", str(n), n) for n in range(30)])
    oldest: list[int] = []
    ended = threading.Event()

    def begin_again_and_again() -> None:
        while not ended.is_set():
            head = book.head()
            assert head is not None
            follower = book.follow()
            if (found := follower.poll(0.001)) is not None:
                oldest.append(found.seq - head.last_seq)
            follower.close()

    thread = threading.Thread(target=begin_again_and_again)
    thread.start()
    for leak in leaks:
        book.redact(leak.seq, "why not")
    ended.set()
    thread.join(20)

    assert min(oldest, default=0) >= 0


def test_redaction_survives_kill_9_right_after_its_answer(writer: ActorProcess, book: Book) -> None:
    """What was answered is done; the next start cuts the log back."""
    leak = book.log("leaked", "x", {"note": SECRET * 10})
    book.redact(leak.seq, "held a password")

    writer.kill()
    writer.start()

    wait_until(lambda: "book.db-wal" not in holders(book.home, SECRET), 10, "the log to be cut")
    with BookReader(book.home) as reader:
        assert reader.verify().ok
        assert reader.page(0, 1)[0].missing is not None


@pytest.mark.parametrize("seq", [True, "4", 1 << 64])
def test_seq_that_is_no_number_is_refused(book: Book, seq: object) -> None:
    """A wrong type is the caller's mistake, named."""
    with pytest.raises(errors.BadRequest, match="seq"):
        book.redact(seq, "why")  # type: ignore[arg-type]


@pytest.mark.parametrize("why", ["", "  ", "x" * 1025, "\ud800", 5])
def test_reason_that_does_not_fit_is_refused(book: Book, why: object) -> None:
    """A reason is 1 B to 1 KiB of text; the entry keeps its details."""
    book.log("a", "b", "c")

    with pytest.raises((errors.BadRequest, errors.LimitExceeded), match="why"):
        book.redact(1, why)  # type: ignore[arg-type]

    assert book.tail(1)[0].details == "c"


RULES = [
    Rule(do="keep", kind="decision"),
    Rule(do="drop", kind="trace", after="2 d"),
    Rule(do="drop", after="30 d"),
    Rule(do="archive", after="2 d"),
]
DAY_NS = 86_400 * 10**9


@pytest.fixture
def old_writer(home: Home) -> Iterator[ActorProcess]:
    """Run a journal_writer on a book whose first 3000 entries are 10 days old."""
    begun_ns = time.time_ns() - 10 * DAY_NS
    writer = open_writer(home)
    kinds = ("log", "trace", "decision")
    for first in range(0, 3000, 100):
        news = [
            NewEntry("did", f"e{n}", msgspec.Raw(encode_value({"n": n, "t": "x" * 2000}, "")), (),
                     kinds[n % 3])
            for n in range(first, first + 100)
        ]  # fmt: skip
        writer.commit([Append("old", make_nonce(1, first + 1), news)], Stamp(begun_ns, -1))
    writer.close()
    with running_writer(home) as running:
        yield running


@pytest.fixture
def old_book(old_writer: ActorProcess) -> Iterator[Book]:
    """Return a connection to that book."""
    with connect("admin", old_writer.home, shared=True) as connected:
        yield connected


def check_kept(home: Home) -> None:
    """Check that each detail is there that no rule has dropped, and that the book verifies."""
    with BookReader(home) as reader:
        found = list(reader.since(0, until_seq=3000))
        verdict = reader.verify(all_signatures=True)
    assert verdict.ok, verdict.problem
    for number, one in enumerate(found):
        if one.missing is None:
            assert one.details["n"] == number
        else:
            assert (number % 3, one.missing.cause) == (1, "retained")


def test_kill_9_of_either_side_of_a_compaction_loses_nothing(
    old_writer: ActorProcess, rng: random.Random
) -> None:
    """At random moments: the book is whole each time, and the next compaction ends the work."""
    home = old_writer.home
    context = multiprocess.get_context("forkserver")
    for victim in ("compaction", "writer", "compaction", "writer", "compaction"):
        process = context.Process(target=compact, args=(home, RULES, time.time_ns()))
        process.start()
        threading.Event().wait(rng.uniform(0.05, 0.4))
        if victim == "writer":
            old_writer.kill()
            check_kept(home)
            old_writer.start()
            process.join(30)
        else:
            process.kill()
            process.join(10)
        check_kept(home)

    compact(home, RULES, time.time_ns())

    with BookReader(home) as reader:
        named = reader.query(lambda c: c.execute("SELECT file, entries FROM archive").fetchall())
    assert sorted(path.name for path in home.archive_dir.glob("[!.]*")) == sorted(
        file for file, _ in named
    )
    assert sum(entries for _, entries in named) == 1000
    check_kept(home)


def test_redaction_in_the_midst_of_a_compaction_is_no_hindrance(
    old_book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slice is made anew without the entry, and no sweep takes a file that is to be sealed."""
    home = old_book.home
    redacted: list[int] = []

    def put_late(*arguments: Any) -> tuple[str, bytes]:
        if len(redacted) < 2:
            redacted.append(old_book.redact(len(redacted) * 3 + 1, "late").target)
        made = put_file(*arguments)
        with closing(MailboxClient(home, "journal_writer", "test")) as client:
            client.request("book.maintain", Maintain("sweep"))
        return made

    monkeypatch.setattr("hourbook.compaction.put_file", put_late)
    done = compact(home, RULES, time.time_ns())

    assert (done.archived, redacted) == (998, [1, 4])
    assert compact_book(home, RULES).ok
    wait_until(lambda: len(list(home.archive_dir.glob("*.zst"))) == done.files, 10, "the sweep")
    assert old_book.verify().ok


def test_compaction_follows_the_rules_and_gives_space_back(old_book: Book) -> None:
    """Logs are archived, traces dropped, decisions kept; the file shrinks, the book verifies."""
    home = old_book.home
    planned = compact(home, RULES, time.time_ns(), dry_run=True)
    size_before = home.book_db.stat().st_size

    done = compact(home, RULES, time.time_ns())

    assert (planned.archived, planned.dropped) == (done.archived, done.dropped) == (1000, 1000)
    assert planned.rules == done.rules
    assert done.freed_pages > 100
    assert home.book_db.stat().st_size < size_before
    check_kept(home)
    with BookReader(home) as reader:
        gone = [one.seq for one in reader.since(0, until_seq=3000) if one.missing is not None]
    assert gone == list(range(2, 3001, 3))
    assert compact(home, RULES, time.time_ns()).archived == 0


def test_archived_details_are_dropped_when_their_time_comes(old_book: Book) -> None:
    """What one rule archived another drops later, file by file."""
    home = old_book.home
    compact(home, RULES, time.time_ns())

    later = compact(home, RULES, time.time_ns() + 25 * DAY_NS)

    assert later.dropped == 1000
    assert list(home.archive_dir.glob("*.zst")) == []
    assert old_book.verify().ok


def test_two_compactions_at_once_are_refused(old_book: Book) -> None:
    """The second one says that there is another; to the calendar that is no failure."""
    home = old_book.home
    refused: list[errors.HourbookError] = []
    left: list[tuple[bool, str]] = []

    def second(*_: object) -> None:
        try:
            compact(home, RULES, time.time_ns())
        except errors.AlreadyRunning as error:
            refused.append(error)
        result = compact_book(home, RULES)
        left.append((result.ok, result.summary[:15]))

    compact(home, RULES, time.time_ns(), progress=second)

    assert refused
    assert set(left) == {(True, "left to another")}


def test_appends_are_answered_while_a_book_is_compacted(old_book: Book) -> None:
    """An append waits for one slice at the most."""
    longest_ms, ended = [0.0], threading.Event()

    def append_all_along() -> None:
        with connect("busy", old_book.home, shared=True) as book:
            while not ended.is_set():
                begun_ns = time.monotonic_ns()
                book.log("while", "compacting")
                longest_ms[0] = max(longest_ms[0], (time.monotonic_ns() - begun_ns) / 1e6)

    thread = threading.Thread(target=append_all_along)
    thread.start()
    done = compact(old_book.home, RULES, time.time_ns())
    ended.set()
    thread.join(20)

    print(f"longest append {longest_ms[0]:.1f} ms, longest slice {done.longest_ms} ms")
    assert longest_ms[0] < 1000  # a busy test machine; measured 40 ms on a quiet one
    assert old_book.verify().ok


def test_compactor_compacts_by_its_calendar(old_book: Book) -> None:
    """A job that is due does what the configuration says."""
    rules = [{"do": "archive", "after": "2 d"}]
    with running_compactor(old_book.home, compact="every 1 s", retention=rules):
        wait_until(lambda: list(old_book.home.archive_dir.glob("*.zst")), 20, "an archive")
        with closing(MailboxClient(old_book.home, "compactor", "test")) as client:
            answer = msgspec.msgpack.decode(client.request("compactor.rules", {}).body)

    rule = {"do": "archive", "kind": "*", "action": "*", "after": "2 d"}
    horizon = {"store_history_s": 30 * 86_400, "store_versions": 100}
    assert answer == {"retention": [rule], "horizon": horizon}
    assert old_book.verify().ok
