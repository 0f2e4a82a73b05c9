"""Redaction, archive and retention through a real journal_writer."""

import threading
from collections.abc import Iterator

import pytest
from book_actors import ActorProcess, running_writer
from waiting import wait_until

from hourbook.book.reader import BookReader
from hourbook.book_face import Book, connect
from hourbook.home import Home
from protocols import errors

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
