"""Redaction, archive and retention through a real journal_writer."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest
from book_actors import ActorProcess, running_compactor, running_writer
from books import open_writer
from waiting import wait_until

from hourbook.book.archive.retention import Rule
from hourbook.book.journal import Stamp
from hourbook.book.reader import BookReader
from hourbook.compaction import compact
from hourbook.faces.book import Book, connect
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from protocols import errors
from protocols.book_messages import Append, NewEntry
from protocols.entry import encode_value, make_nonce

pytestmark = pytest.mark.live

SECRET = b"swordfish-0815"


@pytest.fixture
def writer(home: Home) -> Iterator[ActorProcess]:
    """Run a journal_writer on the test's home."""
    with running_writer(home) as running:
        yield running


@pytest.fixture
def book(writer: ActorProcess) -> Iterator[Book]:
    """Return a connection to it."""
    with connect("admin", writer.home, shared=True) as connected:
        yield connected


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
    with pytest.raises(errors.Redacted, match="by admin"):
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
def old_book(home: Home) -> Iterator[Book]:
    """Return a connection to a book whose first 3000 entries are 10 days old."""
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
    with running_writer(home), connect("admin", home, shared=True) as connected:
        yield connected


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
    with BookReader(home) as reader:
        found = list(reader.since(0, until_seq=3000))
        assert reader.verify(all_signatures=True).ok
    for number, one in enumerate(found):
        assert (one.missing is not None) == (number % 3 == 1)
        if one.missing is None:
            assert one.details["n"] == number
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
    """The second one says that there is another."""
    home = old_book.home
    refused: list[errors.HourbookError] = []

    def second(*_: object) -> None:
        try:
            compact(home, RULES, time.time_ns())
        except errors.AlreadyRunning as error:
            refused.append(error)

    compact(home, RULES, time.time_ns(), progress=second)

    assert refused


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

    assert answer == {"retention": [{"do": "archive", "kind": "*", "action": "*", "after": "2 d"}]}
    assert old_book.verify().ok
